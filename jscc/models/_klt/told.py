"""What the header of a classified code tells: eight numbers, and the class of every patch given its neighbours'."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from jscc.framing import bits

CODE_BITS = 16
SCALE_BITS = 15
FIRST_CODES = 8
_WIDTHS = (SCALE_BITS, 10, 8, 5, 8, 16, 8, 16)
"""Bits of scale, step, margin, first row of the base, and of the sizes of the digital parts in two codes each."""
FIRST_BYTES = -(-sum(_WIDTHS) // 8)
_WORD = 1 << _WIDTHS[-1]


@dataclass(frozen=True)
class Told:
    """Side information of a batch.

    Attributes:
        scale: float32 [B] code of the scale, with its gradient.
        step: int64 [B] code of the quantiser's step.
        margin: int64 [B] code of the digital part's margin.
        first_row: int64 [B] of the quantiser's, from which on values are in the base of the digital part.
        sizes: int64 [B] in bytes, of the base and of the rest.
        classes: int64 [B, h, w].
    """

    scale: Tensor
    step: Tensor
    margin: Tensor
    first_row: Tensor
    sizes: tuple[Tensor, Tensor]
    classes: Tensor

    def codes(self) -> Tensor:
        """Return them as codes float32 [B, FIRST_CODES + h w]."""
        sizes = (part for size in self.sizes for part in (size // _WORD, size % _WORD))
        numbers = torch.stack(
            [self.scale, *(part.float() for part in (self.step, self.margin, self.first_row, *sizes))], dim=1
        )
        return torch.cat([numbers, self.classes.flatten(1).float()], dim=1)

    @staticmethod
    def of(codes: Tensor, rows: int, columns: int) -> "Told":
        """Return what codes [B, FIRST_CODES + rows columns] tell."""
        step, margin, first_row, *sizes = codes[:, 1:FIRST_CODES].round().long().unbind(1)
        base, rest = (above * _WORD + below for above, below in (sizes[:2], sizes[2:]))
        classes = codes[:, FIRST_CODES:].round().long().view(-1, rows, columns)
        return Told(codes[:, 0], step, margin, first_row, (base, rest), classes)


def size_bytes(classes: Tensor, counts: Tensor) -> Tensor:
    """Return about how many bytes headers take, int64 [B], of classes [B, h, w] and counts [C + 1, C + 1, C]."""
    price = (counts.double().sum(2, keepdim=True) / counts.double()).log2()
    left, above = _neighbours(classes, counts.shape[2])
    told = price[left, above, classes].sum((1, 2))
    return FIRST_BYTES + (told / 8).ceil().long() + 1


def write_classes(classes: NDArray[np.int64], counts: NDArray[np.float32]) -> bytes:
    """Return the classes [h, w] of one image as bytes."""
    left, above = (part[0].numpy() for part in _neighbours(torch.from_numpy(classes)[None], counts.shape[2]))
    symbols = classes.astype(np.int32).ravel()
    return bits.encode([(symbols, counts[left.ravel(), above.ravel()])])


def write_numbers(codes: list[int]) -> bytes:
    """Return the first codes of one image as bytes, always equally many."""
    value = 0
    for width, code in zip(reversed(_WIDTHS), reversed(codes), strict=True):
        value = value << width | code
    return value.to_bytes(FIRST_BYTES, "little")


def read(body: bytes, rows: int, columns: int, counts: NDArray[np.float32]) -> list[int]:
    """Return the codes of one image of rows x columns patches.

    Raises:
        ValueError: the body is too short, or tells no classes.
    """
    if len(body) < FIRST_BYTES:
        raise ValueError(f"a body of {len(body)} bytes, the shortest has {FIRST_BYTES}")
    value, numbers = int.from_bytes(body[:FIRST_BYTES], "little"), []
    for width in _WIDTHS:
        numbers.append(value & (1 << width) - 1)
        value >>= width
    return numbers + _read_classes(body[FIRST_BYTES:], rows, columns, counts)


def _read_classes(data: bytes, rows: int, columns: int, counts: NDArray[np.float32]) -> list[int]:
    decoder, outside = bits.Decoder(data), counts.shape[2]
    models = {}
    grid = np.full((rows + 1, columns + 1), outside, np.int64)
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            near = (int(grid[row, column - 1]), int(grid[row - 1, column]))
            if near not in models:
                models[near] = bits.model(counts[near])
            grid[row, column] = decoder.symbol(models[near])
    return [int(number) for number in grid[1:, 1:].ravel()]


def count_neighbours(images: list[Tensor], classes: int) -> Tensor:
    """Return how often each class [h, w] follows its left and upper neighbour in images, [C + 1, C + 1, C]."""
    size = classes + 1
    total = torch.zeros(size * size * classes, dtype=torch.long)
    for image in images:
        left, above = _neighbours(image[None], classes)
        place = (left * size + above) * classes + image
        total += place.flatten().bincount(minlength=len(total))
    return total.view(size, size, classes)


def _neighbours(classes: Tensor, outside: int) -> tuple[Tensor, Tensor]:
    """Return the left and the upper neighbour of classes [B, h, w]; beyond the edge, the class `outside`."""
    padded = F.pad(classes, (1, 0, 1, 0), value=outside)
    return padded[:, 1:, :-1], padded[:, :-1, 1:]
