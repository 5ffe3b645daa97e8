"""Five images that no photograph is like, made here: the limits of methods that are designed for photographs.

Flat colour, gradients, text, checkerboards and noise, 512x512 px each. Their pixels are the same everywhere, but for
those of the text, whose letters are of Pillow's own font.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from jscc.data.dataset import Dataset, DatasetError, listed
from jscc.data.download import DownloadError, writable_folder

if TYPE_CHECKING:
    from jscc.images import Pixels

NAME = "synthetic"
SIDE_PX = 512

_FLAT = (184, 115, 51)
_TEXT = "The quick brown fox jumps over the lazy dog 0123456789. "


def open_synthetic() -> Dataset:
    """Make the images, in a folder of data or of the cache.

    Raises:
        DatasetError: there is no place for them.
    """
    from jscc.images import encode_png  # only now: NumPy and Pillow come with it

    try:
        folder = writable_folder(NAME)
        for name, draw in IMAGES.items():
            _keep(folder / f"{name}.png", encode_png(draw()))
    except (DownloadError, OSError) as error:
        raise DatasetError(f"dataset {NAME}: its images cannot be written ({error})") from error
    return listed(NAME, folder, (f"{name}.png" for name in IMAGES))


def _keep(path: Path, png: bytes) -> None:
    """Write a file unless it is there; whole or not at all, as others may do the same."""
    if path.is_file() and path.read_bytes() == png:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(png)
    part.replace(path)


def _flat() -> "Pixels":
    import numpy as np

    return np.full((SIDE_PX, SIDE_PX, 3), _FLAT, dtype=np.uint8)


def _gradients() -> "Pixels":
    """Red rises to the right, green downwards, blue along both."""
    import numpy as np

    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    levels = np.stack([columns, rows, (rows + columns) // 2], axis=-1)
    return (levels * 256 // SIDE_PX).astype(np.uint8)


def _text() -> "Pixels":
    """Black on white, lines of 10 to 30 px."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
    pen, top_px = ImageDraw.Draw(image), 4
    for size_px in (10, 12, 14, 16, 20, 24, 30) * 4:
        pen.text((4, top_px), _TEXT * 3, fill="black", font=ImageFont.load_default(size_px))
        top_px += size_px * 5 // 4
    return np.asarray(image)


def _checkerboard() -> "Pixels":
    """Black and white squares of 1, 2, 4 and 8 px, a quarter of the image each."""
    import numpy as np

    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    half = SIDE_PX // 2
    square_px = 2 ** (2 * (rows >= half) + (columns >= half))
    white = (rows // square_px + columns // square_px) % 2
    return np.repeat((255 * white).astype(np.uint8)[..., None], 3, axis=-1)


def _noise() -> "Pixels":
    """Every value by itself, each as likely: what no code can make smaller. Of a hash, whose bits never change."""
    import numpy as np

    count = 3 * SIDE_PX**2
    return np.frombuffer(hashlib.shake_256(b"jscc-link").digest(count), np.uint8).reshape(SIDE_PX, SIDE_PX, 3)


IMAGES: Mapping[str, Callable[[], "Pixels"]] = MappingProxyType(
    {"checkerboard": _checkerboard, "flat": _flat, "gradients": _gradients, "noise": _noise, "text": _text}
)
"""What draws each image, sorted by name."""
