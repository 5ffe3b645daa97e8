"""A tail-biting convolutional code of rate 1/2 with 64 states, decoded softly: expected bits, given what arrived.

A wrong decision costs a large error; an expectation costs no more than the doubt is worth, and needs no threshold of
trust. Bits and chips are signs here, so that sums modulo 2 are products.

Source: the generators 133 and 171 (octal) of J. Odenwalder, "Optimal decoding of convolutional codes", 1970;
tail-biting after H. Ma and J. Wolf, "On tail biting convolutional codes", IEEE Trans. Communications, 1986; the
expectations by L. Bahl, J. Cocke, F. Jelinek and J. Raviv, "Optimal decoding of linear codes for minimizing symbol
error rate", IEEE Trans. Information Theory, 1974, around the circle once and some further.
"""

from functools import cache

import torch
from torch import Tensor

BITS = 64
CHIPS = 2 * BITS
_GENERATORS = (0o133, 0o171)
_MEMORY = 6
_HALF = 2 ** (_MEMORY - 1)
"""A state is the last 6 bits, the newest in front; half of them share all but their oldest bit."""
_RUN_UP = 30
"""Steps until the unknown state at the beginning is forgotten."""
_BEYOND_DOUBT = 20.0
"""Evidence of more than this is cut off, so that likelihoods stay within float32."""
_AT_ONCE = 512
"""Words decoded at once: 128 branches of 64 steps each, 16 MiB."""


def _taps(generator: int) -> list[int]:
    """Return the delays of the bits that a chip is the product of."""
    return [delay for delay in range(_MEMORY + 1) if generator >> (_MEMORY - delay) & 1]


def encode(signs: Tensor) -> Tensor:
    """Return the chips [..., 128] of words of bits [..., 64], all +1 and -1."""
    chips = [torch.stack([signs.roll(delay, -1) for delay in _taps(it)]).prod(0) for it in _GENERATORS]
    return torch.cat(chips, dim=-1)


@cache
def _branches(device: torch.device) -> Tensor:
    """Return the two chips [2, 2, 32, 2] of every new bit, newest five bits and oldest bit."""
    number = torch.arange(4 * _HALF, device=device)
    bits = torch.stack([1.0 - 2 * (number >> (_MEMORY - delay) & 1) for delay in range(_MEMORY + 1)])
    return torch.stack([bits[_taps(generator)].prod(0) for generator in _GENERATORS]).view(2, 2, _HALF, 2)


@torch.no_grad()
def decode(evidence: Tensor) -> Tensor:
    """Return the expected bits, -1 to 1, given what arrived, all words being equally likely.

    Args:
        evidence: [..., 128] y a / s2 of every chip: what arrived, times the amplitude, over the noise power.

    Returns:
        [..., 64].
    """
    parts = torch.split(evidence.reshape(-1, 2, BITS), _AT_ONCE)
    return torch.cat([_expect(part) for part in parts]).reshape(*evidence.shape[:-1], BITS)


def _expect(evidence: Tensor) -> Tensor:
    """Return the expected bits [n, 64] of evidence [n, 2, 64]; words come last meanwhile, side by side in memory."""
    bounded = evidence.clamp(-_BEYOND_DOUBT, _BEYOND_DOUBT).permute(1, 2, 0)
    exponents = torch.einsum("ctn,cbuo->tbuon", bounded, _branches(evidence.device))
    likelihood = (exponents - exponents.amax((1, 2, 3), keepdim=True)).exp()
    past = [evidence.new_ones(_HALF, 2, len(evidence))]
    future = [evidence.new_ones(2, _HALF, len(evidence))]
    for step in range(-_RUN_UP, BITS - 1):
        arriving = (past[-1] * likelihood[step % BITS]).sum(2)
        past.append((arriving / arriving.sum((0, 1))).view(_HALF, 2, -1))
    for step in range(BITS + _RUN_UP - 1, 0, -1):
        leaving = (future[-1][:, :, None] * likelihood[step % BITS]).sum(0)
        future.append((leaving / leaving.sum((0, 1))).view(2, _HALF, -1))
    before, after = torch.stack(past[_RUN_UP:]), torch.stack(future[_RUN_UP:][::-1])
    plus, minus = (before[:, None] * likelihood * after[:, :, :, None]).sum((2, 3)).unbind(1)
    return ((plus - minus) / (plus + minus)).T
