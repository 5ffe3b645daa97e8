"""What fading makes of a frame, undone: gains estimated from pilots, or told by a genie, and taken out again.

    y = h x + n,  h ~ CN(0, 1);  pilots of power 1 give the least-squares estimate of h in a block, whose error has the
    variance s2 / P (s2: noise per real symbol); its shrinkage is the linear estimate of least mean squared error.

What is left in doubt about a gain is noise to whoever uses the symbols: (s2 + var(error)) / |h|^2 per real symbol of
power 1. Symbols are not shrunk: what a symbol is worth is for its receiver to say.

Source: S. Kay, "Fundamentals of Statistical Signal Processing: Estimation Theory", 1993, chapter 12.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from jscc.framing import wiener
from jscc.framing.pilots import PILOT, FramePlaces, places
from jscc.grid import Grid
from jscc.signals import ChannelState

_LEAST_GAIN = 1e-6
"""Power of a gain from which on it counts as this much: in so deep a fade there is nothing but noise."""


def equalised(grid: Grid, y: Tensor, state: ChannelState) -> tuple[Tensor, ChannelState]:
    """Return the symbols [1, d] of a frame without its pilots, and their state.

    Args:
        grid: of the frame.
        y: float32 [1, k] received.
        state: noise power [1], and gains where a genie tells them. Without gains and pilots nothing is undone.
    """
    if state.gains is None and not grid.pilots:
        return y, state
    count = y.shape[1]
    where = places(grid, count + count % 2)
    pairs = torch.view_as_complex(F.pad(y, (0, count % 2)).view(-1, 2).contiguous())
    others = where.others.to(y.device)
    if state.gains is None:
        gain, doubt = (part[others] for part in estimate(grid, pairs, where, state.noise_power))
    else:
        gain, doubt = state.gains[0, others], torch.zeros_like(state.noise_power)
    power = gain.abs().square().clamp_min(_LEAST_GAIN)
    symbols = torch.view_as_real(pairs[others] * gain.conj() / power).flatten()
    noise_power = ((state.noise_power + doubt) / power).repeat_interleave(2)
    data_uses = count - grid.pilot_uses(count)
    return symbols[None, :data_uses], ChannelState(noise_power[None, :data_uses])


def estimate(grid: Grid, pairs: Tensor, where: FramePlaces, noise_power: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gain [n] of every complex symbol and the variance of its error.

    Args:
        grid: of the frame, with pilots.
        pairs: complex64 [n] received.
        where: the places of the frame.
        noise_power: [1] per real symbol.
    """
    if grid.is_moving:
        return wiener.estimate(grid, pairs, float(noise_power))
    block = where.block.to(pairs.device)
    of_pilot, blocks = block[where.pilots.to(pairs.device)], int(where.block[-1]) + 1
    quotients = pairs[where.pilots.to(pairs.device)] / PILOT
    count = of_pilot.bincount(minlength=blocks)
    mean = torch.zeros(blocks, dtype=pairs.dtype, device=pairs.device).index_add_(0, of_pilot, quotients) / count
    error = noise_power / count
    return (mean / (1 + error))[block], (error / (1 + error))[block]
