"""What a codec of the digital baselines is."""

from typing import Protocol

from jscc.images import Pixels


class CodecMissingError(LookupError):
    """A codec whose library is not installed; the text says how to get it."""


class Codec(Protocol):
    """An image codec: bytes of an image at a chosen quality, and the image of such bytes.

    It may have several ways of making a file, of which none is the best for every image, such as two subsamplings of
    the colours. What tells the receiver the way is in the bytes.
    """

    @property
    def qualities(self) -> range:
        """Every quality that can be asked for, worst first, in steps of 1."""

    @property
    def ways(self) -> range:
        """Every way of making a file, from 0."""

    def lack(self) -> str:
        """Say what is not installed that it needs, and the remedy; "" if nothing."""

    def encode(self, pixels: Pixels, quality: int, way: int) -> bytes:
        """Return the file of an image [H, W, 3] uint8, headers included."""

    def decode(self, file: bytes, height_px: int, width_px: int) -> Pixels:
        """Return the image [H, W, 3] uint8 of a file; its size is known beforehand.

        Raises:
            ImageError: a damaged or truncated file, or one of another size.
        """
