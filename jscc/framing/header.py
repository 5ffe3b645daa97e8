"""What the words of a header hold: told SNR and margin, then the codes of an image or the size of its header's body."""

from typing import NamedTuple

import torch
from torch import Tensor

from jscc.framing import word
from jscc.limits import MAX_SNR_DB
from jscc.signals import MARGIN_STEPS_PER_DB, MAX_MARGIN_DB, Layout, Side, snr_code_of

_SNR_BITS = 9
_MARGIN_BITS = 8
_FIRST_BITS = word.INFO_BITS - _SNR_BITS - _MARGIN_BITS
"""Of the first word, for codes."""


_SIZE_BITS = 18
_COLOUR_BITS = (4, 5, 4)
"""Of the rest of the word of a header with a body: the body's size, and the image's mean colour."""


class HeaderLostError(ValueError):
    """A header did not arrive: a checksum fails, or what it says cannot be.

    Attributes:
        colour: float32 [3] the image's mean colour, where that arrived; None where nothing did.
    """

    def __init__(self, message: str, colour: Tensor | None = None) -> None:
        """Say why; `colour` as above."""
        super().__init__(message)
        self.colour = colour


class HeaderWords(NamedTuple):
    """What the words say.

    Attributes:
        snr_code: the SNR that the transmitter was told, see `signals.snr_code`.
        margin_code: the header's margin in quarters of a dB.
        rest: codes, or the size of the body in bytes and the mean colour.
    """

    snr_code: int
    margin_code: int
    rest: int


def words_for(bits: int) -> int:
    """Return how many words hold codes of so many bits together."""
    return 1 + max(0, -(-(bits - _FIRST_BITS) // word.INFO_BITS))


def info_bits(layout: Layout, side: Side) -> list[int]:
    """Return the bits of information that each image's header tells, checksums and fill left out."""
    words = _SNR_BITS + _MARGIN_BITS
    if layout.has_body:
        return [words + _FIRST_BITS + 8 * size for size in side.body_bytes.tolist()]
    return [words + layout.code_count * layout.code_bits] * len(side.codes)


def write(layout: Layout, side: Side, row: int) -> list[int]:
    """Return the values of one image's words."""
    if layout.has_body:
        rest = int(side.body_bytes[row]) | _colour_code(side.colour[row]) << _SIZE_BITS
    else:
        codes = (round(code) for code in side.codes[row].tolist())
        rest = sum(code << number * layout.code_bits for number, code in enumerate(codes))
    value = (rest << _MARGIN_BITS | int(side.margin_code[row])) << _SNR_BITS | int(side.snr_code[row])
    return [value >> number * word.INFO_BITS & (1 << word.INFO_BITS) - 1 for number in range(layout.words)]


def read(values: list[int]) -> HeaderWords:
    """Return what words say.

    Raises:
        HeaderLostError: there is no such SNR or margin.
    """
    value = sum(each << number * word.INFO_BITS for number, each in enumerate(values))
    snr_code, value = value & (1 << _SNR_BITS) - 1, value >> _SNR_BITS
    told = HeaderWords(snr_code, value & (1 << _MARGIN_BITS) - 1, value >> _MARGIN_BITS)
    if told.snr_code > snr_code_of(MAX_SNR_DB) or told.margin_code > MAX_MARGIN_DB * MARGIN_STEPS_PER_DB:
        raise HeaderLostError(f"header: no SNR of code {told.snr_code} or margin of code {told.margin_code}")
    return told


def _colour_code(colour: Tensor) -> int:
    code = 0
    for value, bits in zip(colour.tolist(), _COLOUR_BITS, strict=True):
        code = code << bits | round(min(max(value, 0), 1) * ((1 << bits) - 1))
    return code


def _colour_of(code: int) -> list[float]:
    values = []
    for bits in reversed(_COLOUR_BITS):
        values.append((code & (1 << bits) - 1) / ((1 << bits) - 1))
        code >>= bits
    return values[::-1]


def codes_of(layout: Layout, told: HeaderWords) -> list[int]:
    """Return the codes that words hold."""
    mask = (1 << layout.code_bits) - 1
    return [told.rest >> number * layout.code_bits & mask for number in range(layout.code_count)]


def side_of(told: HeaderWords, layout: Layout, size_px: tuple[int, int], device: torch.device) -> Side:
    """Return the side information, [1, ...], that words tell; its codes are those of the words."""
    codes = [] if layout.has_body else codes_of(layout, told)
    size_bytes, colour = told.rest & (1 << _SIZE_BITS) - 1, _colour_of(told.rest >> _SIZE_BITS)
    if not layout.has_body:
        size_bytes, colour = 0, [0.5] * 3
    shared = torch.tensor([[told.snr_code], [told.margin_code], [size_bytes]], device=device)
    known = torch.tensor([codes], dtype=torch.float32, device=device)
    colours = torch.tensor([colour], device=device)
    return Side(*size_px, known, layout.code_bits, shared[0], shared[1], shared[2], colours, layout.grid)
