"""Estimation and equalisation against theory; false alarms of the statistical tests are stated."""

import math

import pytest
import torch
from torch import Tensor

from jscc.channels.rayleigh import Options, Rayleigh
from jscc.draws import Draws
from jscc.framing import equaliser, pilots
from jscc.grid import PLAIN, Grid
from jscc.signals import ChannelState

USES = 60_000


def draws(seed: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def faded(grid: Grid, snr_db: float, seed: int = 0) -> tuple[Tensor, Tensor, ChannelState]:
    """Return symbols of power 1, what arrives of their frame, and the state of a genie."""
    s = torch.randn(1, USES, generator=torch.Generator().manual_seed(seed))
    frame = pilots.with_pilots(grid, s)
    moving = Options(doppler=grid.expected_doppler) if grid.is_moving else Options(coherence=grid.coherence)
    channel = Rayleigh(torch.tensor([snr_db]), moving)
    y, truth = channel.apply(frame, channel.draw(frame.shape, draws(seed + 1)))
    return s, y, ChannelState(truth.noise_power, truth.gains)


def test_pilots_have_the_power_of_the_frame_and_leave_the_rest_in_order() -> None:
    grid = Grid("fast", 16, 2)
    s = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0))
    frame = pilots.with_pilots(grid, s)
    assert frame.shape == (3, grid.uses_for(1000))
    where = pilots.places(grid, frame.shape[1])
    pairs = frame.view(3, -1, 2)
    assert torch.equal(pairs[:, where.others].flatten(1)[:, :1000], s)
    assert torch.equal(pairs[:, where.pilots], torch.ones(3, len(where.pilots), 2))


@pytest.mark.parametrize("grid", [Grid("block", 0, 8), Grid("fast", 16, 2), Grid("fast", 7, 3)])
def test_without_noise_the_symbols_come_back(grid: Grid) -> None:
    s = torch.randn(1, USES, generator=torch.Generator().manual_seed(0))
    channel, frame = Rayleigh(torch.zeros(1), Options(coherence=grid.coherence)), pilots.with_pilots(grid, s)
    truth = channel.apply(frame, channel.draw(frame.shape, draws(1)))[1]
    y = truth.faded(frame)
    for known in (ChannelState(torch.zeros(1)), ChannelState(torch.zeros(1), truth.gains)):
        symbols, after = equaliser.equalised(grid, y, known)
        torch.testing.assert_close(symbols[:, :USES], s, atol=2e-3, rtol=1e-3)
        assert not after.noise_power.any()


def test_a_frame_without_pilots_is_left_alone_unless_a_genie_tells_the_gains() -> None:
    _, y, state = faded(Grid("fast", 16), 10.0)
    symbols, after = equaliser.equalised(PLAIN, y, ChannelState(state.noise_power))
    assert symbols is y
    assert torch.equal(after.noise_power, state.noise_power)
    assert after.noise_power.shape == (1,)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
@pytest.mark.parametrize(
    ("grid", "genie"),
    [(Grid("fast", 16), True), (Grid("fast", 17, 1), False), (Grid("fast", 4, 1, True, 1, 0.05), False)],
)
def test_the_noise_is_what_is_said(grid: Grid, genie: bool, snr_db: float) -> None:
    """Errors over their said power have mean 1: 60,000 of them in 1875 blocks, whose gains' errors they share.

    The squared error of an estimated gain is exponential in a block, so the mean deviates by at most
    sqrt(1 / 1875 + 2 / 60000) = 2.4 % (one sigma): 12 % is five sigmas, one false alarm in a million. Gains that
    move have a tenth of the bandwidth of 40,000 symbols, so that more errors than there are blocks are independent.
    """
    s, y, state = faded(grid, snr_db)
    symbols, after = equaliser.equalised(grid, y, state if genie else ChannelState(state.noise_power))
    strong = 1 / after.noise_power < 100 * 10 ** (snr_db / 10)
    error = (symbols[:, :USES] - s).square() / after.noise_power[:, :USES]
    weight = (after.noise_power < 1)[:, :USES] & strong[:, :USES]
    assert float(error[weight].mean()) == pytest.approx(1, rel=0.12)


@pytest.mark.parametrize(("known", "snr_db"), [(1, 0.0), (4, 0.0), (4, 10.0), (16, 10.0)])
def test_the_gains_are_estimated_as_well_as_theory_says(known: int, snr_db: float) -> None:
    """Mean squared error e / (1 + e) with e = s2 / P: 1500 blocks and more deviate by 2.6 % (one sigma)."""
    grid = Grid("fast", 20 + known, known)
    _, y, state = faded(grid, snr_db)
    assert state.gains is not None
    where = pilots.places(grid, y.shape[1])
    pairs = torch.view_as_complex(y.view(-1, 2))
    gain, error = equaliser.estimate(grid, pairs, where, state.noise_power)
    e = 10 ** (-snr_db / 10) / known
    torch.testing.assert_close(error, torch.full_like(error, e / (1 + e)))
    assert float((gain - state.gains[0]).abs().square().mean()) == pytest.approx(e / (1 + e), rel=5 * 0.026)


def test_no_gain_is_too_small() -> None:
    y, gains = torch.ones(1, 6), torch.tensor([[0j, 1e-30 + 0j, 1 + 1j]])
    symbols, after = equaliser.equalised(PLAIN, y, ChannelState(torch.tensor([0.1]), gains))
    assert symbols.isfinite().all()
    assert after.noise_power.isfinite().all()
    assert (after.noise_power[0, :4] >= 1e4).all()
    torch.testing.assert_close(symbols[0, 4:], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(after.noise_power[0, 4:], torch.tensor([0.05, 0.05]))


def test_an_odd_frame_keeps_its_last_symbol() -> None:
    gains = torch.tensor([[1j, 2 + 0j]])
    symbols, _ = equaliser.equalised(PLAIN, torch.tensor([[0.0, 1.0, 4.0]]), ChannelState(torch.zeros(1), gains))
    torch.testing.assert_close(symbols, torch.tensor([[1.0, 0.0, 2.0]]))


def test_the_effective_snr_is_that_of_the_mean_error() -> None:
    """Of gains of an exponential power: E[1 / (1 + g snr)] = e^(1/snr) E1(1/snr) / snr; at 10 dB 0.2015, 5.98 dB."""
    power = -torch.log1p(-(torch.arange(100_000) + 0.5) / 100_000)
    state = ChannelState(0.1 / power[None])
    assert float(state.snr_db) == pytest.approx(10 * math.log10(1 / 0.20146 - 1), abs=0.01)
    y, even = state.evened(torch.ones(1, len(power)))
    assert even.noise_power.shape == (1,)
    torch.testing.assert_close(y / (1 + even.noise_power), 1 / (1 + state.noise_power))
    same = ChannelState(torch.full((1, 5), 0.1)).evened(torch.ones(1, 5))
    torch.testing.assert_close(same[0], torch.ones(1, 5))
    torch.testing.assert_close(same[1].noise_power, torch.tensor([0.1]))
