"""Data sets of folders and of the package: found, named, checked before anything starts, and offered to strangers."""

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from factories import REPOSITORY

from jscc import images
from jscc.data import DatasetError, check_images, names, open_dataset, open_offered, samples

SAMPLES = {  # SHA-256 of the pixels that scikit-image 0.26 returns, whose photographs they are
    "astronaut.png": "a8c429c18afa7b0fd5673e598d73a21225d94c864a71bbb3885126fdecb41071",
    "chelsea.png": "416b729128bfb2c3d1eb69bf9b1734a796293abc17939267b2dc94f8a5784031",
    "coffee.png": "0ce2b51640b9c95f19617f03eabf40c3f0368589cc1ee1190b70966165ac184f",
    "motorcycle_left.png": "ca829467c1d4f427da9c4862ba43829da6ac90afe1f75735e95dba9e3fd9620b",
    "rocket.jpg": "3d4435cc745752b7f9724df88c6e18817de3ce7e3d2d71c55f85f7831e68f197",
}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def write_images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(images.encode_png(np.zeros((2, 2, 3), np.uint8)))


def test_samples_are_colour_photographs() -> None:
    found = open_dataset("samples")
    assert found.note is None
    assert "samples/astronaut" in {ref.id for ref in found.images}
    for ref in found.images:
        pixels = images.read_image(ref.path)
        assert min(pixels.shape[:2]) >= 256, ref.id
        assert (pixels[:, :, 0] != pixels[:, :, 2]).mean() > 0.5, ref.id


def test_samples_come_with_the_package_and_are_those_that_they_were() -> None:
    refs = open_dataset("samples").images
    assert {ref.path.name: hashlib.sha256(images.read_image(ref.path)).hexdigest() for ref in refs} == SAMPLES
    notice = (samples.FOLDER / "NOTICE").read_text(encoding="utf-8")
    for ref in refs:
        assert ref.path.name in notice
        assert hashlib.sha256(ref.path.read_bytes()).hexdigest() in notice
    pattern, _ = PROJECT["tool"]["setuptools"]["package-data"]["jscc.data"]
    shipped = set((samples.FOLDER.parent).glob(pattern))
    assert {*(ref.path for ref in refs), samples.FOLDER / "NOTICE"} == shipped
    assert sum(path.stat().st_size for path in shipped) < 3_000_000


def test_import_loads_nothing_that_is_slow() -> None:
    heavy = {"torch", "numpy", "PIL", "matplotlib", "rich", "pooch", "requests", "platformdirs", "skimage", "scipy"}
    code = f"import sys, jscc.data; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_folder_gives_all_its_images_sorted(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    write_images(folder, "b.png", "a.PNG", "c.jpeg", ".hidden.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "more.png").mkdir()
    found = open_dataset(str(folder))
    assert (found.name, found.note) == ("holiday", None)
    assert [ref.id for ref in found.images] == ["holiday/a", "holiday/b", "holiday/c"]
    assert [ref.path.name for ref in found.images] == ["a.PNG", "b.png", "c.jpeg"]


def test_folder_is_named_the_same_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "holiday", "a.png")
    expected = open_dataset(f"{tmp_path}/holiday/")
    monkeypatch.chdir(tmp_path / "holiday")
    assert open_dataset(".") == expected


def test_ids_are_unique_even_if_stems_are_not(tmp_path: Path) -> None:
    write_images(tmp_path / "f", "a.png", "a.jpg", "b.png", "c.png.png", "c.png")
    ids = [ref.id for ref in open_dataset(str(tmp_path / "f")).images]
    assert ids == ["f/a.jpg", "f/a.png", "f/b", "f/c", "f/c.png.png"]


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset: the folder .* holds no images \(\.avif"):
        open_dataset(str(tmp_path))


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        DatasetError, match=r"dataset: 'kodok' is neither a folder nor one of: kodak, samples, synthetic, validation"
    ):
        open_dataset("kodok")


def test_names_can_be_opened() -> None:
    for name in names():
        assert open_dataset(name).images


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 5000, "a\0b", "~nobody-of-this-name/x", "", "~" * 300])
def test_name_that_no_folder_has_is_refused_and_cut(name: str) -> None:
    with pytest.raises(
        DatasetError, match=r"dataset: .* is neither a folder nor one of: kodak, samples, synthetic, validation"
    ) as caught:
        open_dataset(name)
    assert len(str(caught.value)) < 200


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_folder_without_permission_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(DatasetError, match=r"^dataset: the folder .*locked cannot be read \(Permission denied\)$"):
        open_dataset(str(tmp_path / "locked"))


def test_all_bad_images_are_listed_with_their_reasons(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{number:02}.png" for number in range(5)))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "01.png").write_bytes(images.encode_png(noise)[:6000])
    (tmp_path / "03.png").write_text("no image")
    (tmp_path / "04.png").write_bytes(images.encode_png(np.zeros((4097, 1, 3), np.uint8)))
    found = open_dataset(str(tmp_path))
    with pytest.raises(DatasetError) as caught:
        check_images(found.images)
    first, *others = str(caught.value).splitlines()
    assert first == "dataset: 3 of the images cannot be read; repair or remove them:"
    assert [line.split(":")[0] for line in others] == ["  01.png", "  03.png", "  04.png"]
    for line, reason in zip(others, ["damaged or truncated", "not an image in a known format", "4097 px"], strict=True):
        assert reason in line
    check_images([ref for ref in found.images if ref.path.stem in ("00", "02")])


def test_list_of_bad_images_ends_somewhere(tmp_path: Path) -> None:
    for number in range(23):
        (tmp_path / f"{'n' * 200}{number}.png").write_text("no image")
    with pytest.raises(DatasetError) as caught:
        check_images(open_dataset(str(tmp_path)).images)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("dataset: 23 of the images")
    assert (len(lines), lines[-1]) == (22, "  and 3 more")
    assert max(len(line) for line in lines) < 250


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "root" / "a" / "b", "x.png")
    write_images(tmp_path / "root", "x.png")
    write_images(tmp_path / "outside", "x.png")
    (tmp_path / "root" / "empty").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "~").mkdir()
    return tmp_path / "root"


def test_stranger_is_offered_named_sets_and_folders_below_the_root(root: Path) -> None:
    assert open_offered("samples", root) == open_offered("samples", None) == open_dataset("samples")
    for name in ("a/b", "a/b/", "./a/b"):
        assert open_offered(name, root) == open_dataset(str(root / "a" / "b"))


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "nowhere", "empty", "link", "x.png", "..", "a/../a/b", "../outside", "/", "/etc", "/proc/self/fd"),
        *("~", "~root", "a/b" + "/" * 98, "n" * 300, "a\0b", "a\nb"),
    ],
)
def test_every_refusal_of_a_stranger_is_one_sentence(root: Path, name: str) -> None:
    sentence = (
        f"dataset: {name[:100]!r} is not offered; expected one of: kodak, samples, synthetic, validation, or a folder "
        "of images below JSCC_DATA by its relative name of at most 100 characters"
    )
    for offered in (root, None):
        with pytest.raises(DatasetError) as caught:
            open_offered(name, offered)
        assert str(caught.value) == sentence


def test_absolute_name_of_an_offered_folder_is_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match="is not offered"):
        open_offered(str(root / "a" / "b"), root)
