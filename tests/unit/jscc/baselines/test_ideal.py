"""Ideal digital links: what fits is sent, the best of it; what does not arrive is the mean colour; the cliff."""

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from factories import REPOSITORY
from hypothesis import example, given
from hypothesis import strategies as st

from jscc import cancel, signals
from jscc.baselines import codecs, ideal
from jscc.baselines.ideal import LOOKAHEAD, Choice, CodedImage
from jscc.cancel import AbandonedError, Cancellation
from jscc.images import Pixels, read_image
from jscc.quality.scores import psnr_db

STILLS = tuple(name for name in codecs.CODECS if name.partition("_")[0] in ("jpeg", "webp", "avif"))
KODAK = Path(os.environ.get("JSCC_DATA") or REPOSITORY.parent / "shared" / "data") / "kodak"


def photograph(height_px: int = 64, width_px: int = 96) -> Pixels:
    """Return waves with a little noise, whose files have many different sizes."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[:height_px, :width_px]
    waves = 120 + 70 * np.sin(rows / 7)[..., None] * np.cos(columns[..., None] / (5.0, 9.0, 14.0))
    return np.clip(waves + generator.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def two_colours() -> Pixels:
    """Return a picture of 0 and 200 in equal parts: mean colour 100, mean squared distance from it 100^2."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[::2] = 200
    return pixels


@pytest.mark.parametrize(
    ("uses", "snr", "bits"), [(294912, 1.0, 147456), (1000, 3.0, 1000), (7, 15.0, 14), (3, 1.0, 1), (0, 1.0, 0)]
)
def test_budget_is_capacity_times_channel_uses_in_whole_bits(uses: int, snr: float, bits: int) -> None:
    # A hair above, so that the rounding of the logarithm does not decide where the product is a whole number.
    assert ideal.budget_bits(uses, 10 * math.log10(snr) + 1e-9) == bits


@given(uses=st.integers(1, 10**7), height_px=st.integers(1, 4096), width_px=st.integers(1, 4096))
def test_channel_uses_invert_the_bandwidth_ratio(uses: int, height_px: int, width_px: int) -> None:
    rho = signals.bandwidth_ratio(uses, height_px, width_px)
    assert ideal.channel_uses(rho, height_px, width_px) == uses


@pytest.mark.parametrize(("size_bits", "uses", "snr"), [(500, 1000, 1.0), (1000, 1000, 3.0), (2000, 1000, 15.0)])
def test_needed_snr_where_capacity_is_a_round_number(size_bits: int, uses: int, snr: float) -> None:
    assert ideal.needed_snr_db(size_bits, uses) == pytest.approx(10 * math.log10(snr), abs=1e-12)


@given(size_bits=st.integers(1, 10**9), uses=st.integers(1, 10**9))
@example(size_bits=5_120_000, uses=10_000)  # an SNR of 3083 dB, whose power is too large for a float
@example(size_bits=10**9, uses=1)
@example(size_bits=1, uses=10**9)
def test_needed_snr_carries_the_bits_and_no_less_does(size_bits: int, uses: int) -> None:
    needed_db = ideal.needed_snr_db(size_bits, uses)
    hair_db = 1e-6 + 1e-14 * abs(needed_db)
    assert ideal.budget_bits(uses, needed_db + hair_db) >= size_bits
    assert ideal.budget_bits(uses, needed_db - hair_db) < size_bits


@pytest.mark.parametrize(("size_bits", "uses"), [(1, 1), (2**53, 1), (1, 2**53), (2**53, 2**53)])
def test_needed_snr_at_the_ends_of_its_range(size_bits: int, uses: int) -> None:
    """10 log10(4^(size / uses) - 1), for which whole numbers and `4^r - 1 = r ln 4` do where floats do not."""
    share = Fraction(size_bits, uses)
    if share >= 1:
        expected_db = 10 * math.log10(3) if share == 1 else float(share * Fraction(10 * math.log10(4)))
    else:
        expected_db = 10 * math.log10(float(share) * math.log(4))
    assert ideal.needed_snr_db(size_bits, uses) == pytest.approx(expected_db, rel=1e-12)


@st.composite
def sizes(draw: st.DrawFn) -> list[int]:
    """Draw sizes that rise, but for blocks of LOOKAHEAD neighbours in any order."""
    rising = sorted(draw(st.lists(st.integers(1, 1000), min_size=1, max_size=40)))
    blocks = [rising[i : i + LOOKAHEAD] for i in range(0, len(rising), LOOKAHEAD)]
    return [size for block in blocks for size in draw(st.permutations(block))]


@given(sizes=sizes(), first=st.integers(0, 1), limit=st.integers(0, 1001))
def test_the_search_finds_what_trying_everything_finds(sizes: list[int], first: int, limit: int) -> None:
    fitting = [quality for quality, size in enumerate(sizes, start=first) if size <= limit]
    found = ideal.best_quality(lambda quality: sizes[quality - first], range(first, first + len(sizes)), limit)
    assert found == (fitting[-1] if fitting else None)


@pytest.mark.parametrize("limit", [0, 1, 40, 50, 77, 100, 101, 1000])
def test_the_search_tries_ten_files_of_a_hundred(limit: int) -> None:
    tried = set()

    def size_bits(quality: int) -> int:
        tried.add(quality)
        return quality + 1

    assert ideal.best_quality(size_bits, range(101), limit) == (min(limit - 1, 100) if limit else None)
    assert len(tried) <= 7 + LOOKAHEAD  # 2^7 > 101


@pytest.mark.parametrize(
    "codec", [pytest.param(name, marks=[pytest.mark.slow] if name in ("avif", "avif_half") else []) for name in STILLS]
)
@pytest.mark.parametrize(("rho", "snr_db"), [(1.0, 5.0), (0.5, 15.0)])
def test_what_is_sent_fits_and_nothing_better_does(codec: str, rho: float, snr_db: float) -> None:
    """Of each way the largest file within the budget, by trying all, and of these the one with the best PSNR."""
    image = CodedImage(photograph(), codec)
    sent = ideal.rate_adaptive(image, rho, snr_db)
    budget = math.floor(rho * 3 * 64 * 96 * 0.5 * math.log2(1 + 10 ** (snr_db / 10)))
    fitting = {}
    for way in codecs.ways(codec):
        files = {q: codecs.encode(image.pixels, codec, q, way) for q in codecs.qualities(codec)}
        within = [q for q, file in files.items() if 8 * len(file) <= budget]
        assert way or codecs.qualities(codec)[-1] not in within, "the budget is so large that the test shows nothing"
        fitting |= {Choice(q, way): files[q] for q in within[-1:]}
    qualities_db = {c: psnr_db(image.pixels, codecs.decode(file, codec, 64, 96)) for c, file in fitting.items()}
    assert sent.decoded
    assert sent.budget_bits == budget
    assert sent.choice is not None
    assert sent.size_bits == 8 * len(fitting[sent.choice]) <= budget
    assert qualities_db[sent.choice] == max(qualities_db.values())
    np.testing.assert_array_equal(sent.pixels, codecs.decode(fitting[sent.choice], codec, 64, 96))


def squares(differing: slice) -> Pixels:
    """Return squares of 2 px on grey: differing in red, green and blue alike, or in red alone."""
    pixels = np.full((64, 96, 3), 128, np.uint8)
    light = (np.add.outer(np.arange(64) // 2, np.arange(96) // 2) % 2).astype(bool)
    pixels[light, differing] = 208
    return pixels


@pytest.mark.parametrize("codec", ["jpeg", "avif"])
def test_the_subsampling_is_the_images_own(codec: str) -> None:
    """Red squares need their colours in full; grey ones have none, and the bits go elsewhere."""
    subsampled = codec + "_420"
    red, limit_bits = CodedImage(squares(slice(0, 1)), codec), 8 * 3000
    choice, former = red.best(limit_bits), CodedImage(red.pixels, subsampled).best(limit_bits)
    assert choice is not None
    assert former is not None
    assert choice.way == 0
    assert psnr_db(red.pixels, red.decoded(choice)) > 3 + psnr_db(
        red.pixels, CodedImage(red.pixels, subsampled).decoded(former)
    )


@pytest.mark.parametrize("codec", ["jpeg", "webp", pytest.param("avif", marks=pytest.mark.slow)])
def test_a_halved_image_is_sent_where_alone_it_fits(codec: str) -> None:
    """Its smallest file is smaller; where both fit it must earn its place, and at full quality it does not."""
    pixels = photograph(256, 384)
    whole, halved = CodedImage(pixels, codec), CodedImage(pixels, codec + "_half")
    ways = codecs.ways(codec)
    smallest_bits = min(whole.size_bits(Choice(codecs.qualities(codec)[0], way)) for way in ways)
    assert whole.best(smallest_bits - 1) is None
    choice = halved.best(smallest_bits - 1)
    assert choice is not None
    assert choice.way >= len(ways)
    assert psnr_db(pixels, halved.decoded(choice)) > psnr_db(pixels, ideal.mean_colour(pixels))
    good = halved.best(4 * 8 * pixels.size // 8)
    assert good is not None
    assert good.way < len(ways)


def test_quality_rises_with_the_snr_up_to_the_best_there_is() -> None:
    image = CodedImage(photograph(), "jpeg_420")
    choices = [ideal.rate_adaptive(image, 0.5, snr_db).choice for snr_db in range(0, 81, 5)]
    qualities = [choice.quality if choice else 0 for choice in choices]
    assert qualities == sorted(qualities)
    assert qualities[0] < 50 < qualities[-1] == codecs.qualities("jpeg_420")[-1]


@pytest.mark.parametrize("codec", STILLS)
def test_where_nothing_fits_the_mean_colour_is_shown(codec: str) -> None:
    failed = ideal.rate_adaptive(CodedImage(two_colours(), codec), 0.01, -20.0)
    assert (failed.decoded, failed.choice, failed.size_bits) == (False, None, 0)
    assert (failed.pixels == 100).all()
    assert psnr_db(two_colours(), failed.pixels) == pytest.approx(20 * math.log10(255 / 100), abs=1e-12)


def test_mean_colour_is_that_of_each_channel_to_the_nearest() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = (1, 3, 255)  # means 0.25, 0.75, 63.75
    colour = ideal.mean_colour(pixels)
    assert colour.shape == (2, 2, 3)
    assert (colour == (0, 1, 64)).all()


@pytest.mark.parametrize("codec", STILLS)
def test_a_fixed_rate_falls_off_the_cliff_where_its_file_needs_more(codec: str) -> None:
    image, design_db = CodedImage(photograph(), codec), 10.0
    sent = ideal.fixed_rate(image, 1.0, design_db, design_db)
    cliff_db = 10 * math.log10(2 ** (2 * sent.size_bits / (3 * 64 * 96)) - 1)
    below, above = (ideal.fixed_rate(image, 1.0, design_db, cliff_db + step) for step in (-1e-6, 1e-6))
    assert design_db - 1 < cliff_db <= design_db
    assert (below.decoded, above.decoded) == (False, True)
    assert below.choice == above.choice == sent.choice
    assert below.size_bits == sent.size_bits > below.budget_bits
    np.testing.assert_array_equal(below.pixels, ideal.mean_colour(image.pixels))
    np.testing.assert_array_equal(above.pixels, sent.pixels)


def test_a_fixed_rate_gains_nothing_from_a_better_channel() -> None:
    image = CodedImage(photograph(), "jpeg")
    design, good = (ideal.fixed_rate(image, 1.0, 5.0, snr_db) for snr_db in (5.0, 40.0))
    assert good.budget_bits > 2 * design.budget_bits
    assert (good.choice, good.size_bits) == (design.choice, design.size_bits)
    np.testing.assert_array_equal(good.pixels, design.pixels)


def test_a_design_that_nothing_fits_fails_on_every_channel() -> None:
    sent = ideal.fixed_rate(CodedImage(two_colours(), "webp"), 0.01, -20.0, 60.0)
    assert (sent.decoded, sent.choice) == (False, None)


def test_no_file_is_begun_that_nobody_waits_for() -> None:
    image, caller = CodedImage(photograph(), "jpeg"), Cancellation()
    made = image.file(Choice(30))
    caller.cancel()
    with cancel.working_for(caller):
        assert image.file(Choice(30)) is made
        with pytest.raises(AbandonedError):
            image.best(10_000)


def test_the_squared_error_is_exact() -> None:
    """Black, decoded as black, of a white image: 255^2 for each of 3 * 300 * 300 samples, more than 32 bits hold."""
    image, choice = CodedImage(np.full((300, 300, 3), 255, np.uint8), "jpeg"), Choice(90)
    image._files[choice] = codecs.encode(np.zeros((300, 300, 3), np.uint8), "jpeg", 90)
    assert image.squared_error(choice) == 255**2 * 3 * 300 * 300 > 2**32


def test_a_file_is_made_once() -> None:
    image = CodedImage(photograph(), "jpeg")
    choice = Choice(30)
    assert image.file(choice) is image.file(choice)
    assert image.size_bits(choice) == 8 * len(image.file(choice))


@pytest.mark.parametrize(
    ("rho", "snr_db", "message"),
    [
        (0, 0, "rho: must be positive"),
        (-1, 0, "rho: must be positive"),
        (math.inf, 0, "rho: must be .* at most 2.53 channel uses, got inf"),
        (1e308, 0, "rho: must be .* at most 2.53 channel uses, got 1e.308"),
        (1, math.nan, "snr_db: nan is outside"),
    ],
)
def test_numbers_out_of_range_are_named(rho: float, snr_db: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ideal.rate_adaptive(CodedImage(two_colours(), "jpeg"), rho, snr_db)


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="codec: unknown codec 'bpg'"):
        ideal.rate_adaptive(CodedImage(two_colours(), "bpg"), 0.25, 0.0)


@pytest.mark.parametrize(
    ("size_bits", "uses", "named"),
    [
        (0, 10, "size_bits: 0"),
        (10, 0, "uses: 0"),
        (2**53 + 1, 10, "size_bits: 9007199254740993"),
        (10, -(10**400), "uses: -1000"),
    ],
)
def test_needed_snr_names_a_number_out_of_range(size_bits: int, uses: int, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}0* is outside 1\.\.2\^53$"):
        ideal.needed_snr_db(size_bits, uses)


@pytest.mark.parametrize(
    ("uses", "snr_db", "message"),
    [
        (-1, 0.0, r"^uses: -1 is outside 0\.\.2\^53$"),
        (2**53 + 1, 0.0, r"^uses: 9007199254740993 is outside 0\.\.2\^53$"),
        (1, 1.1e17, r"^snr_db: 1\.1e\+17 is outside -1e17\.\.1e17 dB$"),
        (1, -math.inf, r"^snr_db: -inf is outside"),
        (1, math.nan, r"^snr_db: nan is outside"),
    ],
)
def test_a_budget_names_a_number_out_of_range(uses: int, snr_db: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ideal.budget_bits(uses, snr_db)


@given(uses=st.integers(0, 2**53), snr_db=st.floats(-1e17, 1e17))
def test_a_budget_is_a_number_of_bits_everywhere_in_its_range(uses: int, snr_db: float) -> None:
    """Half a bit at 0 dB, and at other SNRs more or less."""
    bits = ideal.budget_bits(uses, snr_db)
    assert bits >= uses // 2 if snr_db >= 0 else 0 <= bits <= uses // 2


@pytest.mark.slow
@pytest.mark.skipif(not KODAK.is_dir(), reason="no Kodak images in $JSCC_DATA")
def test_jpeg_on_kodak_agrees_with_an_independent_measurement() -> None:
    # Measured by another program: mean over the 24 images, rho = 0.25, JPEG 4:2:0 optimised with its headers.
    expected_db = {-5: 24.05, 0: 28.56, 5: 31.75, 10: 34.31, 15: 36.50, 20: 38.21}
    images = [CodedImage(read_image(path), "jpeg_420") for path in sorted(KODAK.glob("kodim*.png"))]
    assert len(images) == 24
    for snr_db, expected in expected_db.items():
        sent = [ideal.rate_adaptive(image, 0.25, snr_db) for image in images]
        got = np.mean([psnr_db(image.pixels, one.pixels) for image, one in zip(images, sent, strict=True)])
        assert got == pytest.approx(expected, abs=0.15), f"at {snr_db} dB"
        assert sum(not one.decoded for one in sent) == (snr_db == -5)
