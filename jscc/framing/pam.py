"""Gray-labelled amplitudes: coded bits to real symbols of mean power 1, and back to log ratios."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_NOISE_FLOOR = 1e-6


def modulate(bits: Tensor, per_symbol: int) -> Tensor:
    """Return the symbols float32 [B, n] of bits bool [B, m], n = m / per_symbol rounded up; what is missing is 0.

    The first n bits decide the sign, the next n the half of the magnitudes, and so on.
    """
    labels = F.pad(bits, (0, -bits.shape[1] % per_symbol)).view(len(bits), per_symbol, -1)
    weights = 2 ** torch.arange(per_symbol - 1, -1, -1, device=bits.device)
    return _points(per_symbol).to(bits.device)[(labels * weights[:, None]).sum(1)]


def log_ratios(y: Tensor, per_symbol: int, noise_power: Tensor) -> Tensor:
    """Return log(P(0) / P(1)) float32 [B, n * per_symbol] of every bit of symbols [B, n] in noise of power [B, n]."""
    noise_power = noise_power.clamp_min(_NOISE_FLOOR)
    if per_symbol == 1:
        return 2 * y / noise_power
    points = _points(per_symbol).to(y.device)
    likelihood = -(y[..., None] - points).square() / (2 * noise_power[..., None])
    label = torch.arange(len(points), device=y.device)
    ratios = []
    for bit in range(per_symbol - 1, -1, -1):
        one = (label >> bit & 1).bool()
        ratios.append(likelihood[..., ~one].logsumexp(-1) - likelihood[..., one].logsumexp(-1))
    return torch.cat(ratios, dim=1)


@lru_cache(maxsize=8)
def _points(per_symbol: int) -> Tensor:
    """Return the amplitude of each label, largest first, neighbours differing in one bit."""
    count = 2**per_symbol
    position = torch.arange(count)
    amplitude = torch.empty(count)
    amplitude[position ^ (position >> 1)] = (count - 1 - 2 * position).float()
    return amplitude / amplitude.square().mean().sqrt()
