"""The extended binary Golay code (24, 12, 8), decoded softly: the mean of what was sent, given what arrived.

A wrong decision costs a large error; the mean over all 4096 codewords costs no more than the doubt is worth, and needs
no threshold of trust.

Source: M. Golay, "Notes on digital coding", Proc. IRE, 1949; the generator as in F. MacWilliams and N. Sloane, "The
Theory of Error-Correcting Codes", 1977, chapter 2, from the squares modulo 11.
"""

from functools import cache

import torch
from torch import Tensor

BITS = 12
CHIPS = 24
DISTANCE = 8
_SQUARES = (0, 1, 3, 4, 5, 9)
"""Modulo 11."""
_AT_ONCE = 2048
"""Words decoded at once: 4096 likelihoods each, 32 MiB."""


@cache
def _generator() -> Tensor:
    """Return the generator matrix [12, 24] of zeros and ones, the identity in front."""
    circulant = torch.tensor([[(column - row) % 11 in _SQUARES for column in range(11)] for row in range(11)])
    parity = torch.ones(BITS, BITS)
    parity[0, 0] = 0
    parity[1:, 1:] = circulant
    return torch.cat([torch.eye(BITS), parity], dim=1)


@cache
def _book(device: torch.device) -> Tensor:
    """Return all codewords [4096, 24] as chips +1 and -1, the first 12 of which are their bits."""
    bits = (torch.arange(2**BITS)[:, None] >> torch.arange(BITS)) & 1
    return (1 - 2 * (bits.float() @ _generator() % 2)).to(device)


def encode(signs: Tensor) -> Tensor:
    """Return the chips [..., 24] of words of bits [..., 12], all +1 and -1."""
    ones = (1 - signs) / 2
    return 1 - 2 * (ones @ _generator().to(signs.device) % 2)


@torch.no_grad()
def decode(evidence: Tensor) -> Tensor:
    """Return the expected bits, -1 to 1, given what arrived, all words being equally likely.

    Args:
        evidence: [..., 24] y a / s2 of every chip: what arrived, times the amplitude, over the noise power.

    Returns:
        [..., 12].
    """
    book = _book(evidence.device)
    parts = torch.split(evidence.reshape(-1, CHIPS), _AT_ONCE)
    signs = torch.cat([(part @ book.T).softmax(dim=1) @ book[:, :BITS] for part in parts])
    return signs.reshape(*evidence.shape[:-1], BITS)
