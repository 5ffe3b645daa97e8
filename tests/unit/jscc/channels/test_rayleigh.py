"""Fading against theory. Seeds are fixed; every statistical bound has the false alarm FALSE_ALARM of a new seed."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from jscc import channels
from jscc.channels import Channel, Realisation, Truth, _jakes
from jscc.channels._amplifier import amplified
from jscc.draws import Draws
from jscc.signals import noise_generator

SYMBOLS = 100_000
FALSE_ALARM = 1e-6
DEVIATIONS = stats.norm.isf(FALSE_ALARM / 2)

KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"coherence": 1},
    {"coherence": 128},
    {"doppler": 0.01},
    {"doppler": 0.01, "k_factor_db": 3.0},
    {"coherence": 128, "k_factor_db": 3.0},
)


def draws(seed: int = 0) -> Draws:
    return Draws(noise_generator(seed))


def rayleigh(snr_db: float | list[float] = 10.0, **options: Any) -> Channel:
    return channels.make("rayleigh", torch.tensor(snr_db, dtype=torch.float32).view(-1), options)


def drawn(reals: int, seed: int = 0, images: int = 1, **options: Any) -> Realisation:
    return rayleigh([0.0] * images, **options).draw(torch.Size([images, reals]), draws(seed))


def gains(reals: int, seed: int = 0, images: int = 1, **options: Any) -> np.ndarray[Any, Any]:
    """The gain of every complex symbol, as `apply` tells it."""
    truth = applied(torch.zeros(images, reals), seed, **options)[1]
    assert truth.gains is not None
    assert truth.gains.dtype == torch.complex64
    assert truth.gains.shape == (images, -(-reals // 2))
    return truth.gains.numpy().astype(np.complex128)


def applied(s: Tensor, seed: int = 0, **options: Any) -> tuple[Tensor, Truth]:
    channel = rayleigh([0.0] * len(s), **options)
    return channel.apply(s, channel.draw(s.shape, draws(seed)))


def sums_to_chi_square(squares: Any, degrees: int) -> bool:
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], degrees)
    return bool(low < float(np.sum(squares)) < high)


# --- gains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coherence", "images", "blocks"), [(1, 1, SYMBOLS), (10, 1, SYMBOLS // 10), (0, 20_000, 1)])
def test_gains_are_complex_normal_of_mean_power_one_and_independent(coherence: int, images: int, blocks: int) -> None:
    """2 |h|^2 sums to a chi-square; |h|^2 is exponential and the phase uniform (Kolmogorov-Smirnov); the product of a
    gain and the next one's conjugate has mean 0 and a variance of 1/2 in each part.
    """
    reals = 2 * SYMBOLS if coherence else 2
    gain = drawn(reals, images=images, coherence=coherence).gain
    assert gain is not None
    assert gain.shape == (images, blocks)
    h = gain.flatten().numpy().astype(np.complex128)
    assert sums_to_chi_square(2 * np.abs(h) ** 2, 2 * len(h))
    assert stats.kstest(np.abs(h) ** 2, "expon").pvalue > FALSE_ALARM
    assert stats.kstest(np.angle(h) / (2 * math.pi) + 0.5, "uniform").pvalue > FALSE_ALARM
    correlation = np.mean(h[1:] * h[:-1].conj())
    bound = DEVIATIONS / math.sqrt(2 * len(h))
    assert abs(correlation.real) < bound
    assert abs(correlation.imag) < bound


@pytest.mark.parametrize(("coherence", "length"), [(1, 1), (7, 7), (128, 128), (500, 500), (2**24, 500), (0, 500)])
def test_a_block_has_one_gain_and_the_next_block_another(coherence: int, length: int) -> None:
    h = gains(999, coherence=coherence)[0]
    blocks = [h[start : start + length] for start in range(0, 500, length)]
    assert all((block == block[0]).all() for block in blocks)
    assert len({block[0] for block in blocks}) == len(blocks)


def test_the_sinusoids_of_a_doppler_spectrum_have_the_correlation_of_theory() -> None:
    """Clarke's J0(2 pi f_d m), up to 300 wavelengths apart; theory alone, no draws."""
    frequency = _jakes.frequencies(0.05)
    lags = torch.arange(0, 6001, dtype=torch.float64)
    found = torch.polar(torch.ones(()).double(), 2 * math.pi * lags[:, None] * frequency).mean(dim=1).numpy()
    np.testing.assert_allclose(found, special.j0(2 * math.pi * 0.05 * lags.numpy()), atol=1e-9)
    far = 0.5 * torch.arange(600, 20_000, 7, dtype=torch.float64)
    spread = torch.polar(torch.ones(()).double(), 2 * math.pi * far[:, None] * _jakes.frequencies(1.0)).mean(dim=1)
    assert np.abs(spread.numpy() - special.j0(2 * math.pi * far.numpy())).max() < 0.12


@pytest.mark.parametrize("doppler", [0.5, 0.05, 0.002])
def test_gains_that_move_have_jakes_correlation(doppler: float) -> None:
    """Over images, h[m] conj(h[0]) of correlation R = J0 has the mean R and the variances (1 +- R^2) / 2 in its parts;
    8,000 images make the mean as good as normal. Eight lags, five bounds each: a false alarm of 4e-5 in all.
    """
    images = 4 * 2000
    h = np.concatenate([gains(600, seed, images // 4, doppler=doppler) for seed in range(4)])
    for lag in (0, 1, 3, 8, 20, 64, 150, 299):
        r = float(special.j0(2 * math.pi * doppler * lag))
        found = np.mean(h[:, lag] * h[:, 0].conj())
        assert abs(found.real - r) < DEVIATIONS * math.sqrt((1 + r * r) / 2 / images)
        assert abs(found.imag) < DEVIATIONS * math.sqrt((1 - r * r) / 2 / images) + 1e-6
        assert sums_to_chi_square(2 * np.abs(h[:, lag]) ** 2, 2 * images)
        assert stats.kstest(np.abs(h[:, lag]) ** 2, "expon").pvalue > FALSE_ALARM


def test_a_long_frame_that_moves_fades_as_theory_says_from_end_to_end() -> None:
    """Gains 1e-3 of a wavelength apart barely differ: E|h[m] - h[0]|^2 = 2 (1 - J0(z)), z = 2 pi 1e-3, chi-square over
    images; here at the ends of groups of symbols that are computed apart, and for the last symbols of 600,000.
    """
    h = np.concatenate(
        [gains(600_001, seed, doppler=1e-3)[:, [255, 256, 262_143, 262_144, -2, -1]] for seed in range(20)]
    )
    expected = 2 * (1 - float(special.j0(2 * math.pi * 1e-3)))
    for first in (0, 2, 4):
        assert sums_to_chi_square(2 * np.abs(h[:, first + 1] - h[:, first]) ** 2 / expected, 2 * len(h))


@pytest.mark.parametrize("k_factor_db", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("images", [1, 2])
def test_a_line_of_sight_has_its_share_of_the_power(k_factor_db: float, images: int) -> None:
    """The mean of n gains is the straight wave, of power K / (K + 1), and a deviation d of which n (K + 1) |d|^2 is
    exponential; around their mean, 2 (K + 1) |h|^2 sums to a chi-square of 2 (n - 1) degrees. So E|h|^2 = 1.
    """
    k = 10 ** (k_factor_db / 10)
    for h in gains(2 * SYMBOLS, images=images, coherence=1, k_factor_db=k_factor_db):
        bound = math.sqrt(-math.log(FALSE_ALARM) / (SYMBOLS * (k + 1)))
        assert abs(abs(h.mean()) - math.sqrt(k / (k + 1))) < bound
        assert sums_to_chi_square(2 * (k + 1) * np.abs(h - h.mean()) ** 2, 2 * (SYMBOLS - 1))


def test_every_image_has_a_line_of_sight_of_its_own_phase() -> None:
    h = gains(2, images=5000, k_factor_db=60.0).flatten()
    np.testing.assert_allclose(np.abs(h), 1, atol=0.01)
    assert stats.kstest(np.angle(h) / (2 * math.pi) + 0.5, "uniform").pvalue > FALSE_ALARM


@pytest.mark.parametrize("options", KINDS[:4])
def test_no_line_of_sight_is_plain_fading_and_a_weak_one_almost(options: dict[str, Any]) -> None:
    plain = drawn(1000, **options)
    assert drawn(1000, k_factor_db=-30.0, **options).digest == plain.digest
    weak = drawn(1000, k_factor_db=-29.9, **options)
    assert torch.equal(weak.noise, plain.noise)
    assert weak.gain is not None
    assert plain.gain is not None
    assert 0 < float((weak.gain - plain.gain).abs().max()) < 0.04  # of a wave of amplitude 10^(-29.9 / 20) = 0.032


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_the_ergodic_capacity_is_that_of_theory(snr_db: float) -> None:
    """E[1/2 log2(1 + snr |h|^2)] = 1/2 log2(e) e^(1/snr) E1(1/snr) bits per real use; the mean is as good as normal.

    Source: W. C. Y. Lee, "Estimate of channel capacity in Rayleigh fading environment", 1990.
    """
    snr = 10 ** (snr_db / 10)
    bits = 0.5 * np.log2(1 + snr * np.abs(gains(2 * SYMBOLS, coherence=1)) ** 2)
    expected = 0.5 * math.log2(math.e) * float(special.exp1(1 / snr)) * math.exp(1 / snr)
    assert abs(bits.mean() - expected) < DEVIATIONS * bits.std() / math.sqrt(SYMBOLS)


# --- what arrives ----------------------------------------------------------------------------------------------------


def test_apply_is_arithmetic_alone() -> None:
    """y = h x + n, by hand: (1 + 2j) times j and -2, and of an odd last real 3 what is real of 3 times j, 1 - j."""
    s = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    noise = torch.tensor([[10.0, 0.0, -10.0], [0.0, 1.0, 0.0]])
    one = Realisation(noise, torch.tensor([[1j], [-2 + 0j]]))
    y, truth = rayleigh([20.0, 0.0]).apply(s, one)
    torch.testing.assert_close(y, torch.tensor([[-1.0, 1.0, -1.0], [-2.0, -3.0, -6.0]]))
    torch.testing.assert_close(truth.noise_power, torch.tensor([0.01, 1.0]))
    each = Realisation(torch.zeros(1, 3), torch.tensor([[1j, 1 - 1j]]))
    for options in ({"coherence": 1}, {"doppler": 0.1}):
        y, truth = rayleigh(0.0, **options).apply(s[:1], each)
        assert y.tolist() == [[-2.0, 1.0, 3.0]]
        assert truth.gains is not None
        assert truth.gains.tolist() == [[1j, 1 - 1j]]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("reals", [SYMBOLS, SYMBOLS + 1])
def test_given_the_gains_the_noise_has_the_variance_of_theory(options: dict[str, Any], reals: int) -> None:
    """Chi-square again, after the fading is taken off by numpy's complex numbers."""
    s = torch.randn(2, reals, generator=noise_generator(1))
    channel = rayleigh([0.0, 10.0], **options)
    y, truth = channel.apply(s, channel.draw(s.shape, draws()))
    assert truth.gains is not None
    x = np.pad(s.numpy().astype(np.float64), ((0, 0), (0, reals % 2))).view(np.complex128)
    arrived = (x * truth.gains.numpy().astype(np.complex128)).view(np.float64)[:, :reals]
    for row, power in enumerate((1.0, 0.1)):
        assert sums_to_chi_square((y[row].double().numpy() - arrived[row]) ** 2 / power, reals)
    np.testing.assert_allclose(truth.faded(s).numpy(), arrived, atol=1e-4)


def test_gradients_come_back_through_the_gains() -> None:
    """d(w . y)/ds is w through the conjugate gains."""
    s = torch.zeros(1, 4, requires_grad=True)
    y, truth = applied(s, coherence=1)
    (y * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    assert truth.gains is not None
    assert s.grad is not None
    expected = torch.tensor([[1 + 2j, 3 + 4j]]) * truth.gains.conj()
    torch.testing.assert_close(s.grad, torch.view_as_real(expected).flatten(1))


def test_symbols_that_stand_anywhere_in_memory_fade_alike() -> None:
    stored = torch.randn(2, 8, generator=noise_generator(2))
    s = stored[:, 1:6]
    assert torch.equal(applied(s, coherence=1)[0], applied(s.clone(), coherence=1)[0])


def test_a_limit_of_peaks_changes_what_is_sent_before_it_fades() -> None:
    s = torch.randn(2, 4096, generator=noise_generator(3))
    limited = applied(s, coherence=64, papr_db=3.0)[0]
    torch.testing.assert_close(limited, applied(amplified(s, 3.0), coherence=64)[0])
    assert not torch.allclose(limited, applied(s, coherence=64)[0])


# --- the same air ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS)
def test_methods_of_other_rates_meet_the_same_gains(options: dict[str, Any]) -> None:
    """To the last bit, as far as each method's frame goes."""
    long, *others = (gains(reals, **options)[0] for reals in (20_002, 20_001, 4097, 600, 7, 1))
    for short in others:
        assert np.array_equal(short, long[: len(short)])


@pytest.mark.parametrize("options", KINDS)
def test_neither_order_nor_batch_nor_global_state_changes_the_air(options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    first, other = drawn(1001, 5, **options), drawn(1001, 6, **options)
    torch.manual_seed(2)
    assert [drawn(1001, seed, **options).digest for seed in (6, 5)] == [other.digest, first.digest]
    assert first.digest != other.digest
    whole = drawn(1001, images=6, **options)
    for rows in (slice(0, 1), slice(1, 3), slice(3, 6)):
        shape = torch.Size([rows.stop - rows.start, 1001])
        mine = rayleigh([0.0] * shape[0], **options).draw(shape, Draws(noise_generator(0), rows, 6))
        assert torch.equal(mine.noise, whole.noise[rows])
        assert whole.gain is not None
        assert torch.equal(mine.gain, whole.gain[rows])  # type: ignore[arg-type]


def test_the_number_of_threads_does_not_change_a_bit_of_the_gains() -> None:
    before, digests = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            digests.add(drawn(60_000, doppler=0.003).digest)
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coherence": -1}, r"coherence must be in 0\.\.16777216, 0 for one gain per frame, got -1"),
        ({"coherence": 2**24 + 1}, r"coherence must be in 0\.\.16777216, 0 for one gain per frame, got 16777217"),
        ({"doppler": -0.1}, r"doppler must be in 0\.\.0\.5, 0 for blocks of one gain, got -0\.1"),
        ({"doppler": 0.51}, r"doppler must be in 0\.\.0\.5, 0 for blocks of one gain, got 0\.51"),
        ({"doppler": math.nan}, r"doppler must be in 0\.\.0\.5, 0 for blocks of one gain, got nan"),
        (
            {"doppler": 0.01, "coherence": 128},
            r"doppler excludes coherence: give one of them, got doppler 0\.01, coherence 128",
        ),
        ({"k_factor_db": -30.5}, r"k_factor_db must be in -30\.\.60, -30 for no line of sight, got -30\.5"),
        ({"k_factor_db": 60.5}, r"k_factor_db must be in -30\.\.60, -30 for no line of sight, got 60\.5"),
        ({"k_factor_db": math.nan}, r"k_factor_db must be in -30\.\.60, -30 for no line of sight, got nan"),
        ({"papr_db": -1.0}, r"papr_db must be in 0\.\.60, 0 for no limit, got -1\.0"),
    ],
)
def test_options_out_of_their_ranges_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        channels.load("rayleigh").options_type(**options)
    with pytest.raises(ValueError, match=f"^channel rayleigh: {message}$"):
        rayleigh(**options)


def test_options_of_the_wrong_kind_and_unknown_ones_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^channel rayleigh: coherence: expected a whole number, got 1\.5$"):
        rayleigh(coherence=1.5)
    known = r"\(known: coherence, doppler, k_factor_db, papr_db\)"
    with pytest.raises(ValueError, match=rf"^channel rayleigh: unknown key 'pilots' {known}$"):
        rayleigh(pilots=4)


def test_the_ends_of_the_ranges_are_inside() -> None:
    for options in ({"coherence": 2**24}, {"doppler": 0.5}, {"k_factor_db": 60.0}, {"papr_db": 60.0}):
        assert gains(10, **options).shape == (1, 5)


@pytest.mark.parametrize("snr_db", [-30.1, 60.1, math.nan])
def test_an_snr_outside_the_range_is_refused(snr_db: float) -> None:
    with pytest.raises(ValueError, match=r"^snr_db: .*-30\.\.60 dB$"):
        rayleigh([0.0, snr_db])


def test_a_realisation_of_air_that_does_not_fade_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^realisation: has no gain, expected one that this channel drew$"):
        rayleigh().apply(torch.zeros(1, 4), Realisation(torch.zeros(1, 4)))
