"""Estimates of gains that move against theory; seeds are fixed, and false alarms of statistical tests are stated."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from jscc.framing import pilots, wiener
from jscc.grid import Grid

FALSE_ALARM = 1e-6
Complex = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]

LINE = Grid("fast", 8, 1, True, 1, 0.02)
TWO_IN_A_BLOCK = Grid("fast", 12, 5, True, 1, 0.01)
SLOW = Grid("fast", 20, 7, True, 1, 0.001)
PLANE = Grid("fast", 8, 1, True, 20, 0.01, 0.01)
SPANNING = Grid("fast", 18, 2, True, 12, 0.02, 0.02)
STILL = Grid("fast", 8, 1, True, 20, 0.0, 0.02)
GRIDS = (LINE, TWO_IN_A_BLOCK, SLOW, PLANE, SPANNING, STILL)


def correlation(grid: Grid, first: np.ndarray, second: np.ndarray) -> Complex:
    """J0(2 pi f m) of Jakes' spectrum times 1 / (1 + 2 pi j s c) of an exponential profile of delays."""
    row, column = (first[:, None] // grid.row_length, first[:, None] % grid.row_length)
    rows, columns = row - second // grid.row_length, column - second % grid.row_length
    in_time = special.j0(2 * math.pi * grid.expected_doppler * rows)
    found: Complex = in_time / (1 + 2j * math.pi * grid.expected_spread * columns)
    return found


def best_error(grid: Grid, pairs: int, noise_power: float) -> np.ndarray:
    """The error that all pilots of a frame together leave: 1 - r C^-1 r^H."""
    known = pilots.places(grid, 2 * pairs).pilots.numpy()
    everything = np.arange(pairs)
    covariance = correlation(grid, known, known) + noise_power * np.eye(len(known))
    cross = correlation(grid, everything, known)
    return 1 - np.einsum("ij,ji->i", cross, np.linalg.solve(covariance, cross.conj().T)).real


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("noise_power", [0.01, 0.3])
def test_few_pilots_around_a_symbol_do_what_all_of_them_could(grid: Grid, noise_power: float) -> None:
    """Never better, and on average over a frame of 403 symbols at most 15 % more error."""
    found = wiener.error(grid, 806, noise_power).double().numpy()
    best = best_error(grid, 403, noise_power)
    assert (found > best * (1 - 1e-4) - 1e-6).all()
    assert found.mean() < 1.15 * best.mean()


@pytest.mark.parametrize(("doppler", "block", "noise_power"), [(0.02, 8, 0.1), (0.005, 16, 0.3), (0.01, 10, 0.01)])
def test_the_error_is_that_of_wieners_formula(doppler: float, block: int, noise_power: float) -> None:
    """Of endlessly many pilots D apart: the integral of S w / (S + w), w = s2 D, over Jakes' spectrum S.

    f = F sin(u) takes the poles of S = 1 / (pi sqrt(F^2 - f^2)) away. An estimate looks 64 pilots far, and gets there
    but for a tenth.

    Source: H. Meyr, M. Moeneclaey and S. Fechtel, "Digital Communication Receivers", 1998, section 14.2.
    """
    white, pi_f = noise_power * block, math.pi * doppler

    def filtered(u: float) -> float:
        return white * doppler * math.cos(u) / (1 + white * pi_f * math.cos(u))

    expected = integrate.quad(filtered, -math.pi / 2, math.pi / 2)[0]
    found = wiener.error(Grid("fast", block, 1, True, 1, doppler), 20_000, noise_power)[2000:-2000]
    assert expected < float(found.mean()) < 1.12 * expected


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("pairs", [2, 9, 103])
def test_the_error_that_is_said_is_the_true_one(grid: Grid, pairs: int) -> None:
    """At the ends of a frame and within: the error is complex normal of the said variance, 2 |e|^2 over it sums to a
    chi-square over 400 frames.
    """
    noise_power, frames, rng = 0.1, 400, np.random.default_rng(5)
    everything = np.arange(pairs)
    values, vectors = np.linalg.eigh(correlation(grid, everything, everything))
    normal = rng.standard_normal((frames, 2, pairs, 2)).view(np.complex128)[..., 0] / math.sqrt(2)
    gains = (normal[:, 0] * np.sqrt(values.clip(0))) @ vectors.T
    arrived = gains * (1 + 1j) + math.sqrt(2 * noise_power) * normal[:, 1]
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 2 * frames)
    found, said = zip(
        *(wiener.estimate(grid, torch.from_numpy(row).to(torch.complex64), noise_power) for row in arrived), strict=True
    )
    np.testing.assert_array_equal(said[0].numpy(), wiener.error(grid, 2 * pairs, noise_power).numpy())
    error = np.abs(torch.stack(found).numpy() - gains) ** 2
    for place in sorted({0, 1, pairs // 3, pairs // 2, pairs - 2, pairs - 1}):
        assert low < 2 * error[:, place].sum() / float(said[0][place]) < high


def test_what_stands_beyond_the_frame_changes_nothing() -> None:
    """Blocks in the middle of a long frame and of a longer one have the same filter."""
    first, longer = (wiener.error(PLANE, uses, 0.1) for uses in (8000, 16_000))
    assert torch.equal(first[1000:2000], longer[1000:2000])


def test_low_precision_of_networks_leaves_estimates_alone() -> None:
    pairs = torch.view_as_complex(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)))
    alone = wiener.estimate(PLANE, pairs, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wiener._filters.cache_clear()
        again = wiener.estimate(PLANE, pairs, 0.1)
    assert all(torch.equal(one, other) for one, other in zip(alone, again, strict=True))


@pytest.mark.parametrize("grid", GRIDS)
def test_without_noise_nothing_is_singular(grid: Grid) -> None:
    gain, error = wiener.estimate(grid, torch.full((403,), 1 + 1j), 0.0)
    assert gain.isfinite().all()
    assert error.isfinite().all()
    assert 0 <= float(error[100:300].min()) < 1e-3
