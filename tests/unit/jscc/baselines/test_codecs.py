"""The image codecs of the digital baselines: whole files, the same everywhere, and refusals that name the field."""

import io
import os
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from jscc.baselines import codecs
from jscc.baselines._codecs import NAMES
from jscc.images import ImageError, Pixels
from jscc.quality.scores import psnr_db

STILLS = tuple(name for name in codecs.CODECS if name.partition("_")[0] in ("jpeg", "webp", "avif"))


def photograph(height_px: int, width_px: int) -> Pixels:
    """Return waves with a little noise: neither trivial nor hopeless for a codec."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[:height_px, :width_px]
    waves = 120 + 70 * np.sin(rows / 7)[..., None] * np.cos(columns[..., None] / (5.0, 9.0, 14.0))
    return np.clip(waves + generator.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def decoded(file: bytes, codec: str, pixels: Pixels) -> Pixels:
    return codecs.decode(file, codec, *pixels.shape[:2])


def saved(pixels: Pixels, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=file_format, **options)
    return buffer.getvalue()


def test_every_name_has_a_codec() -> None:
    assert tuple(codecs.CODECS) == NAMES


@pytest.mark.parametrize(("codec", "magic"), [("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF"), ("avif", b"ftypavif")])
def test_a_file_is_complete_with_its_headers(codec: str, magic: bytes) -> None:
    pixels = photograph(40, 56)
    file = codecs.encode(pixels, codec, 60)
    assert magic in file[:16]
    with Image.open(io.BytesIO(file)) as picture:
        assert (picture.format, picture.size) == (codec.upper(), (56, 40))
        np.testing.assert_array_equal(decoded(file, codec, pixels), np.asarray(picture.convert("RGB")))


def test_files_are_what_the_settings_say() -> None:
    """The strong ones have a way with each subsampling and are tuned for the squared error; `_420` are as before."""
    pixels, avif = photograph(64, 64), {"quality": 40, "speed": 6, "max_threads": 1, "autotiling": False}
    for way, subsampling in enumerate(("4:4:4", "4:2:0")):
        jpeg = saved(pixels, "JPEG", quality=40, optimize=True, subsampling=subsampling)
        tuned = saved(pixels, "AVIF", **avif, subsampling=subsampling, advanced={"tune": "psnr"})
        assert (codecs.encode(pixels, "jpeg", 40, way), codecs.encode(pixels, "avif", 40, way)) == (jpeg, tuned)
    assert codecs.encode(pixels, "jpeg_420", 40) == jpeg
    assert codecs.encode(pixels, "avif_420", 40) == saved(pixels, "AVIF", **avif, subsampling="4:2:0") != tuned
    assert [len(codecs.ways(codec)) for codec in ("jpeg", "avif", "webp", "jpeg_420", "avif_420")] == [2, 2, 1, 1, 1]


@pytest.mark.parametrize("codec", STILLS)
def test_the_best_quality_is_close_and_larger_than_the_worst(codec: str) -> None:
    pixels = photograph(64, 64)
    choice = codecs.qualities(codec)
    worst, best = (codecs.encode(pixels, codec, quality) for quality in (choice[0], choice[-1]))
    assert len(worst) < len(best)
    assert psnr_db(pixels, decoded(worst, codec, pixels)) < 30 < psnr_db(pixels, decoded(best, codec, pixels))


@pytest.mark.parametrize("codec", STILLS)
@pytest.mark.parametrize("size_px", [(1, 1), (17, 9), (2, 300)])
def test_any_size_comes_back_and_no_other(codec: str, size_px: tuple[int, int]) -> None:
    for way in codecs.ways(codec):
        file = codecs.encode(photograph(*size_px), codec, 50, way)
        assert codecs.decode(file, codec, *size_px).shape == (*size_px, 3)
        with pytest.raises(ImageError, match=r"^image: the file holds .* px, expected "):
            codecs.decode(file, codec, size_px[0] + 2, size_px[1])


@pytest.mark.parametrize("codec", STILLS)
def test_a_view_that_is_not_contiguous_is_the_same_image(codec: str) -> None:
    pixels = photograph(32, 32)
    turned = pixels[::-1, ::2]
    assert codecs.encode(turned, codec, 50) == codecs.encode(turned.copy(), codec, 50)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to a core")
@pytest.mark.parametrize("codec", STILLS)
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


@pytest.mark.parametrize("codec", [name for name in STILLS if name.endswith("_half")])
def test_a_halved_image_costs_a_byte_more_than_its_file(codec: str) -> None:
    """The whole image in the other codec's ways, then the halved one; a side of 41 px becomes one of 21."""
    pixels, inner = photograph(41, 56), codec.removesuffix("_half")
    ways = codecs.ways(inner)
    assert codecs.ways(codec) == range(2 * len(ways))
    half = np.asarray(Image.fromarray(pixels).resize((28, 21), Image.Resampling.LANCZOS))
    for way in ways:
        assert codecs.encode(pixels, codec, 40, way) == b"\0" + codecs.encode(pixels, inner, 40, way)
        small = codecs.encode(pixels, codec, 40, len(ways) + way)
        assert small == b"\1" + codecs.encode(half, inner, 40, way)
        shown = Image.fromarray(codecs.decode(small[1:], inner, 21, 28)).resize((56, 41), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(decoded(small, codec, pixels), np.asarray(shown))
    for damaged in (b"", b"\2" + small[1:]):
        with pytest.raises(ImageError, match="image: "):
            decoded(damaged, codec, pixels)


@pytest.mark.parametrize(("codec", "quality"), [("jpeg", 0), ("jpeg", 101), ("webp", -1), ("webp", 101), ("avif", 101)])
def test_a_quality_out_of_range_is_named(codec: str, quality: int) -> None:
    with pytest.raises(ValueError, match=rf"quality: {quality} is outside of [01]\.\.100 for {codec}"):
        codecs.encode(photograph(8, 8), codec, quality)


def test_a_way_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"^way: 2 is outside of 0\.\.1 for avif$"):
        codecs.encode(photograph(8, 8), "avif", 50, 2)


def test_an_unknown_codec_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="codec: unknown codec 'bpg'; known: avif, jpeg, webp, hevc"):
        codecs.encode(photograph(8, 8), "bpg", 50)
    with pytest.raises(ValueError, match="unknown codec"):
        codecs.qualities("")
    with pytest.raises(ValueError, match="unknown codec"):
        codecs.decode(b"", "bpg", 8, 8)


@pytest.mark.parametrize("codec", STILLS)
def test_what_a_build_of_pillow_lacks_is_said(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(codecs.CodecMissingError, match=rf"^codec {codec}: this build of Pillow has no [A-Z]+$"):
        codecs.qualities(codec)


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


@pytest.mark.parametrize("codec", STILLS)
def test_half_a_file_is_an_error(codec: str) -> None:
    pixels = photograph(64, 64)
    file = codecs.encode(pixels, codec, 80)
    with pytest.raises(ImageError, match="image: "):
        decoded(file[: len(file) // 2], codec, pixels)
