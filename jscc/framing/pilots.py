"""Where the pilots of a frame lie, and a frame with them."""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from jscc.grid import Grid

PILOT = 1 + 1j
"""Both of its reals have the mean power of the frame."""


class FramePlaces(NamedTuple):
    """Where the complex symbols of a frame are.

    Attributes:
        block: int64 [n] of every one.
        pilots: int64 [p] places of the pilots, rising.
        others: int64 [n - p] of all others, rising.
    """

    block: Tensor
    pilots: Tensor
    others: Tensor


@lru_cache(maxsize=8)
def places(grid: Grid, channel_uses: int) -> FramePlaces:
    """Return the places of a frame of so many channel uses; the pilots of a block are evenly spread."""
    pairs = channel_uses // 2
    length = grid.coherence or max(pairs, 1)
    with torch.inference_mode(mode=False):  # a service may be the first to ask, and a gradient pass through it later
        place = torch.arange(pairs)
        block, within = place // length, place % length
        size = (pairs - block * length).clamp(max=length)
        count = size.clamp(max=grid.pilots)
        is_pilot = (within + 1) * count // size > within * count // size
        return FramePlaces(block, is_pilot.nonzero().flatten(), (~is_pilot).nonzero().flatten())


def with_pilots(grid: Grid, symbols: Tensor) -> Tensor:
    """Return the frames [B, k] of symbols [B, d]: pilots of power 1 between them, nothing in a spare place."""
    if not grid.pilots:
        return symbols
    channel_uses = grid.uses_for(symbols.shape[1])
    place = places(grid, channel_uses).others.to(symbols.device)
    padded = F.pad(symbols, (0, 2 * len(place) - symbols.shape[1]))
    frame = symbols.new_ones(len(symbols), channel_uses // 2, 2)
    return frame.index_copy(1, place, padded.view(len(symbols), -1, 2)).flatten(1)
