"""Photos from folders, sets and the cache."""

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from trainer_runs import LIMITED, begin, finish, make_photos, train, truncated, write_recipe

from jscc.data import div2k
from jscc.data.validation import ListedPhoto
from trainer import __main__ as command_line
from trainer import prepare, run_folder, settings, sources

pytestmark = pytest.mark.usefixtures("cache")


class TestPhotos:
    def folder(self, path: Path, count: int) -> Path:
        draw = np.random.default_rng(0)
        for number in range(count):
            (path / f"part{number % 2}").mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 256, (24 + number, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"part{number % 2}" / f"{number:03}.png")
        return path

    def test_pixels_are_those_of_the_files(self, tmp_path: Path) -> None:
        paths = list(sources.find((str(self.folder(tmp_path / "photos", 4)),)))
        assert [path.name for path in paths] == ["000.png", "001.png", "002.png", "003.png"]
        first = sources.load(paths, tmp_path / "cache")
        for photos in (first, sources.load(paths, tmp_path / "cache")):
            for index, path in enumerate(paths):
                expected = np.asarray(Image.open(path)).transpose(2, 0, 1)
                np.testing.assert_array_equal(photos.image(index).numpy(), expected)
            assert photos.subset([2]).image(0).shape == (3, 26, 32)

    def test_cache_is_used_and_keyed_by_the_files(self, tmp_path: Path) -> None:
        paths = list(sources.find((str(self.folder(tmp_path / "photos", 3)),)))
        sources.load(paths, tmp_path / "cache")
        (pixels_file,) = (tmp_path / "cache").glob("*.npy")
        np.save(pixels_file, np.zeros_like(np.load(pixels_file)))
        assert sources.load(paths, tmp_path / "cache").pixels.sum() == 0
        assert sources.load(paths[:2], tmp_path / "cache").pixels.sum() > 0

    def test_another_photo_of_the_same_name_and_size_is_another(self, tmp_path: Path) -> None:
        """Changed in place, and in another folder; BMP, whose files of one size in px are of one size in bytes."""
        first, second = tmp_path / "first" / "a.bmp", tmp_path / "second" / "a.bmp"
        levels = {}
        for path, level in ((first, 10), (first, 20), (second, 30)):
            path.parent.mkdir(exist_ok=True)
            changed_ns = path.stat().st_mtime_ns + 1 if path.exists() else 10**18
            Image.new("RGB", (16, 16), (level, level, level)).save(path)
            os.utime(path, ns=(changed_ns, changed_ns))
            assert path.stat().st_size == first.stat().st_size
            levels[level] = int(sources.load([path], tmp_path / "cache").pixels.unique())
        assert levels == {10: 10, 20: 20, 30: 30}

    def test_all_bad_photos_are_listed_and_nothing_is_left(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path / "photos", 4)
        for name in ("part0/000.png", "part1/003.png"):
            (folder / name).write_text("no image")
        with pytest.raises(ValueError, match=r"2 of 4 photos cannot be read") as caught:
            sources.load(list(sources.find((str(folder),))), tmp_path / "cache")
        assert [Path(line.split(":")[0].strip()).name for line in str(caught.value).splitlines()[1:]] == [
            "000.png",
            "003.png",
        ]
        assert not list((tmp_path / "cache").iterdir())

    def test_folder_or_pipe_with_the_name_of_a_photo_is_none(self, tmp_path: Path) -> None:
        self.folder(tmp_path, 2)
        (tmp_path / "album.png").mkdir()
        os.mkfifo(tmp_path / "pipe.png")
        assert [path.name for path in sources.find((str(tmp_path),))] == ["000.png", "001.png"]

    def test_split_is_disjoint_complete_and_independent_of_order(self) -> None:
        paths = [Path(f"{number:03}.webp") for number in range(847)]
        training, validation = sources.split(paths, 25)
        assert len(validation) == 34
        assert sorted(training + validation) == list(range(847))
        backwards, held_out = sources.split(paths[::-1], 25)
        assert {paths[index] for index in validation} == {paths[::-1][index] for index in held_out}
        assert len(backwards) == len(training)

    def test_the_validation_set_is_held_out_and_under_another_name_refused(self, tmp_path: Path) -> None:
        """Of five photos the second and a copy of it in another folder; every 25th by name would be the first."""
        paths = list(sources.find((str(self.folder(tmp_path, 5)),)))
        png = paths[1].read_bytes()
        listed = [ListedPhoto("001.png", len(png), hashlib.sha256(png).hexdigest())]
        copy = tmp_path / "copies" / "001.png"
        copy.parent.mkdir()
        copy.write_bytes(png)
        assert sources.split([*paths, copy], 25, listed) == ([0, 2, 3, 4], [1, 5])
        (tmp_path / "mine.png").write_bytes(png)
        with pytest.raises(ValueError, match=r"^data: .*mine\.png is 001\.png of the validation set, which is never"):
            sources.split([*paths, tmp_path / "mine.png"], 25, listed)

    def test_spread(self) -> None:
        assert sources.evenly_spread(34, 16) == sorted(set(sources.evenly_spread(34, 16)))
        assert len(sources.evenly_spread(34, 16)) == 16
        assert sources.evenly_spread(3, 16) == [0, 1, 2]

    def test_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            sources.find((str(tmp_path / "nowhere"),))

    def test_empty_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=str(tmp_path)):
            sources.find((str(tmp_path),))

    def test_no_folder_at_all_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JSCC_DATA", raising=False)
        with pytest.raises(ValueError, match="JSCC_DATA"):
            sources.find(())

    def test_a_photo_is_found_once(self, tmp_path: Path) -> None:
        self.folder(tmp_path, 3)
        (tmp_path / ".0.png").write_text("what a file manager leaves")
        assert len(sources.find((str(tmp_path), str(tmp_path / "part0")))) == 3

    def test_default_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder(tmp_path / "train", 2)
        monkeypatch.setenv("JSCC_DATA", str(tmp_path))
        assert len(sources.find(())) == 2


class TestWeights:
    def test_folder_inside_another_has_nothing_of_its_own(self, tmp_path: Path) -> None:
        inner = make_photos(tmp_path / "a" / "b", 6, 1)
        recipe = settings.load(write_recipe(tmp_path / "r.toml", [tmp_path / "a", inner], data={"weights": "[1, 1]"}))
        with pytest.raises(ValueError, match="folder 1 has no photo of its own"):
            prepare.load_photos(recipe.data)


class TestDiv2k:
    COUNT = 3

    def archive(self, photos: int) -> bytes:
        buffer, png = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (40, 36)).save(png, "PNG")
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("DIV2K_train_HR/", "")
            for number in range(photos):
                file.writestr(f"DIV2K_train_HR/{number + 1:04}.png", png.getvalue())
        return buffer.getvalue()

    @pytest.fixture
    def serve(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        folder = tmp_path / "www"
        folder.mkdir()
        monkeypatch.setenv("JSCC_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setattr(div2k, "PHOTOS", self.COUNT)
        monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *it: None)
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as http:
            thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            monkeypatch.setattr(div2k, "URL", f"http://127.0.0.1:{http.server_port}/photos.zip")

            def put(body: bytes) -> None:
                (folder / "photos.zip").write_bytes(body)
                monkeypatch.setattr(div2k, "SHA256", hashlib.sha256(body).hexdigest())

            yield put
            http.shutdown()
            thread.join()

    def test_downloaded_and_unpacked_once(self, serve: Any, tmp_path: Path) -> None:
        serve(self.archive(self.COUNT))
        found = sources.find(("div2k",))
        folder = tmp_path / "data" / "div2k" / "DIV2K_train_HR"
        assert list(found) == [folder / f"{number:04}.png" for number in (1, 2, 3)]
        assert [path.name for path in folder.parent.iterdir()] == ["DIV2K_train_HR"]
        serve(b"gone")
        assert sources.find(("div2k",)) == found

    def test_wrong_checksum(self, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        serve(self.archive(self.COUNT))
        monkeypatch.setattr(div2k, "SHA256", "0" * 64)
        with pytest.raises(ValueError, match=r"data: folders: div2k: .*wrong checksum"):
            sources.find(("div2k",))
        assert not list((tmp_path / "data" / "div2k").iterdir())

    @pytest.mark.parametrize("damage", ["count", "crc"])
    def test_damaged_archive(self, serve: Any, tmp_path: Path, damage: str) -> None:
        body = bytearray(self.archive(2 if damage == "count" else self.COUNT))
        if damage == "crc":
            body[body.index(b"IDAT") + 8] ^= 255
        serve(bytes(body))
        with pytest.raises(ValueError, match="2 photos in it, expected 3" if damage == "count" else "CRC"):
            sources.find(("div2k",))
        assert [path.name for path in (tmp_path / "data" / "div2k").iterdir()] == ["DIV2K_train_HR.zip"]


class TestCommands:
    def test_all_bad_files_are_listed_before_anything_starts(
        self, tmp_path: Path, recipe_file: Path, photos: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (photos / "1.png").write_bytes((photos / "1.png").read_bytes()[:300])
        (photos / "note.jpg").write_text("no image")
        (photos / "link.png").symlink_to(tmp_path / "gone.png")
        os.mkfifo(photos / "pipe.png")  # whoever opens it waits without end
        (photos / "folder.png").mkdir()
        assert command_line.main(train(recipe_file, 1, tmp_path / "run")) == 2
        first, *listed = capsys.readouterr().err.splitlines()
        assert first == "error: data: 2 of 6 photos cannot be read; mend or remove them:"
        names = {Path(line.split(": ")[0].strip()).name for line in listed}
        assert names == {"1.png", "note.jpg"}  # what is no file is no photo
        assert not list(cache.iterdir())
        assert not (tmp_path / "run").exists()

    def test_a_damaged_cache_is_made_anew(self, tmp_path: Path, recipe_file: Path, cache: Path) -> None:
        assert command_line.main(train(recipe_file, 1, tmp_path / "first")) == 0
        for file in cache.iterdir():
            truncated(file)
        assert command_line.main(train(recipe_file, 1, tmp_path / "second")) == 0
        first, second = (run_folder.load_state(tmp_path / name)["link"] for name in ("first", "second"))
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())

    @pytest.mark.slow
    def test_the_cache_of_photos(self, tmp_path: Path, recipe_file: Path, cache: Path) -> None:
        status, said = finish(begin("20000", *train(recipe_file, 1, tmp_path / "run"), code=LIMITED))
        assert status == 1
        assert said.splitlines()[-1].startswith(f"error: {cache}/")
        assert not list(cache.iterdir())
        assert not (tmp_path / "run").exists()
