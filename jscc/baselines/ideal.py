"""Digital transmission with an ideal code: a file that the channel's capacity can carry arrives, another does not.

The code reaches capacity at any block length, and its rate fits the file to the bit, so this is what no real code
with the same codec surpasses. Two links differ in what the transmitter knows:

- rate-adaptive: it knows the SNR of every image and sends the best file that fits;
- fixed-rate: it was designed for one SNR, and its file stays the same at every other. Below the SNR that the file
  needs nothing arrives: the cliff. Above, nothing improves.

Where nothing arrives the receiver shows the image's mean colour, as if its 24 bits always came through for nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jscc import cancel
from jscc.baselines.codecs import decode, encode, qualities, ways
from jscc.images import Pixels
from jscc.signals import capacity_bits_per_symbol

MAX_COUNT = 2**53
"""Most bits and most channel uses: up to here every whole number is a float too."""
MAX_ABS_SNR_DB = 1e17
"""Largest SNR, and the smallest negated: more than MAX_COUNT bits in one channel use need."""
LOOKAHEAD = 3
"""Qualities above the best that are tried too, as the size of a file need not rise with every step of quality."""


class Choice(NamedTuple):
    """Which file of an image: a quality and a way of the codec, see `codecs.encode`."""

    quality: int
    way: int = 0


@dataclass(frozen=True, eq=False)
class CodedImage:
    """An image in one codec. Every file is made when it is first asked for, and kept.

    Keep one of these for as long as the image is sent, over all SNRs and rates: encoding is what takes the time.

    Attributes:
        pixels: [H, W, 3] uint8.
        codec: a name of CODECS.
    """

    pixels: Pixels
    codec: str
    _files: dict[Choice, bytes] = field(default_factory=dict, init=False, repr=False)
    _errors: dict[Choice, int] = field(default_factory=dict, init=False, repr=False)

    def file(self, choice: Choice) -> bytes:
        """Return the file of a choice.

        Raises:
            ValueError: see `encode`.
            AbandonedError: nobody waits for it any more.
        """
        if choice not in self._files:
            cancel.check()
            self._files[choice] = encode(self.pixels, self.codec, *choice)
        return self._files[choice]

    def size_bits(self, choice: Choice) -> int:
        """Return the size of the file in bits, headers included.

        Raises:
            ValueError: see `encode`.
        """
        return 8 * len(self.file(choice))

    def decoded(self, choice: Choice) -> Pixels:
        """Return the image of the file, [H, W, 3] uint8.

        Raises:
            ValueError: see `encode`.
        """
        return decode(self.file(choice), self.codec, *self.pixels.shape[:2])

    def squared_error(self, choice: Choice) -> int:
        """Return the sum of squared differences of the file's image, in units of 8 bits: a whole number.

        Raises:
            ValueError: see `encode`.
        """
        if choice not in self._errors:
            error = np.subtract(self.pixels, self.decoded(choice), dtype=np.int16)
            self._errors[choice] = int(np.einsum("hwc,hwc->", error, error, dtype=np.int64))
        return self._errors[choice]

    def best(self, limit_bits: int) -> Choice | None:
        """Return the best file of no more bits than the limit, None if there is none.

        Of every way the highest quality that fits, and of these the one with the least squared error.

        Raises:
            ValueError: see `encode`.
        """
        fitting = []
        for way in ways(self.codec):
            known = {made.quality: 8 * len(file) for made, file in self._files.items() if made.way == way}
            sizes = partial(self._size_bits, way)
            if (quality := best_quality(sizes, qualities(self.codec), limit_bits, known)) is not None:
                fitting.append(Choice(quality, way))
        return min(fitting, key=self.squared_error) if len(fitting) > 1 else next(iter(fitting), None)

    def _size_bits(self, way: int, quality: int) -> int:
        return self.size_bits(Choice(quality, way))


@dataclass(frozen=True, eq=False)
class IdealTransmission:
    """What became of one image.

    Attributes:
        pixels: [H, W, 3] uint8, what the receiver shows: the decoded file, or the image's mean colour.
        choice: the file that was sent; None if no file was small enough to be sent at all.
        size_bits: size of that file with its headers; 0 if none was sent.
        budget_bits: what the channel uses carry at the channel's SNR.
        decoded: whether the file arrived.
    """

    pixels: Pixels
    choice: Choice | None
    size_bits: int
    budget_bits: int
    decoded: bool


def channel_uses(rho: float, height_px: int, width_px: int) -> int:
    """Return k = rho * 3 H W to the nearest whole number, the inverse of `signals.bandwidth_ratio`.

    Raises:
        ValueError: rho is not a positive number, or makes more than MAX_COUNT channel uses.
    """
    uses = rho * 3 * height_px * width_px
    if not (rho > 0 and uses <= MAX_COUNT):
        raise ValueError(f"rho: must be positive and make at most 2^53 channel uses, got {rho}")
    return round(uses)


def budget_bits(uses: int, snr_db: float) -> int:
    """Return the whole bits that channel uses carry at an SNR in dB, `floor(k * capacity)`.

    Raises:
        ValueError: the channel uses are outside 0..MAX_COUNT, or the SNR is not a number or beyond MAX_ABS_SNR_DB.
    """
    if not 0 <= uses <= MAX_COUNT:
        raise ValueError(f"uses: {uses} is outside 0..2^53")
    if not abs(snr_db) <= MAX_ABS_SNR_DB:
        raise ValueError(f"snr_db: {snr_db} is outside -1e17..1e17 dB")
    return math.floor(uses * capacity_bits_per_symbol(snr_db))


def needed_snr_db(size_bits: int, uses: int) -> float:
    """Return the SNR in dB at which channel uses carry just so many bits: where a fixed-rate link has its cliff.

    Solves `size = k/2 log2(1 + snr)` for the SNR: with `r = 2 ln 2 size / k`, `ln(e^r - 1) = r + ln(1 - e^-r)`, which
    overflows for no r.

    Raises:
        ValueError: a number is outside 1..MAX_COUNT.
    """
    for name, count in (("size_bits", size_bits), ("uses", uses)):
        if not 1 <= count <= MAX_COUNT:
            raise ValueError(f"{name}: {count} is outside 1..2^53")
    rate = math.log(4.0) * size_bits / uses
    return 10.0 / math.log(10.0) * (rate + math.log(-math.expm1(-rate)))


def best_quality(
    size_bits: Callable[[int], int], choice: range, limit_bits: int, known: Mapping[int, int] = MappingProxyType({})
) -> int | None:
    """Return the highest quality whose file is within a limit.

    Narrows the range until a file that fits has a neighbour that does not, by halves and by interpolation in turn, then
    looks LOOKAHEAD qualities ahead, from every better one that is found there again. So the answer is the best if no
    file is smaller than one that is LOOKAHEAD or more qualities worse, and it takes some five files instead of all
    hundred. (Of Kodak in JPEG, and of some of it in WebP and AVIF, no file is smaller than any that is worse.)

    Args:
        size_bits: gives the size of the file at a quality; had better remember its answers.
        choice: the qualities, worst first, in steps of 1.
        limit_bits: the largest size that is allowed.
        known: sizes of files that there are already, by quality.

    Returns:
        A quality whose size is at most the limit, or None if none was found.
    """
    sizes = dict(known)
    low = max((q for q, size in sizes.items() if size <= limit_bits), default=choice.start - 1)
    high = min((q for q, size in sizes.items() if size > limit_bits and q > low), default=choice.stop)
    halve = False
    while high - low > 1:
        middle = (low + high) // 2
        if not halve and low in sizes and high in sizes:
            middle = _interpolated((low, sizes[low]), (high, sizes[high]), limit_bits)
        halve = not halve
        sizes[middle] = size_bits(middle)
        low, high = (middle, high) if sizes[middle] <= limit_bits else (low, middle)
    while better := [q for q in range(low + 1, low + 1 + LOOKAHEAD) if q in choice and size_bits(q) <= limit_bits]:
        low = better[-1]
    return low if low in choice else None


def _interpolated(low: tuple[int, int], high: tuple[int, int], limit_bits: int) -> int:
    """Return the quality strictly between two, (quality, size) each, at which sizes of one ratio meet the limit."""
    (worse, least), (better, most) = low, high
    share = math.log(limit_bits / least) / math.log(most / least)
    return min(max(worse + round(share * (better - worse)), worse + 1), better - 1)


def mean_colour(pixels: Pixels) -> Pixels:
    """Return an image of the same size, [H, W, 3] uint8, in the image's mean colour to the nearest 8-bit value."""
    colour = np.rint(pixels.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
    return np.broadcast_to(colour, pixels.shape).copy()


def rate_adaptive(image: CodedImage, rho: float, snr_db: float) -> IdealTransmission:
    """Send an image with the best quality that fits this SNR.

    Args:
        image: the image and its codec.
        rho: channel uses per source sample, positive.
        snr_db: SNR of the channel in dB, which the transmitter knows.

    Raises:
        ValueError: an unknown codec, or a number out of range; names the field.
    """
    return fixed_rate(image, rho, snr_db, snr_db)


def fixed_rate(image: CodedImage, rho: float, design_snr_db: float, snr_db: float) -> IdealTransmission:
    """Send an image with the best quality that fits the design SNR, whatever the channel's SNR is.

    The file arrives if the channel's capacity carries its bits: from `needed_snr_db` of its size on, which is a little
    below the design SNR.

    Args:
        image: the image and its codec.
        rho: channel uses per source sample, positive.
        design_snr_db: the SNR in dB that the quality is chosen for.
        snr_db: SNR of the channel in dB, which the transmitter does not know.

    Raises:
        ValueError: an unknown codec, or a number out of range; names the field.
    """
    uses = channel_uses(rho, *image.pixels.shape[:2])
    budget = budget_bits(uses, snr_db)
    choice = image.best(budget_bits(uses, design_snr_db))
    if choice is None:
        return IdealTransmission(mean_colour(image.pixels), None, 0, budget, False)
    size = image.size_bits(choice)
    if size > budget:
        return IdealTransmission(mean_colour(image.pixels), choice, size, budget, False)
    return IdealTransmission(image.decoded(choice), choice, size, budget, True)
