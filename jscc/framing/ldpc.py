"""The long code: quasi-cyclic LDPC of 5G NR, base graph 2, decoded softly row by row.

Own and not a library's, because every service needs it, for any number of blocks at once, within milliseconds: rows
above the wanted rate are left out instead of being punctured, and a decoder stops when all its checks hold.

Source: the code is that of 3GPP TS 38.212, section 5.3.2; sum-product decoding by R. Gallager, "Low-Density
Parity-Check Codes", 1963; in layers after D. Hocevar, "A reduced complexity decoder architecture via layered decoding
of LDPC codes", IEEE SiPS 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from jscc.framing.base_graph import CORE_ROWS, INFO_COLUMNS, LIFTING_SIZES, ROWS

MAX_ROWS = len(ROWS)
MIN_ROWS = CORE_ROWS
_PUNCTURED = 2
"""Columns, the first, that are never sent."""
SURE = 40.0
"""Log ratio of a bit that is known; those of others stay below, so that float32 holds their sums."""
_LEAST = 1e-4
"""Magnitude of tanh(ratio / 2) that a bit in doubt counts with, as it is divided by."""
_MOST = 1 - 1e-7
"""Magnitude below which a check speaks: 16.8 as a log ratio, about what float32 tells from certainty."""


@dataclass(frozen=True)
class Code:
    """One code of the family.

    Attributes:
        lifting: size of the circulants, one of LIFTING_SIZES.
        rows: of the base graph, 4..42; fewer are a higher rate.
    """

    lifting: int
    rows: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.lifting not in LIFTING_SIZES or not MIN_ROWS <= self.rows <= MAX_ROWS:
            sizes = ", ".join(map(str, LIFTING_SIZES))
            raise ValueError(f"code: lifting {self.lifting}, {self.rows} rows; expected one of {sizes}, and 4..42")

    @property
    def info_bits(self) -> int:
        """Information bits of a block."""
        return INFO_COLUMNS * self.lifting

    @property
    def sent_bits(self) -> int:
        """Coded bits of a block that are sent."""
        return (INFO_COLUMNS + self.rows - _PUNCTURED) * self.lifting


def encode(code: Code, bits: Tensor) -> Tensor:
    """Return the coded bits bool [B, sent_bits] of blocks of bits bool [B, info_bits]."""
    columns = [*bits.reshape(len(bits), INFO_COLUMNS, code.lifting).unbind(1)]
    core = [_check(columns, row) for row in ROWS[:CORE_ROWS]]
    first = (core[0] ^ core[1] ^ core[2] ^ core[3]).roll(1, 1)
    second = core[0] ^ first
    columns += [first, second, core[1] ^ second, core[3] ^ first]
    for row in ROWS[CORE_ROWS : code.rows]:
        columns.append(_check(columns, row))
    return torch.cat(columns[_PUNCTURED:], dim=1)


def _check(columns: list[Tensor], row: tuple[tuple[int, int], ...]) -> Tensor:
    """Return the sum modulo 2 of a row's entries among the columns that there are so far."""
    total = torch.zeros_like(columns[0])
    for column, shift in row:
        if column < len(columns):
            total = total ^ columns[column].roll(-shift % total.shape[1], 1)
    return total


@torch.no_grad()
def decode(code: Code, ratios: Tensor, known: Tensor, iterations: int = 40) -> Tensor:
    """Return the most likely information bits of blocks.

    Args:
        code: as they were sent.
        ratios: float32 [B, sent_bits], log(P(0) / P(1)) of every coded bit.
        known: bool [info_bits], information bits that are 0 because the payload does not fill the blocks.
        iterations: at most.

    Returns:
        bool [B, info_bits]; whether they are right is a checksum's business.
    """
    punctured = ratios.new_zeros(_PUNCTURED * code.lifting, len(ratios))
    belief = torch.cat([punctured, ratios.mT.clamp(-SURE, SURE)])
    belief[: code.info_bits].masked_fill_(known[:, None], SURE)
    settle(belief, _indices(code, ratios.device), iterations)
    return (belief[: code.info_bits] < 0).mT


@torch.no_grad()
def settle(belief: Tensor, rows: Sequence[Tensor], iterations: int) -> None:
    """Let bits hear from their checks, row by row, until all checks of all blocks hold.

    All blocks of a bit stand next to each other in memory, so a circulant is a copy of whole lines.

    Args:
        belief: float32 [n, B], log(P(0) / P(1)) of every bit, within SURE; changed in place.
        rows: int64 [bits of a check, checks] each, the places of the bits of checks that have no bit in common.
        iterations: at most.
    """
    messages = [belief.new_zeros(*index.shape, belief.shape[1]) for index in rows]
    for _ in range(iterations):
        for number, index in enumerate(rows):
            apart = _taken(belief, index).sub_(messages[number])
            messages[number] = _extrinsic(apart)
            belief.index_copy_(0, index.flatten(), apart.add_(messages[number]).flatten(0, 1))
        if _holds(belief < 0, rows):
            break


def _taken(lines: Tensor, index: Tensor) -> Tensor:
    """Return lines [n, B] by their places [bits, checks]: [bits, checks, B]."""
    return lines.index_select(0, index.flatten()).view(*index.shape, lines.shape[1])


def _extrinsic(apart: Tensor) -> Tensor:
    """Return what every bit of checks [bits, checks, B] hears from the others, by the tanh rule."""
    soft = torch.tanh(apart / 2)
    soft = torch.copysign(soft.abs().clamp_min_(_LEAST), soft)
    others = (soft.prod(0, keepdim=True) / soft).clamp_(-_MOST, _MOST)
    return (1 + others).div_(1 - others).log_()  # 2 atanh


def _holds(bits: Tensor, rows: Sequence[Tensor]) -> bool:
    return all(not bool((_taken(bits, index).sum(0) % 2).any()) for index in rows)


@lru_cache(maxsize=32)
def _indices(code: Code, device: torch.device) -> list[Tensor]:
    """Return for each row the places [bits of a check, lifting] of its bits in a block."""
    step = torch.arange(code.lifting)
    places = [
        torch.stack([column * code.lifting + (step + shift) % code.lifting for column, shift in row])
        for row in ROWS[: code.rows]
    ]
    return [index.to(device) for index in places]
