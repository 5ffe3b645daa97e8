"""A codec that may halve the resolution first: where bits are scarce, a smaller image is better, or alone fits."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from jscc.baselines._codecs.contract import Codec
from jscc.images import ImageError, Pixels

WHOLE, HALF = 0, 1
"""The first byte of a file: of an image as it is, or of one of half the resolution."""


@dataclass(frozen=True)
class Halved:
    """Another codec, with the image as it is or halved on both sides. One byte in front of the file says which.

    An odd side is halved up. Both filters are Lanczos' of three lobes, of Pillow.

    Attributes:
        inner: the codec of the file behind the first byte.
    """

    inner: Codec

    @property
    def qualities(self) -> range:
        """Those of the other codec."""
        return self.inner.qualities

    @property
    def ways(self) -> range:
        """Those of the other codec with the whole image, then the same with the halved one."""
        return range(2 * len(self.inner.ways))

    def lack(self) -> str:
        """Say what the other codec lacks."""
        return self.inner.lack()

    def encode(self, pixels: Pixels, quality: int, way: int) -> bytes:
        """Return the first byte and the file of an image [H, W, 3] uint8."""
        scale, inner_way = divmod(way, len(self.inner.ways))
        shown = pixels if scale == WHOLE else _resize(pixels, *_half(*pixels.shape[:2]))
        return bytes([scale]) + self.inner.encode(shown, quality, inner_way)

    def decode(self, file: bytes, height_px: int, width_px: int) -> Pixels:
        """Return the image of a file, [H, W, 3] uint8.

        Raises:
            ImageError: a damaged or truncated file, or one of another size.
        """
        if file[:1] == bytes([WHOLE]):
            return self.inner.decode(file[1:], height_px, width_px)
        if file[:1] != bytes([HALF]):
            raise ImageError("image: damaged or truncated (the first byte tells no resolution)")
        return _resize(self.inner.decode(file[1:], *_half(height_px, width_px)), height_px, width_px)


def _half(height_px: int, width_px: int) -> tuple[int, int]:
    return (height_px + 1) // 2, (width_px + 1) // 2


def _resize(pixels: Pixels, height_px: int, width_px: int) -> Pixels:
    return np.array(Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.LANCZOS))
