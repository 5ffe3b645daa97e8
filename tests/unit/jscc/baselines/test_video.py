"""HEVC and VVC pictures by ffmpeg: whole bitstreams without what is not needed, close to the original, any size."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from jscc.baselines import codecs, ideal
from jscc.baselines._codecs import video
from jscc.images import ImageError, Pixels
from jscc.quality.scores import psnr_db

INSTALLED = importlib.util.find_spec("imageio_ffmpeg") is not None
needs_ffmpeg = pytest.mark.skipif(not INSTALLED, reason="imageio-ffmpeg (extra codecs) is not installed")
every_codec = pytest.mark.parametrize("codec", ["hevc", "vvc"])
BLACK = ("-f", "lavfi", "-i", "color")
START = re.compile(b"\0\0\1")


def waves(height_px: int, width_px: int) -> Pixels:
    """Return smooth waves of other colours in each channel, with a little noise."""
    rows, columns = np.mgrid[:height_px, :width_px]
    pixels = 120 + 70 * np.sin(rows / 7)[..., None] * np.cos(columns[..., None] / (5.0, 9.0, 14.0))
    return np.clip(pixels + np.random.default_rng(1).normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("halves_chroma", [False, True])
def test_planes_are_those_of_jpeg_with_ten_bits(halves_chroma: bool) -> None:
    """Luma and chroma of ITU-T T.871 for four colours, times 1023 / 255: one plain colour per picture."""
    colours = {
        (255, 255, 255): (1023, 512, 512),
        (0, 0, 0): (0, 512, 512),
        (255, 0, 0): (306, 339, 1023),  # 76.245, 128 - 43.0, 128 + 127.5
        (0, 0, 255): (117, 1023, 429),  # 29.07, 128 + 127.5, 128 - 20.7
    }
    for colour, expected in colours.items():
        pixels = np.full((4, 6, 3), colour, np.uint8)
        samples = np.frombuffer(video._to_planes(pixels, halves_chroma), "<u2")
        luma, *chroma = np.split(samples, [24, 24 + (samples.size - 24) // 2])
        assert samples.size == 24 * (3 if not halves_chroma else 1.5)
        for plane, value in zip((luma, *chroma), expected, strict=True):
            np.testing.assert_allclose(plane, value, atol=1)
        shown = video._to_pixels(samples.astype(np.float64), (4, 6), halves_chroma)
        np.testing.assert_allclose(shown.astype(int), pixels, atol=1)


def test_ten_bits_lose_no_pixel() -> None:
    """Rounding to a 1023rd moves a colour by less than 0.4 of 255, so that nearly all come back, none off by two."""
    pixels = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    samples = np.frombuffer(video._to_planes(pixels, False), "<u2").astype(np.float64)
    off = np.abs(video._to_pixels(samples, (64, 64), False).astype(int) - pixels)
    assert off.max() <= 1
    assert off.mean() < 0.01


@needs_ffmpeg
@every_codec
def test_a_bitstream_is_parameter_sets_and_one_picture(codec: str) -> None:
    """No comments, checksums or delimiters: H.265 7.4.2.2 has VPS 32, SPS 33, PPS 34 and IDR 19, 20 in 6 bits of the
    first byte; H.266 7.4.2.2 has SPS 15, PPS 16, APS 17 and IDR 7, 8 in 5 bits of the second."""
    file = codecs.encode(waves(40, 56), codec, 100)
    heads = [file[match.end() : match.end() + 2] for match in START.finditer(file)]
    kinds = [head[0] >> 1 & 63 if codec == "hevc" else head[1] >> 3 for head in heads]
    allowed, picture = ({32, 33, 34}, {19, 20}) if codec == "hevc" else ({15, 16, 17}, {7, 8})
    assert set(kinds[:-1]) <= allowed
    assert kinds[-1] in picture


@needs_ffmpeg
def test_a_weight_of_one_is_the_encoders_own() -> None:
    """HEVC with our tables times 1 makes the bitstream of HEVC without any; a larger weight saves bits."""
    pixels, ours = waves(64, 64), video.HEVC.encoder(video.QualityStep(30, 1.0))
    own = [argument.replace(":lambda-file=weights.txt", "") for argument in ours.arguments]
    assert own != list(ours.arguments)
    steps = (video.QualityStep(30, 1.1), video.QualityStep(30, 1.0))
    files = [replace(video.HEVC, steps=steps).encode(pixels, at, 0) for at in range(2)]
    assert files[1] == replace(video.HEVC, steps=steps, encoder=lambda step: video.Call(own)).encode(pixels, 1, 0)
    assert len(files[0]) < len(files[1])


@needs_ffmpeg
@every_codec
@pytest.mark.parametrize("size_px", [(1, 1), (17, 9), (2, 300)])
def test_any_size_comes_back_and_no_other(codec: str, size_px: tuple[int, int]) -> None:
    file = codecs.encode(waves(*size_px), codec, 100)
    assert codecs.decode(file, codec, *size_px).shape == (*size_px, 3)
    with pytest.raises(ImageError, match=r"^image: the file holds \d+ samples, expected 300x64 px$"):
        codecs.decode(file, codec, 64, 300)


@needs_ffmpeg
@every_codec
@pytest.mark.slow
def test_the_best_quality_is_close_and_larger_than_the_worst(codec: str) -> None:
    pixels = waves(64, 64)
    made = [codecs.encode(pixels, codec, quality) for quality in (0, 60, 120, codecs.qualities(codec)[-1])]
    levels_db = [psnr_db(pixels, codecs.decode(file, codec, 64, 64)) for file in made]
    assert [len(file) for file in made] == sorted(len(file) for file in made)
    assert levels_db == sorted(levels_db)
    assert levels_db[0] < 30
    assert levels_db[-1] > (45 if codec == "hevc" else 38)  # VVC's colours have half the resolution


@needs_ffmpeg
@every_codec
@pytest.mark.slow
def test_what_is_sent_fits_and_the_next_step_does_not(codec: str) -> None:
    image = ideal.CodedImage(waves(64, 96), codec)
    for snr_db in (0.0, 10.0):
        sent = ideal.rate_adaptive(image, 0.25, snr_db)
        assert sent.choice is not None
        assert sent.size_bits <= sent.budget_bits
        for further in range(1, ideal.LOOKAHEAD + 1):
            assert image.size_bits(sent.choice._replace(quality=sent.choice.quality + further)) > sent.budget_bits


@needs_ffmpeg
@every_codec
def test_what_is_no_bitstream_is_an_error(codec: str) -> None:
    file = codecs.encode(waves(40, 56), codec, 100)
    for damaged in (b"", b"no bitstream at all", file[:10]):
        with pytest.raises(ImageError, match=r"^image: damaged or truncated \(ffmpeg: "):
            codecs.decode(damaged, codec, 40, 56)


@needs_ffmpeg
def test_what_ffmpeg_says_is_said() -> None:
    """Such as that of another ffmpeg than the package's own, which may lack an encoder."""
    with pytest.raises(RuntimeError, match=r"^ffmpeg: Unknown encoder 'nosuch'$"):
        video._run(video.Call((*BLACK, "-frames:v", "1", "-c:v", "nosuch", "-f", "hevc", "pipe:1")), b"", 1)


@needs_ffmpeg
def test_an_ffmpeg_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_SECONDS", 0.0)
    with pytest.raises(TimeoutError, match=r"^ffmpeg: not done within 0 s$"):
        video._run(video.Call(("-re", *BLACK, "-f", "null", "pipe:1")), b"", 1)


WITHOUT_FFMPEG = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "imageio_ffmpeg" else found(name, *rest)
from jscc.baselines import codecs
for codec in ("hevc", "vvc"):
    try:
        codecs.qualities(codec)
    except codecs.CodecMissingError as error:
        print(error)
print(*codecs.qualities("avif")[:1])
"""


def test_without_the_extra_the_codec_says_how_to_get_it() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_FFMPEG], capture_output=True, text=True, check=True)
    remedy = "imageio-ffmpeg is not installed: pip install 'jscc-link[codecs]'"
    assert result.stdout.splitlines() == [f"codec hevc: {remedy}", f"codec vvc: {remedy}", "0"]
