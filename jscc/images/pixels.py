"""Pixels, and what is wrong with an image."""

import hashlib

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class ImageError(ValueError):
    """An image that cannot be read or written; the text names it and says why."""


class ImageTooLargeError(ImageError):
    """An image with a side above MAX_SIDE_PX."""


def require_pixels(pixels: Pixels) -> None:
    """Check that an array is uint8 [H, W, 3].

    Raises:
        ImageError: it is another kind.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"image: must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")


def pixel_digest(pixels: Pixels) -> str:
    """Return 16 hex digits that identify pixels, BLAKE2b-64 over their shape (three int64, little-endian) and bytes.

    Two files of one picture have the same digest, whatever they are called and however they are compressed.

    Args:
        pixels: [H, W, 3] uint8.

    Raises:
        ImageError: an array of another kind.
    """
    require_pixels(pixels)
    digest = hashlib.blake2b(np.array(pixels.shape, "<i8").tobytes(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
