"""What a training step puts in place of frame and channel: the same symbols, noise and fades, and headers that arrive.

Pilots and the header's symbols are not made; their uses and their power are taken, and what an estimated gain leaves in
doubt is noise, as it is for a receiver. Differentiable in the symbols.
"""

import torch
from torch import Tensor

from jscc.draws import Draws
from jscc.framing import frame, wiener
from jscc.framing.frame import Arrived
from jscc.signals import ChannelState, Layout, Side, noise_variance

_DEEPEST = 10**-2.2
"""Power of a gain below which a fade is drawn as this one: there, no header arrives and nothing is to be learned."""


def received(layout: Layout, s: Tensor, side: Side, snr_db: Tensor, draws: Draws) -> Arrived:
    """Return what arrives of symbols.

    Args:
        layout: of the images; its grid says how the channel fades: with one gain for each block, or for all of a frame;
            gains that are expected to move differ from block to block, and are known as well as a receiver knows them.
        s: float32 [B, slots] of mean power 1.
        side: their side information.
        snr_db: [B] that the channel has, the mean one where it fades.
        draws: gains and noise, on the device of s.
    """
    gain = frame.left_to_method(layout, side).gain.float()  # what the header leaves of the power
    noise_power = noise_variance(snr_db) / gain.square()
    if layout.grid.fading != "none":
        noise_power = _faded(layout, noise_power, noise_variance(snr_db), draws)
    state = ChannelState(noise_power)
    return Arrived(s + state.of_symbol(s.shape[1]).sqrt() * draws.randn(*s.shape), side, state)


def _faded(layout: Layout, noise_power: Tensor, at_pilots: Tensor, draws: Draws) -> Tensor:
    """Return the noise power [B], or [B, slots] where it differs, after equalisation."""
    pair = frame.pair_of(layout).to(noise_power.device)
    block = pair // layout.grid.coherence if layout.grid.coherence else torch.zeros_like(pair)
    power = draws.randn(len(noise_power), int(block.max()) + 1, 2).square().mean(2).clamp_min(_DEEPEST)
    noisy = noise_power[:, None] * (1 + _doubt(layout, pair, at_pilots) / at_pilots[:, None])
    return noisy[:, 0] / power[:, 0] if layout.grid.coherence == 0 else noisy / power[:, block]


def _doubt(layout: Layout, pair: Tensor, at_pilots: Tensor) -> Tensor:
    """Return the variance of the errors of estimated gains, [B, 1] or [B, slots] where it differs."""
    grid = layout.grid
    if not grid.pilots:
        return torch.zeros_like(at_pilots)[:, None]
    if grid.is_moving:
        errors = (wiener.error(grid, layout.channel_uses, noise_power) for noise_power in at_pilots.tolist())
        return torch.stack([error.to(pair.device)[pair] for error in errors])
    error = at_pilots[:, None] / grid.pilots
    return error / (1 + error)
