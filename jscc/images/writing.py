"""Pixels as image files."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jscc.images.pixels import ImageError, Pixels, require_pixels

_JPEG_OPTIONS = {"quality": 95, "subsampling": 0}
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("PNG", {}),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"lossless": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
    ".ppm": ("PPM", {}),
    ".jpg": ("JPEG", _JPEG_OPTIONS),
    ".jpeg": ("JPEG", _JPEG_OPTIONS),
}


def check_writable(path: str | Path) -> None:
    """Check that write_image can write a file, before any work is done for it; leaves nothing behind.

    Raises:
        ImageError: unknown suffix, no such folder, a folder or a device in its place, or no permission.
    """
    _format(path)
    with _beside(path) as (part, _):
        part.touch()  # nothing else tells for sure


def write_image(path: str | Path, pixels: Pixels) -> None:
    """Write an image file in the format that its suffix names. It appears complete or not at all.

    Args:
        path: the file; without a suffix it is PNG. All formats are lossless but JPEG (quality 95, 4:4:4).
        pixels: [H, W, 3] uint8, sRGB.

    Raises:
        ImageError: an array of another kind, what check_writable refuses, or the disk is full.
    """
    picture = _picture(pixels)
    name, options = _format(path)
    with _beside(path) as (part, target):
        picture.save(part, format=name, **options)
        part.replace(target)


def encode_png(pixels: Pixels) -> bytes:
    """Return [H, W, 3] uint8 pixels as the bytes of a PNG file.

    Raises:
        ImageError: an array of another kind.
    """
    buffer = io.BytesIO()
    _picture(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _picture(pixels: Pixels) -> Image.Image:
    require_pixels(pixels)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _format(path: str | Path) -> tuple[str, dict[str, Any]]:
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        known = " ".join(filter(None, _FORMATS))
        raise ImageError(f"image {path}: cannot be written as {suffix!r}; known suffixes: {known}")
    return _FORMATS[suffix]


@contextmanager
def _beside(path: str | Path) -> Iterator[tuple[Path, Path]]:
    """Yield a temporary file, removed at the end if it is still there, and the place beside it where it belongs.

    Raises:
        ImageError: there is no such place, or the disk refuses; names the path.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    part = target.with_name(f".{os.getpid()}-{threading.get_ident()}.part")  # fits where the longest name does
    try:
        _require_place(target)
        yield part, target
    except OSError as error:
        raise ImageError(f"image {path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _require_place(target: Path) -> None:
    if not target.parent.is_dir():
        raise OSError(f"there is no folder {target.parent}; create it first")
    if target.is_dir():
        raise OSError("it is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise OSError("it is no regular file; name another")
    if target.exists() and not os.access(target, os.W_OK):
        raise OSError("Permission denied")
