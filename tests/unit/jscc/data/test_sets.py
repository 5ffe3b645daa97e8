"""The sets that are found or made on this machine: validation photographs and synthetic images."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from jscc.data import DatasetError, names, open_dataset
from jscc.data.validation import ListedPhoto, among, listed_photos, open_validation
from jscc.images import Pixels, read_image


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data of its own, and a cache too."""
    monkeypatch.setenv("JSCC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data"


def photo(path: Path, text: bytes) -> ListedPhoto:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return ListedPhoto(path.name, len(text), hashlib.sha256(text).hexdigest())


def test_the_list_is_every_25th_of_847_names() -> None:
    listed = listed_photos()
    assert len(listed) == len({item.sha256 for item in listed}) == 34  # 847 / 25, rounded up
    assert [item.name for item in listed] == sorted(item.name for item in listed)
    assert all(len(item.sha256) == 64 and item.size_bytes > 0 for item in listed)


def test_validation_photographs_are_found_in_any_folder_below_by_their_digests(data: Path) -> None:
    listed = [photo(data / "train" / "b" / "p2.webp", b"two"), photo(data / "train" / "a" / "p1.webp", b"one")]
    photo(data / "train" / "c" / "p1.webp", b"eno")
    photo(data / "train" / "a" / "p3.webp", b"two")
    found = open_validation(listed)
    assert [(image.id, image.path.parent.name) for image in found.images] == [
        ("validation/p1", "a"),
        ("validation/p2", "b"),
    ]
    assert among(sorted((data / "train").rglob("p*")), listed) == {
        data / "train" / "a" / "p1.webp": "p1.webp",
        data / "train" / "a" / "p3.webp": "p2.webp",
        data / "train" / "b" / "p2.webp": "p2.webp",
    }


def test_missing_validation_photographs_are_told_in_one_line(data: Path) -> None:
    there = photo(data / "train" / "p1.webp", b"one")
    with pytest.raises(
        DatasetError, match=r"^dataset validation: 1 of 2 photographs, such as p2\.webp, are not below "
    ):
        open_validation([there, ListedPhoto("p2.webp", 3, "00")])
    with pytest.raises(DatasetError, match=r"^dataset validation: 34 of 34 photographs, .* set JSCC_DATA"):
        open_dataset("validation")


@pytest.fixture
def synthetic() -> dict[str, Pixels]:
    return {image.id.removeprefix("synthetic/"): read_image(image.path) for image in open_dataset("synthetic").images}


def test_synthetic_images_are_what_they_are_called(synthetic: dict[str, Pixels]) -> None:
    assert "synthetic" in names()
    assert {pixels.shape for pixels in synthetic.values()} == {(512, 512, 3)}
    assert len(np.unique(synthetic["flat"].reshape(-1, 3), axis=0)) == 1
    red, green = synthetic["gradients"][..., 0], synthetic["gradients"][..., 1]
    assert (red[0, 0], red[0, -1], green[0, 0], green[-1, 0]) == (0, 255, 0, 255)
    assert (np.diff(red.astype(int), axis=1) >= 0).all()
    text = synthetic["text"]
    assert text.min() == 0
    assert text.max() == 255
    assert 0.5 < (text == 255).mean() < 0.95, "mostly paper"


def test_the_checkerboard_has_squares_of_four_sizes(synthetic: dict[str, Pixels]) -> None:
    board = synthetic["checkerboard"][..., 0].astype(int)
    assert set(np.unique(board)) == {0, 255}
    assert board.mean() == 127.5
    quarters = (board[:256, :256], board[:256, 256:], board[256:, :256], board[256:, 256:])
    for square_px, quarter in zip((1, 2, 4, 8), quarters, strict=True):
        changes = np.flatnonzero(np.diff(quarter[0])) + 1
        assert changes.tolist() == list(range(square_px, 256, square_px))


def test_noise_is_uniform_and_independent(synthetic: dict[str, Pixels]) -> None:
    """Fixed bits: chi-square of 255 degrees of freedom, and neighbours' correlation, within 5 standard deviations."""
    noise = synthetic["noise"]
    counts = np.bincount(noise.ravel(), minlength=256)
    expected = noise.size / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_square - 255) < 5 * np.sqrt(2 * 255)
    centred = noise.astype(float) - 127.5
    correlation = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    assert abs(correlation) < 5 / np.sqrt(noise.size)


def test_synthetic_images_are_made_once(data: Path) -> None:
    first = {image.path: image.path.stat().st_ino for image in open_dataset("synthetic").images}
    assert {path.parent for path in first} == {data / "synthetic"}
    assert {image.path: image.path.stat().st_ino for image in open_dataset("synthetic").images} == first
    damaged = data / "synthetic" / "flat.png"
    damaged.write_bytes(b"")
    open_dataset("synthetic")
    assert read_image(damaged).shape == (512, 512, 3)
    assert not [path for path in damaged.parent.iterdir() if path.name.startswith(".")]
