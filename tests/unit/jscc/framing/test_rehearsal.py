"""What a training step meets is what the air and the equaliser make of a frame."""

import math

import pytest
import torch
from torch import Tensor

from jscc.draws import Draws
from jscc.framing import frame, rehearsal
from jscc.grid import PLAIN, Grid
from jscc.signals import Layout, Side

SLOTS = 4000
MOVING = Grid("fast", 10, 1, True, 1, 0.01)


def layout_of(grid: Grid) -> Layout:
    return frame.around(SLOTS, 1, 8, grid)


def received(grid: Grid, snr_db: float, images: int = 400, seed: int = 0) -> tuple[Tensor, Tensor, frame.Arrived]:
    """Return symbols, their errors, and what is said of them; the header is told the same SNR."""
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(images, SLOTS, generator=generator)
    side = Side.told(torch.zeros(images, 3, 8, 8), torch.full((images,), snr_db), 0, torch.zeros(images, 1), 8, grid)
    arrived = rehearsal.received(layout_of(grid), s, side, torch.full((images,), snr_db), Draws(generator))
    return s, arrived.symbols - s, arrived


@pytest.mark.parametrize(
    "grid", [PLAIN, Grid("block"), Grid("block", 0, 4), Grid("fast", 1), Grid("fast", 16, 2), MOVING]
)
def test_the_noise_is_what_is_said(grid: Grid) -> None:
    """1.6 million errors over their powers: a mean that deviates by 0.11 % (one sigma), 0.6 % is five sigmas."""
    _, error, arrived = received(grid, 5.0)
    assert arrived.state.noise_power.ndim == (2 if grid.fading == "fast" else 1)
    assert float((error.square() / arrived.state.of_symbol(SLOTS)).mean()) == pytest.approx(1, rel=0.006)


def test_without_fading_the_noise_is_that_of_the_snr_and_of_what_the_header_leaves() -> None:
    _, _, arrived = received(PLAIN, 5.0, images=2)
    gain = frame.left_to_method(layout_of(PLAIN), arrived.side).gain
    torch.testing.assert_close(arrived.state.noise_power.double(), 10**-0.5 / gain.square())


@pytest.mark.parametrize(("grid", "count"), [(Grid("block"), 400), (Grid("fast", 50), 400 * 42)])
def test_the_powers_of_gains_are_exponential(grid: Grid, count: int) -> None:
    """The largest distance from their distribution is below 1.95 / sqrt(n): one false alarm in a thousand each.

    Kolmogorov's bound; the deepest fades, below 10^-2.2, are drawn as one.
    """
    _, _, arrived = received(grid, 5.0)
    gain = frame.left_to_method(layout_of(grid), arrived.side).gain
    noise_power = arrived.state.noise_power.double() * gain.square().view(
        -1, *[1] * (arrived.state.noise_power.ndim - 1)
    )
    power = (10**-0.5 / noise_power).flatten().unique().sort().values
    power = power[power > 0.0065]
    expected = 1 - torch.exp(-power)
    share = torch.arange(1, len(power) + 1) / len(power) * math.exp(-0.0063) + (1 - math.exp(-0.0063))
    assert float((share - expected).abs().max()) < 1.95 / math.sqrt(0.9 * count) + 0.002


def test_a_block_shares_its_gain_and_neighbours_lie_in_different_ones() -> None:
    grid = Grid("fast", 50)
    _, _, arrived = received(grid, 5.0, images=1)
    assert len(arrived.state.noise_power.unique()) == math.ceil(layout_of(grid).channel_uses / 100)
    assert float((arrived.state.noise_power[0, 1:] == arrived.state.noise_power[0, :-1]).double().mean()) < 0.1


def test_gains_that_move_leave_the_doubt_of_wieners_formula() -> None:
    """By the median over 400 blocks of 400 images, that of an exponential power being ln 2: 0.4 % (one sigma).

    The formula is that of `test_wiener`, here for w = s2 D = 10 and F = 0.01; an estimate gets there but for 12 %.
    """
    white, doppler = 10.0, 0.01
    turns = (torch.arange(1000).double() + 0.5) / 1000 * math.pi - math.pi / 2
    doubt = float((white * doppler * turns.cos() / (1 + white * math.pi * doppler * turns.cos())).mean() * math.pi)
    _, _, arrived = received(MOVING, 0.0)
    gain = frame.left_to_method(layout_of(MOVING), arrived.side).gain
    found = float((arrived.state.noise_power * gain.square()[:, None]).median()) * math.log(2)
    assert 0.98 * (1 + doubt) < found < 1.02 * (1 + 1.12 * doubt)


def test_pilots_leave_the_doubt_of_an_estimate() -> None:
    """(s2 + e / (1 + e)) / s2 with e = s2 / P of the same gains; s2 of symbols and pilots are nearly one."""
    known, estimated = (received(Grid("block", 0, pilots), 0.0)[2].state.noise_power for pilots in (0, 4))
    torch.testing.assert_close(estimated / known, torch.full((400,), 1 + 0.25 / 1.25), rtol=0.02, atol=0)
