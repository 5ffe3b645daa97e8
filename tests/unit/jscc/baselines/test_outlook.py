"""What fading air carries, against integrals, tabulated values and the laws that its distribution follows."""

import math

import numpy as np
import pytest

from jscc.baselines import outlook
from jscc.baselines.outlook import MOST_DRAWN_BLOCKS, QUANTILES, drawn, ergodic_bits, mutual_information, rayleigh

SNRS_DB = (-30.0, -5.0, 0.0, 0.1, 10.0, 20.0, 60.0)
SURE = 5.0
"""Standard errors that a sound estimate strays by with a probability of 6e-7."""


def mean_over_gain(of_gain: np.ufunc | object, snr_db: float) -> float:
    """Integrate a function of |h|^2 g over |h|^2 ~ Exp(1), by the trapezoidal rule over ln |h|^2."""
    logs = np.linspace(-60.0, 5.0, 20001)
    gains = np.exp(logs)
    return float(np.trapezoid(of_gain(gains * 10 ** (snr_db / 10)) * gains * np.exp(-gains), logs))


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_ergodic_capacity_is_the_mean_over_the_gains(snr_db: float) -> None:
    expected = mean_over_gain(lambda snr: 0.5 * np.log2(1 + snr), snr_db)
    assert ergodic_bits(1000, snr_db) == pytest.approx(1000 * expected, rel=1e-6)


@pytest.mark.parametrize(("x", "tabulated"), [(0.5, 0.5597735948), (1.0, 0.2193839344), (2.0, 0.0489005107)])
def test_ergodic_capacity_where_the_exponential_integral_is_tabulated(x: float, tabulated: float) -> None:
    """E1 by Abramowitz and Stegun, table 5.1."""
    expected = 0.5 * math.log2(math.e) * math.exp(x) * tabulated
    assert ergodic_bits(1, -10 * math.log10(x)) == pytest.approx(expected, rel=1e-8)


def test_both_ways_to_the_exponential_integral_meet() -> None:
    assert ergodic_bits(1, 1e-9) == pytest.approx(ergodic_bits(1, -1e-9), rel=1e-8)


def test_information_is_the_mean_of_the_blocks_capacities() -> None:
    # 1/2 log2 of 1 + 3, 1 + 15 and 1 + 0 at 0 dB: 1, 2 and 0 bits.
    np.testing.assert_allclose(mutual_information(np.array([[3.0, 15.0, 0.0], [3.0] * 3]), 0.0), [1.0, 1.0])
    np.testing.assert_allclose(mutual_information(np.array([0.3]), 10.0), 1.0)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_the_outlook_on_one_gain_has_the_law_of_its_outage(snr_db: float) -> None:
    """P(C >= R) = exp(-(4^R - 1) / g), and the mean is the ergodic capacity."""
    air = rayleigh(snr_db)
    expected = np.exp(-np.expm1(air.information_bits * math.log(4)) / 10 ** (snr_db / 10))
    np.testing.assert_allclose(air.reached, expected, atol=1e-9)
    assert air.information_bits.mean() == pytest.approx(ergodic_bits(1, snr_db), rel=2e-3)
    assert (np.diff(air.information_bits) > 0).all()


@pytest.mark.parametrize("snr_db", [-5.0, 10.0])
def test_the_outlook_on_two_gains_has_the_law_of_their_mean(snr_db: float) -> None:
    """P(C1 + C2 < 2 R) as an integral over C1; the shares of DRAWS draws stray by SURE standard errors at most."""
    air, ratio = rayleigh(snr_db, 2), 10 ** (snr_db / 10)
    count = len(air.information_bits)
    for rate in np.quantile(air.information_bits, [0.02, 0.1, 0.5, 0.9]):
        gains = np.linspace(0, np.expm1(2 * rate * math.log(4)) / ratio, 200_001)
        left = np.expm1(2 * rate * math.log(4) - np.log1p(gains * ratio)) / ratio
        lost = np.trapezoid(np.exp(-gains) * -np.expm1(-left), gains)
        found = np.searchsorted(air.information_bits, rate) / count
        assert abs(found - lost) < SURE * math.sqrt(lost * (1 - lost) / count)


def test_many_gains_are_as_good_as_gaussian(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first number of blocks that is not drawn, drawn nevertheless: quantiles within 0.3 % of the rate."""
    blocks = MOST_DRAWN_BLOCKS + 1
    for snr_db in (-5.0, 10.0, 20.0):
        taken = rayleigh(snr_db, blocks)
        with monkeypatch.context() as patch:
            patch.setattr(outlook, "MOST_DRAWN_BLOCKS", blocks)
            counted = rayleigh(snr_db, blocks)
        assert len(taken.information_bits) == QUANTILES
        for share in (0.01, 0.05, 0.5, 0.95):
            expected = np.quantile(counted.information_bits, share)
            assert np.quantile(taken.information_bits, share) == pytest.approx(expected, rel=3e-3)


def test_more_blocks_leave_less_to_chance_and_the_same_mean() -> None:
    for blocks in (1, 4, 64, 1000):
        air = rayleigh(10.0, blocks)
        deviation = math.sqrt(
            mean_over_gain(lambda snr: (0.5 * np.log2(1 + snr)) ** 2, 10.0) - ergodic_bits(1, 10.0) ** 2
        )
        assert air.information_bits.std() == pytest.approx(deviation / math.sqrt(blocks), rel=0.04)
        assert air.information_bits.mean() == pytest.approx(ergodic_bits(1, 10.0), rel=0.01)


def test_draws_of_any_fading_make_an_outlook() -> None:
    """Gains that are all 1 are no fading: capacity of white noise, whatever is drawn."""
    air = drawn(np.ones((100, 7)), 10.0)
    assert air.blocks == 7
    np.testing.assert_allclose(air.information_bits, 0.5 * math.log2(11))


def test_the_same_outlook_every_time() -> None:
    np.testing.assert_array_equal(rayleigh(3.0, 5).information_bits, rayleigh(3.0, 5).information_bits)


@pytest.mark.parametrize(
    ("gains", "snr_db", "named"),
    [
        ([], 0.0, "power_gains"),
        (1.0, 0.0, "power_gains"),
        ([-0.1], 0.0, "power_gains"),
        ([math.nan], 0.0, "power_gains"),
        ([math.inf], 0.0, "power_gains"),
        ([1.0], 60.1, r"snr_db: 60.1 is outside -30\.\.60 dB"),
        ([1.0], math.nan, "snr_db: nan"),
    ],
)
def test_what_is_out_of_range_is_named(gains: object, snr_db: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        mutual_information(np.array(gains), snr_db)


def test_an_image_meets_a_gain_at_least() -> None:
    with pytest.raises(ValueError, match="blocks: must be 1 or more, got 0"):
        rayleigh(0.0, 0)
