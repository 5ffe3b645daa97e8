"""Data sets are found, checked, downloaded or replaced; the user is told which one it was."""

import gc
import hashlib
import io
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from jscc import images
from jscc.data import datasets
from jscc.data.datasets import DatasetError, DownloadError

REPOSITORY = Path(__file__).parents[3]
DATA = Path(os.environ.get("JSCC_DATA") or REPOSITORY.parent / "shared" / "data")
BODY = bytes(range(256)) * 1000
BODY_SHA256 = hashlib.sha256(BODY).hexdigest()

needs_kodak = pytest.mark.skipif(not (DATA / "kodak").is_dir(), reason="no Kodak images in $JSCC_DATA")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, but nobody listens: a connection is refused
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data, an empty home and no network."""
    monkeypatch.delenv("JSCC_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(datasets, "KODAK_URL", f"http://127.0.0.1:{closed_port}/")
    monkeypatch.setattr(datasets, "ALEXNET_URL", f"http://127.0.0.1:{closed_port}/alexnet-owt-7be5be79.pth")
    return tmp_path / "home"


@pytest.fixture
def progress() -> Progress:
    return Progress(console=Console(file=io.StringIO()))


class Files(BaseHTTPRequestHandler):
    """Serves the Kodak images, /body, and nothing else."""

    def do_GET(self) -> None:
        source = DATA / "kodak" / Path(self.path).name
        body = BODY if self.path == "/body" else source.read_bytes() if source.is_file() else None
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.fixture
def kodak_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(DATA / "kodak", tmp_path / "data" / "kodak", copy_function=shutil.copyfile)
    (tmp_path / "data" / "kodak").chmod(0o755)
    monkeypatch.setenv("JSCC_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "kodak"


def write_images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(images.encode_png(np.zeros((2, 2, 3), np.uint8)))


@needs_kodak
def test_kodak_is_read_in_place_and_its_checksums_agree(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("JSCC_DATA", str(DATA))
    kodak = datasets.open_dataset("kodak")
    assert (kodak.name, kodak.note) == ("kodak", None)
    assert [ref.id for ref in kodak.images] == [f"kodak/kodim{number:02d}" for number in range(1, 25)]
    sizes = {images.read_image(ref.path).shape for ref in kodak.images}
    assert sizes == {(512, 768, 3), (768, 512, 3)}
    assert not home.exists()


@needs_kodak
def test_damaged_file_of_kodak_is_refused_by_name_and_kept(kodak_copy: Path) -> None:
    raw = bytearray((kodak_copy / "kodim07.png").read_bytes())
    raw[-100] ^= 1
    (kodak_copy / "kodim07.png").write_bytes(raw)
    with pytest.raises(DatasetError, match=r"dataset kodak: .*kodim07\.png is damaged"):
        datasets.open_dataset("kodak")
    assert (kodak_copy / "kodim07.png").read_bytes() == raw


@needs_kodak
def test_missing_files_of_kodak_are_downloaded_beside_the_others(
    kodak_copy: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kodim03.png", "kodim24.png"):
        (kodak_copy / name).unlink()
    monkeypatch.setattr(datasets, "KODAK_URL", server)
    kodak = datasets.open_dataset("kodak")
    assert kodak.name == "kodak"
    assert all(ref.path.parent == kodak_copy and ref.path.is_file() for ref in kodak.images)
    monkeypatch.setattr(datasets, "KODAK_URL", "http://127.0.0.1:1/")
    assert datasets.open_dataset("kodak") == kodak


@needs_kodak
def test_kodak_is_downloaded_to_the_cache_without_a_data_folder(
    server: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "KODAK_URL", server)
    kodak = datasets.open_dataset("kodak")
    assert kodak.name == "kodak"
    assert sorted(path.name for path in (home / ".cache/jscc-link/kodak").iterdir()) == [
        f"kodim{number:02d}.png" for number in range(1, 25)
    ]
    assert capsys.readouterr() == ("", "")


def test_samples_take_the_place_of_kodak_without_a_network() -> None:
    start_s = time.monotonic()
    fallback = datasets.open_dataset("kodak")
    assert time.monotonic() - start_s < 10
    samples = datasets.open_dataset("samples")
    assert (fallback.name, fallback.images) == ("samples", samples.images)
    assert fallback.note is not None
    assert fallback.note.startswith("dataset: samples instead of kodak (http://127.0.0.1:")
    assert "Connection refused" in fallback.note
    assert "\n" not in fallback.note


def test_samples_take_the_place_of_kodak_if_no_folder_can_be_written(home: Path) -> None:
    home.write_bytes(b"a file where the home folder should be")
    note = datasets.open_dataset("kodak").note
    assert note is not None
    assert "neither $JSCC_DATA nor ~/.cache/jscc-link can be written" in note


def test_samples_are_colour_photographs() -> None:
    samples = datasets.open_dataset("samples")
    assert samples.note is None
    assert "samples/astronaut" in {ref.id for ref in samples.images}
    for ref in samples.images:
        pixels = images.read_image(ref.path)
        assert min(pixels.shape[:2]) >= 256, ref.id
        assert (pixels[:, :, 0] != pixels[:, :, 2]).mean() > 0.5, ref.id


def test_folder_gives_all_its_images_sorted(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    write_images(folder, "b.png", "a.PNG", "c.jpeg", ".hidden.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "more.png").mkdir()
    found = datasets.open_dataset(str(folder))
    assert (found.name, found.note) == ("holiday", None)
    assert [ref.id for ref in found.images] == ["holiday/a", "holiday/b", "holiday/c"]
    assert [ref.path.name for ref in found.images] == ["a.PNG", "b.png", "c.jpeg"]


def test_folder_is_named_the_same_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "holiday", "a.png")
    expected = datasets.open_dataset(f"{tmp_path}/holiday/")
    monkeypatch.chdir(tmp_path / "holiday")
    assert datasets.open_dataset(".") == expected


def test_ids_are_unique_even_if_stems_are_not(tmp_path: Path) -> None:
    write_images(tmp_path / "f", "a.png", "a.jpg", "b.png", "c.png.png", "c.png")
    ids = [ref.id for ref in datasets.open_dataset(str(tmp_path / "f")).images]
    assert ids == ["f/a.jpg", "f/a.png", "f/b", "f/c", "f/c.png.png"]


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset: the folder .* holds no images \(\.avif"):
        datasets.open_dataset(str(tmp_path))


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"dataset: 'kodok' is neither a folder nor one of: kodak, samples"):
        datasets.open_dataset("kodok")


def test_names_can_be_opened() -> None:
    for name in datasets.names():
        assert datasets.open_dataset(name).images


@pytest.mark.parametrize("name", ["alexnet_features.pth", "alexnet-owt-7be5be79.pth"])
def test_weights_are_found_in_the_data_folder(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSCC_DATA", str(tmp_path))
    (tmp_path / "lpips").mkdir()
    (tmp_path / "lpips" / name).touch()
    assert datasets.lpips_backbone() == datasets.Backbone(tmp_path / "lpips" / name)


def test_weights_are_downloaded_once(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "ALEXNET_URL", f"{server}body")
    monkeypatch.setattr(datasets, "_ALEXNET_SHA256", BODY_SHA256[:8])
    expected = datasets.Backbone(home / ".cache/jscc-link/lpips/body")
    assert datasets.lpips_backbone() == expected
    monkeypatch.setattr(datasets, "ALEXNET_URL", "http://127.0.0.1:1/body")
    assert datasets.lpips_backbone() == expected


def test_without_weights_a_line_says_so() -> None:
    backbone = datasets.lpips_backbone()
    assert backbone.path is None
    assert backbone.note is not None
    assert backbone.note.startswith("lpips: the LPIPS columns stay empty")
    assert "\n" not in backbone.note


@pytest.mark.parametrize("digits", [64, 8])
def test_download_writes_the_checked_file(tmp_path: Path, server: str, progress: Progress, digits: int) -> None:
    datasets.download(f"{server}body", tmp_path / "x", BODY_SHA256[:digits], progress)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [BODY]


@pytest.mark.parametrize(("path", "reason"), [("body", "wrong checksum"), ("gone", "404")])
def test_failed_download_leaves_neither_file_nor_connection(
    tmp_path: Path, server: str, progress: Progress, path: str, reason: str
) -> None:
    text = ""
    try:
        datasets.download(f"{server}{path}", tmp_path / "x", "0" * 64, progress)
    except DownloadError as error:
        text = str(error)
    assert text.startswith(f"{server}{path}: ")
    assert reason in text
    assert not list(tmp_path.iterdir())
    gc.collect()  # a connection left open would raise its warning here


def test_server_that_never_answers_is_given_up(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/body"
        with pytest.raises(DownloadError, match=r"timed out|no answer within 0\.2 s"):
            datasets.download(url, tmp_path / "x", BODY_SHA256, progress)
    assert not list(tmp_path.iterdir())


def test_name_look_up_that_hangs_is_given_up(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_is_over = threading.Event()

    def look_up(*arguments: object, **options: object) -> None:
        test_is_over.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(datasets, "ANSWER_TIMEOUT_S", 0.2)
    with pytest.raises(DownloadError, match=r"http://images\.invalid/body: no answer within 0\.2 s"):
        datasets.download("http://images.invalid/body", tmp_path / "x", BODY_SHA256, progress)
    test_is_over.set()
    assert not list(tmp_path.iterdir())
