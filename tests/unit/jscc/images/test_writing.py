"""Pixels are written whole or not at all, to a place that is checked beforehand, and have a digest."""

import hashlib
import os
import re
import resource
import struct
from pathlib import Path

import numpy as np
import pytest

from jscc import images
from jscc.images import ImageError


def random_pixels(height_px: int, width_px: int) -> images.Pixels:
    return np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (1, 4096), (4096, 1), (7, 5), (512, 768)])
def test_png_comes_back_bit_for_bit(tmp_path: Path, height_px: int, width_px: int) -> None:
    pixels = random_pixels(height_px, width_px)
    images.write_image(tmp_path / "x.png", pixels)
    for source in (tmp_path / "x.png", str(tmp_path / "x.png"), images.encode_png(pixels)):
        received = images.read_image(source)
        assert received.dtype == np.uint8
        assert received.flags.writeable
        np.testing.assert_array_equal(received, pixels)


@pytest.mark.parametrize("suffix", ["", ".png", ".PNG", ".webp", ".tif", ".tiff", ".bmp", ".ppm"])
def test_lossless_suffixes_lose_nothing(tmp_path: Path, suffix: str) -> None:
    pixels = random_pixels(9, 14)
    images.write_image(tmp_path / f"x{suffix}", pixels)
    np.testing.assert_array_equal(images.read_image(tmp_path / f"x{suffix}"), pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_written_at_high_quality(tmp_path: Path, suffix: str) -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], 64, axis=1).repeat(3, axis=2)
    images.write_image(tmp_path / f"x{suffix}", ramp)
    error = images.read_image(tmp_path / f"x{suffix}").astype(int) - ramp
    assert (tmp_path / f"x{suffix}").read_bytes()[:2] == b"\xff\xd8"
    assert np.abs(error).max() <= 3


def test_unknown_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"x\.xyz: cannot be written as '\.xyz'; known suffixes: .*\.png"):
        images.write_image(tmp_path / "x.xyz", random_pixels(2, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_writing_another_kind_of_array_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"must be uint8 \[H, W, 3\]"):
        images.encode_png(array)
    with pytest.raises(ImageError, match=r"must be uint8 \[H, W, 3\]"):
        images.write_image(tmp_path / "x.png", array)


PLACES = [
    ("out.gif", r"cannot be written as '\.gif'; known suffixes: \.png .*"),
    ("missing/x.png", r"cannot be written \(there is no folder .*missing; create it first\)"),
    ("folder", r"cannot be written \(it is a folder; name a file in it\)"),
    ("file/x.png", r"cannot be written \(there is no folder .*file; create it first\)"),
    ("pipe.png", r"cannot be written \(it is no regular file; name another\)"),
    (f"{'n' * 300}.png", r"cannot be written \(File name too long\)"),
    ("/dev/null", r"cannot be written \(it is no regular file; name another\)"),
    ("/proc/x.png", r"cannot be written \((No such file or directory|Permission denied)\)"),
]


@pytest.mark.parametrize(("place", "reason"), PLACES)
def test_place_that_cannot_be_written_is_refused_by_name(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ImageError, match=rf"^image .*{re.escape(Path(place).name[-20:])}: {reason}$"):
        images.check_writable(tmp_path / place)
    with pytest.raises(ImageError, match=reason):
        images.write_image(tmp_path / place, random_pixels(2, 2))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("locked", ["folder", "folder/x.png"])
def test_place_without_permission_is_refused(tmp_path: Path, locked: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.png").touch()
    (tmp_path / locked).chmod(0o555)
    with pytest.raises(ImageError, match=r"x\.png: cannot be written \(Permission denied\)$"):
        images.check_writable(tmp_path / "folder" / "x.png")
    (tmp_path / locked).chmod(0o755)


@pytest.mark.parametrize("name", ["new.png", "old.png", "link.png", "no_suffix", "n" * 251 + ".png"])
def test_place_that_can_be_written_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "old.png")
    images.check_writable(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"


def test_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "file.png")
    images.write_image(tmp_path / "link.png", random_pixels(2, 2))
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(images.read_image(tmp_path / "file.png"), random_pixels(2, 2))


def test_disk_that_is_full_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"old")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with pytest.raises(ImageError, match=r"^image .*x\.png: cannot be written \(File too large\)$"):
            images.write_image(tmp_path / "x.png", random_pixels(100, 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == b"old"


def test_digest_is_that_of_shape_and_bytes() -> None:
    pixels = random_pixels(2, 3)
    expected = hashlib.blake2b(struct.pack("<qqq", 2, 3, 3) + pixels.tobytes(), digest_size=8).hexdigest()
    assert images.pixel_digest(pixels) == expected
    assert images.pixel_digest(np.asfortranarray(pixels)) == expected
    other = pixels.copy()
    other[1, 2, 2] ^= 1
    assert len({images.pixel_digest(x) for x in (pixels, other, pixels.reshape(3, 2, 3))}) == 3
    with pytest.raises(ImageError, match=r"must be uint8 \[H, W, 3\]"):
        images.pixel_digest(pixels.astype(np.float32))


def test_digest_is_the_same_for_two_files_of_one_picture(tmp_path: Path) -> None:
    pixels = random_pixels(5, 7)
    for name in ("a.png", "b.webp"):
        images.write_image(tmp_path / name, pixels)
        assert images.pixel_digest(images.read_image(tmp_path / name)) == images.pixel_digest(pixels)
