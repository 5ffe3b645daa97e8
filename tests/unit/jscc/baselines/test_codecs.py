"""The image codecs of the digital baselines: whole files, the same everywhere, and refusals that name the field."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from jscc.baselines import codecs
from jscc.images import Pixels
from jscc.quality.scores import psnr_db

NAMES = tuple(codecs.CODECS)


def photograph(height_px: int, width_px: int) -> Pixels:
    """Return waves with a little noise: neither trivial nor hopeless for a codec."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[:height_px, :width_px]
    waves = 120 + 70 * np.sin(rows / 7)[..., None] * np.cos(columns[..., None] / (5.0, 9.0, 14.0))
    return np.clip(waves + generator.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("codec", "magic"), [("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF"), ("avif", b"ftypavif")])
def test_a_file_is_complete_with_its_headers(codec: str, magic: bytes) -> None:
    pixels = photograph(40, 56)
    file = codecs.encode(pixels, codec, 60)
    assert magic in file[:16]
    with Image.open(io.BytesIO(file)) as picture:
        assert (picture.format, picture.size) == (codecs.CODECS[codec].file_format, (56, 40))
        np.testing.assert_array_equal(codecs.decode(file), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("codec", NAMES)
def test_the_best_quality_is_close_and_larger_than_the_worst(codec: str) -> None:
    pixels = photograph(64, 64)
    choice = codecs.qualities(codec)
    worst, best = (codecs.encode(pixels, codec, quality) for quality in (choice[0], choice[-1]))
    assert len(worst) < len(best)
    assert psnr_db(pixels, codecs.decode(worst)) < 30 < psnr_db(pixels, codecs.decode(best))


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("size_px", [(1, 1), (17, 9), (2, 300)])
def test_any_size_comes_back(codec: str, size_px: tuple[int, int]) -> None:
    assert codecs.decode(codecs.encode(photograph(*size_px), codec, 50)).shape == (*size_px, 3)


@pytest.mark.parametrize("codec", NAMES)
def test_a_view_that_is_not_contiguous_is_the_same_image(codec: str) -> None:
    pixels = photograph(32, 32)
    turned = pixels[::-1, ::2]
    assert codecs.encode(turned, codec, 50) == codecs.encode(turned.copy(), codec, 50)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to a core")
@pytest.mark.parametrize("codec", NAMES)
def test_the_number_of_cores_does_not_change_a_file(codec: str) -> None:
    pixels, cores = photograph(256, 384), os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    on_all = codecs.encode(pixels, codec, 40)
    try:
        os.sched_setaffinity(0, {min(cores)})
        on_one = codecs.encode(pixels, codec, 40)
    finally:
        os.sched_setaffinity(0, cores)
    assert on_one == on_all


@pytest.mark.parametrize(("codec", "quality"), [("jpeg", 0), ("jpeg", 101), ("webp", -1), ("webp", 101), ("avif", 101)])
def test_a_quality_out_of_range_is_named(codec: str, quality: int) -> None:
    with pytest.raises(ValueError, match=rf"quality: {quality} is outside of [01]\.\.100 for {codec}"):
        codecs.encode(photograph(8, 8), codec, quality)


def test_an_unknown_codec_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="codec: unknown codec 'bpg'; known: jpeg, webp, avif"):
        codecs.encode(photograph(8, 8), "bpg", 50)
    with pytest.raises(ValueError, match="unknown codec"):
        codecs.qualities("")


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels: Pixels) -> None:
    with pytest.raises(ValueError, match=r"pixels: must be uint8 \[H, W, 3\]"):
        codecs.encode(pixels, "jpeg", 50)


@pytest.mark.parametrize("codec", NAMES)
def test_half_a_file_is_an_error(codec: str) -> None:
    file = codecs.encode(photograph(64, 64), codec, 80)
    with pytest.raises(ValueError, match="image: "):
        codecs.decode(file[: len(file) // 2])
