"""Quality over rate of one image: what the best file of a codec has, at any number of bits.

A line over fading asks for the best file at thousands of rates. So some files are made, no more than GAP_DB apart in
PSNR, and between two of them the PSNR is a straight line over the logarithm of the size. As it never falls, it is off
by less than GAP_DB anywhere; of JPEG it is within 0.1 dB of the file that there is. It favours the digital line in two
ways: PSNR rises ever faster with the logarithm of the size, so that a straight line lies above; and there is a file of
every size, where codecs have steps, of which those that fill a given budget lose 0.1 to 0.2 dB in the mean.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from jscc.baselines.codecs import qualities, ways
from jscc.baselines.ideal import Choice, CodedImage, mean_colour
from jscc.baselines.spectrum import FloatArray
from jscc.quality.scores import MAX_PSNR_DB, psnr_db

GAP_DB = 1.0
"""Widest gap between the PSNRs of neighbouring files, unless the codec has no file between them."""

FIRST = 3
"""Worst qualities that are tried one by one: any may have the smallest file, and JPEG's lie far apart."""


@dataclass(frozen=True, eq=False)
class Curve:
    """PSNR of an image's best file over the bits that it may have.

    Attributes:
        sizes_bits: [n] sizes of files, rising; the first is the smallest that there is.
        psnrs_db: [n] PSNR of each in dB, never falling.
        nothing_db: PSNR in dB of the image's mean colour, which is shown where no file arrives; none is worse.
    """

    sizes_bits: FloatArray
    psnrs_db: FloatArray
    nothing_db: float

    def __post_init__(self) -> None:
        """Check what interpolation takes for granted.

        Raises:
            ValueError: no file, sizes that do not rise from above 0, or PSNRs that fall or begin below nothing_db.
        """
        if not self.sizes_bits.size or (np.diff(self.sizes_bits, prepend=0.0) <= 0).any():
            raise ValueError(f"sizes_bits: must rise from above 0, got {self.sizes_bits}")
        if self.psnrs_db.shape != self.sizes_bits.shape or (np.diff(self.psnrs_db, prepend=self.nothing_db) < 0).any():
            raise ValueError(f"psnrs_db: must rise from {self.nothing_db} dB, one for each size, got {self.psnrs_db}")

    def psnr_db(self, bits: FloatArray | float) -> FloatArray:
        """Return the PSNR in dB of the best file of no more bits, of any shape; nothing_db where none is so small.

        The largest file stays the best above its size.
        """
        bits = np.asarray(bits, dtype=np.float64)
        within = np.maximum(bits, self.sizes_bits[0])
        found = np.interp(np.log2(within), np.log2(self.sizes_bits), self.psnrs_db)
        return np.where(bits >= self.sizes_bits[0], found, self.nothing_db)


def measure(image: CodedImage, most_bits: float) -> Curve:
    """Return the curve of an image in a codec, the best of the codec's ways at every size.

    Makes 25 to 35 files in each way.

    Args:
        image: the image and its codec.
        most_bits: files beyond this size are of no interest, and the curve need not hold there.

    Raises:
        ValueError: an unknown codec.
    """
    nothing_db = psnr_db(image.pixels, mean_colour(image.pixels))
    curves = [_of_way(image, way, most_bits, nothing_db) for way in ways(image.codec)]
    sizes = np.unique(np.concatenate([curve.sizes_bits for curve in curves]))
    return Curve(sizes, np.max([curve.psnr_db(sizes) for curve in curves], axis=0), nothing_db)


def _of_way(image: CodedImage, way: int, most_bits: float, nothing_db: float) -> Curve:
    found: dict[float, float] = {}
    for quality in _spread(image, way, most_bits):
        size, value_db = _point(image, Choice(quality, way))
        found[size] = max(found.get(size, nothing_db), value_db)
    sizes = np.array(sorted(found))
    return Curve(sizes, np.maximum.accumulate([found[size] for size in sizes]), nothing_db)


def _spread(image: CodedImage, way: int, most_bits: float) -> list[int]:
    """Return qualities, rising, whose files lie close enough: gaps are halved until none is too wide."""
    chosen = [*qualities(image.codec)[:FIRST], qualities(image.codec)[-1]]
    while gaps := [pair for pair in itertools.pairwise(chosen) if _is_wide(image, way, pair, most_bits)]:
        chosen = sorted([*chosen, *(sum(pair) // 2 for pair in gaps)])
    return chosen


def _is_wide(image: CodedImage, way: int, pair: tuple[int, int], most_bits: float) -> bool:
    (size, below_db), (_, above_db) = (_point(image, Choice(quality, way)) for quality in pair)
    return pair[1] - pair[0] > 1 and size < most_bits and above_db - below_db > GAP_DB


def _point(image: CodedImage, choice: Choice) -> tuple[float, float]:
    """Return the size of a file in bits and its PSNR in dB."""
    value_db = 10.0 * math.log10(255.0**2 * image.pixels.size / max(image.squared_error(choice), 1))
    return float(image.size_bits(choice)), min(MAX_PSNR_DB, value_db)
