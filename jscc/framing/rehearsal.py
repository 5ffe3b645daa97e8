"""What a training step puts in place of frame and channel: the same symbols, noise and fades, and headers that arrive.

Pilots and the header's symbols are not made; their uses and their power are taken, and what an estimated gain leaves in
doubt is noise, as it is for a receiver. Differentiable in the symbols.
"""

from torch import Tensor

from jscc.draws import Draws
from jscc.framing import frame
from jscc.framing.frame import Arrived
from jscc.signals import ChannelState, Layout, Side, noise_variance

_DEEPEST = 10**-2.2
"""Power of a gain below which a fade is drawn as this one: there, no header arrives and nothing is to be learned."""


def received(layout: Layout, s: Tensor, side: Side, snr_db: Tensor, draws: Draws) -> Arrived:
    """Return what arrives of symbols.

    Args:
        layout: of the images; its grid says how the channel fades: with one gain for each block, or for all of a frame.
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
    block = frame.block_of(layout).to(noise_power.device)
    power = draws.randn(len(noise_power), int(block.max()) + 1, 2).square().mean(2).clamp_min(_DEEPEST)
    if layout.grid.pilots:
        error = at_pilots / layout.grid.pilots
        noise_power = noise_power * (1 + 1 / layout.grid.pilots / (1 + error))
    faded = noise_power[:, None] / power
    return faded[:, 0] if layout.grid.coherence == 0 else faded[:, block]
