"""Digital lines over fading, against closed forms, brute force over their definitions, and gains that are drawn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jscc.baselines import fading
from jscc.baselines.fading import csit_db, csit_realised, ergodic_db, single_rate, two_layer
from jscc.baselines.outlook import ergodic_bits, rayleigh
from jscc.baselines.rate_quality import Curve
from jscc.baselines.spectrum import FloatArray

SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
USES = 1000
SURE = 5.0
"""Standard errors that a sound estimate strays by with a probability of 6e-7."""


def line(octave_db: float = 3.5, least_bits: float = 100.0, nothing_db: float = 15.0) -> Curve:
    """Return a curve of so many dB for twice the bits, from 20 dB on, beyond what any gain brings."""
    return Curve(np.array([least_bits, least_bits * 2**12]), np.array([20.0, 20.0 + 12 * octave_db]), nothing_db)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Draw curves with steps and slopes of any kind."""
    count = draw(st.integers(1, 8))
    sizes = np.cumsum(draw(st.lists(st.floats(1.0, 2000.0), min_size=count, max_size=count)))
    rises_db = draw(st.lists(st.floats(0.0, 10.0), min_size=count, max_size=count))
    nothing_db = draw(st.floats(5.0, 25.0))
    return Curve(sizes, nothing_db + np.cumsum(rises_db), nothing_db)


def gains(count: int, seed: int) -> FloatArray:
    """Return |h|^2 of Rayleigh fading, [count, 1]: half the sum of two squared normal variables."""
    parts = np.random.default_rng(seed).normal(0, math.sqrt(0.5), (count, 1, 2))
    return np.square(parts).sum(axis=-1)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_the_rate_that_follows_the_gains_has_the_mean_over_them(snr_db: float) -> None:
    """Of a + b log2(bits), integrated over ln |h|^2."""
    logs = np.linspace(-40.0, 4.0, 200_001)
    powers = np.exp(logs)
    bits = USES * 0.5 * np.log2(1 + powers * 10 ** (snr_db / 10))
    values_db = np.where(bits >= 100, 20 + 3.5 * np.log2(np.maximum(bits, 100) / 100), 15.0)
    expected = np.trapezoid(values_db * powers * np.exp(-powers), logs)
    assert csit_db(line(), USES, rayleigh(snr_db)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_ergodic_quality_is_that_of_the_ergodic_bits(snr_db: float) -> None:
    expected = 20 + 3.5 * math.log2(ergodic_bits(USES, snr_db) / 100)
    assert ergodic_db(line(), USES, snr_db) == pytest.approx(expected)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_the_single_rate_of_a_straight_line_is_where_its_derivative_is_zero(snr_db: float) -> None:
    """With Q - Q0 = b log2(k R / c), `e^(-(4^R - 1)/g) (Q - Q0)` is largest where `R 4^R ln 4 ln(k R / c) = g`."""
    ratio, octave_db = 10 ** (snr_db / 10), 3.5
    nothing_bits = 100 * 2 ** (-5 / octave_db)  # where the line reaches the 15 dB of the mean colour
    low, high = nothing_bits / USES, 10.0
    for _ in range(100):
        middle = (low + high) / 2
        risen = middle * 4**middle * math.log(4) * math.log(USES * middle / nothing_bits) > ratio
        low, high = (low, middle) if risen else (middle, high)
    arriving = math.exp(-(4**low - 1) / ratio)
    chosen = single_rate(line(octave_db), USES, rayleigh(snr_db))
    assert chosen.expected_db == pytest.approx(
        15 + arriving * octave_db * math.log2(USES * low / nothing_bits), abs=0.01
    )
    assert chosen.rate_bits == pytest.approx(low, rel=0.05)
    assert chosen.outage == pytest.approx(1 - math.exp(-(4**chosen.rate_bits - 1) / ratio), abs=1e-9)
    assert chosen.file_db == pytest.approx(20 + octave_db * math.log2(chosen.rate_bits * USES / 100))


@given(curve=curves(), snr_db=st.sampled_from(SNRS_DB))
def test_no_rate_is_better_than_the_single_one(curve: Curve, snr_db: float) -> None:
    rates = np.concatenate([np.linspace(1e-4, 12, 20_001), curve.sizes_bits / USES])
    arriving = np.exp(-(4**rates - 1) / 10 ** (snr_db / 10))
    best_db = np.max(curve.nothing_db + arriving * (curve.psnr_db(USES * rates + 1e-9) - curve.nothing_db))
    found_db = single_rate(curve, USES, rayleigh(snr_db)).expected_db
    # A step in the curve lies between two of the 4096 rates that are tried, whose chances differ by 1/4096.
    highest_db = float(curve.psnrs_db[-1]) - curve.nothing_db
    assert best_db - highest_db / 2048 - 1e-9 <= found_db <= best_db + highest_db / 2048 + 1e-9


@given(curve=curves(), snr_db=st.sampled_from(SNRS_DB))
def test_who_knows_more_does_better(curve: Curve, snr_db: float) -> None:
    air = rayleigh(snr_db)
    one, two = single_rate(curve, USES, air), two_layer(curve, USES, air)
    assert curve.nothing_db <= one.expected_db <= two.expected_db <= csit_db(curve, USES, air) + 1e-9


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_on_a_concave_curve_a_mean_that_is_certain_is_better_than_one_gain(snr_db: float) -> None:
    """Jensen: Q(E[k C]) >= E[Q(k C)]."""
    assert ergodic_db(line(nothing_db=0.0), USES, snr_db) >= csit_db(line(nothing_db=0.0), USES, rayleigh(snr_db))


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_no_pair_of_layers_is_better(snr_db: float) -> None:
    """Random rates and shares, by the definition of who decodes what: none is better, and the best hardly worse."""
    generator, ratio, count = np.random.default_rng(7), 10 ** (snr_db / 10), 400_000
    first, second = (generator.uniform(0, 1.2 * math.log2(2 + ratio) / 2, count) for _ in range(2))
    share = 10 ** generator.uniform(-3, 0, count)
    noise_limit = 1 - share * 4**first  # (1 + g) / (1 + a g) >= 4^R1 asks for g >= (4^R1 - 1) / (1 - a 4^R1)
    from_first = np.where(noise_limit > 0, (4**first - 1) / np.where(noise_limit > 0, noise_limit, 1), np.inf)
    from_both = np.maximum(from_first, (4**second - 1) / share)
    q0, q1, q2 = 15.0, line().psnr_db(USES * first), line().psnr_db(USES * (first + second))
    means_db = q0 + np.exp(-from_first / ratio) * (q1 - q0) + np.exp(-from_both / ratio) * (q2 - q1)
    found_db = two_layer(line(), USES, rayleigh(snr_db)).expected_db
    assert means_db.max() - 0.005 <= found_db <= means_db.max() + 0.3


def test_layers_earn_something_where_much_is_to_be_had() -> None:
    """At 20 dB the second layer costs the first little: without any the issue is settled by one rate."""
    two = two_layer(line(), USES, rayleigh(20.0))
    assert two.expected_db > single_rate(line(), USES, rayleigh(20.0)).expected_db + 0.5
    assert 0 < two.share < 0.5
    assert two.layers_db[0] < two.layers_db[1]
    np.testing.assert_allclose(two.layers_db[1], 20 + 3.5 * math.log2(USES * sum(two.rates_bits) / 100))


@pytest.mark.parametrize("true_db", [10.0, 6.0])
def test_what_is_realised_is_what_was_expected(true_db: float) -> None:
    """Planned for 10 dB and met by gains of another generator; at another SNR the outage is that of the rate there."""
    met, count, ratio = gains(40_000, 3), 40_000, 10 ** (true_db / 10)
    one, two = single_rate(line(), USES, rayleigh(10.0)), two_layer(line(), USES, rayleigh(10.0))
    shown = one.realised(met, true_db)
    expected = 1 - math.exp(-(4**one.rate_bits - 1) / ratio)
    assert abs(shown.outage.mean() - expected) < SURE * math.sqrt(expected * (1 - expected) / count)
    np.testing.assert_allclose(shown.psnr_db, np.where(shown.outage, 15.0, one.file_db))
    if true_db == 10.0:
        for plan in (one, two):
            shown = plan.realised(met, true_db)
            error_db = SURE * shown.psnr_db.std() / math.sqrt(count)
            assert abs(shown.psnr_db.mean() - plan.expected_db) < error_db
            assert abs(shown.outage.mean() - plan.outage) < SURE * math.sqrt(plan.outage / count)


def test_layers_arrive_one_after_the_other() -> None:
    """Gains a hair below and above what the first needs with the second as noise, and what the second needs alone."""
    two, ratio = two_layer(line(), USES, rayleigh(15.0)), 10**1.5
    first, second = (4.0**rate for rate in two.rates_bits)
    needed = (first - 1) / (1 - two.share * first) / ratio, (second - 1) / two.share / ratio
    assert needed[0] < needed[1]
    met = np.array([[need * hair] for need in needed for hair in (1 - 1e-6, 1 + 1e-6)])
    shown = two.realised(met, 15.0)
    np.testing.assert_allclose(shown.psnr_db, [15.0, two.layers_db[0], *two.layers_db])
    np.testing.assert_array_equal(shown.outage, [True, False, False, False])


def test_a_rate_that_follows_given_gains() -> None:
    met = np.array([[0.0], [0.3], [1.5]])  # 0, 1 and 2 bits per channel use at 10 dB
    shown = csit_realised(line(), USES, met, 10.0)
    np.testing.assert_allclose(shown.psnr_db, [15.0, 20 + 3.5 * math.log2(10), 20 + 3.5 * math.log2(20)])
    np.testing.assert_array_equal(shown.outage, [True, False, False])
    assert not csit_realised(line(), USES, np.array([0.3, 1.5]), 10.0).outage  # two blocks of one image


def test_more_gains_in_an_image_bring_a_single_rate_to_the_ergodic_one() -> None:
    values = [single_rate(line(), USES, rayleigh(10.0, blocks)) for blocks in (1, 4, 32, 1000, 100_000)]
    means_db = [value.expected_db for value in values]
    assert means_db == sorted(means_db)
    assert ergodic_db(line(), USES, 10.0) - 0.1 < means_db[-1] < ergodic_db(line(), USES, 10.0)
    outages = [value.outage for value in values]
    assert outages == sorted(outages, reverse=True)


def test_a_mean_psnr_takes_more_outage_than_a_mean_squared_error() -> None:
    rates = np.linspace(0.1, 5, 5000)
    lost = 1 - np.exp(-(4**rates - 1) / 10)
    errors = lost * 10**-1.5 + (1 - lost) * 10 ** (-line().psnr_db(USES * rates) / 10)
    assert single_rate(line(), USES, rayleigh(10.0)).outage > 2 * lost[errors.argmin()]


def test_where_no_file_is_small_enough_nothing_is_sent() -> None:
    curve = line(least_bits=1e6)
    air = rayleigh(0.0)
    one, two = single_rate(curve, USES, air), two_layer(curve, USES, air)
    for plan in (one, two):
        assert (plan.expected_db, plan.outage) == (15.0, 1.0)
        shown = plan.realised(np.array([[1e9]]), 0.0)
        assert (shown.psnr_db.item(), shown.outage.item()) == (15.0, True)
    assert csit_db(curve, USES, air) == ergodic_db(curve, USES, 0.0) == 15.0


def test_layers_over_many_gains_are_refused() -> None:
    with pytest.raises(ValueError, match=r"outlook: .* one gain for each image, got 2 blocks"):
        fading.two_layer(line(), USES, rayleigh(0.0, 2))
