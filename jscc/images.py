"""Image files and 8-bit RGB pixels, [H, W, 3] uint8 arrays.

A reader meets whatever a user's photograph may be: grey, palette, 16 bits, CMYK, transparent, rotated by its
EXIF data, animated. Colour profiles are not applied. Only photographic formats are tried: a file that would
start another program (PostScript) is not an image here.
"""

import io
import threading
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from jscc.limits import MAX_SIDE_PX

Pixels = npt.NDArray[np.uint8]

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".gif", ".bmp", ".ppm", ".pgm", ".jp2")
)
"""Suffixes, in lower case, of the files that a folder of images is searched for."""

_READ_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM", "JPEG2000")
_WHITE_LEVEL = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
"""Modes that hold one grey sample of more than 8 bits, and the sample that is white."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a photograph of each EXIF orientation upright (EXIF 2.3, table 6)."""
_JPEG_OPTIONS = {"quality": 95, "subsampling": 0}
_WRITE_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
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

_warning_filters = threading.Lock()
"""Python's warning filters belong to the whole process: one thread at a time may change them and put them back."""


class ImageError(ValueError):
    """An image that cannot be read or written; the text names it and says why."""


class ImageTooLargeError(ImageError):
    """An image with a side above MAX_SIDE_PX."""


def read_image(source: str | Path | bytes) -> Pixels:
    """Read an image file as 8-bit RGB.

    Transparent pixels are composited over white, samples of 16 bits are scaled to 8, the EXIF orientation is
    applied and an animation gives its first frame. The size is checked before any pixel is decoded. May be called
    from several threads, which then take turns.

    Args:
        source: path of a file, or the bytes of one.

    Returns:
        [H, W, 3] uint8, H and W in 1..MAX_SIDE_PX, an array of its own.

    Raises:
        ImageTooLargeError: a side is above MAX_SIDE_PX.
        ImageError: no such file, not an image, damaged or truncated.
    """
    with _warning_filters, warnings.catch_warnings():
        # Pillow warns of odd metadata, which do no harm, and of large images, which are an ImageError here.
        warnings.simplefilter("ignore")
        try:
            return _decode(source)
        except Exception as error:  # on damaged files decoders raise anything, even SyntaxError
            label = "image" if isinstance(source, bytes) else f"image {source}"
            too_large = isinstance(error, ImageTooLargeError | Image.DecompressionBombError)
            raise (ImageTooLargeError if too_large else ImageError)(f"{label}: {_reason(error)}") from error


def write_image(path: str | Path, pixels: Pixels) -> None:
    """Write an image file in the format that its suffix names.

    Args:
        path: the file; without a suffix it is PNG. All formats are lossless but JPEG (quality 95, 4:4:4).
        pixels: [H, W, 3] uint8.

    Raises:
        ImageError: unknown suffix or an array of another kind.
        OSError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITE_FORMATS:
        known = " ".join(filter(None, _WRITE_FORMATS))
        raise ImageError(f"image {path}: cannot be written as {suffix!r}; known suffixes: {known}")
    name, options = _WRITE_FORMATS[suffix]
    _picture(pixels).save(path, format=name, **options)


def encode_png(pixels: Pixels) -> bytes:
    """Return [H, W, 3] uint8 pixels as the bytes of a PNG file.

    Raises:
        ImageError: an array of another kind.
    """
    buffer = io.BytesIO()
    _picture(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _picture(pixels: Pixels) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"image: must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _open(source: str | Path | bytes) -> BinaryIO:
    # Opened here and not by Pillow, which leaves the file open when it refuses a large image.
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _decode(source: str | Path | bytes) -> Pixels:
    with closing(_open(source)) as file, Image.open(file, formats=_READ_FORMATS) as picture:
        width_px, height_px = picture.size
        if max(picture.size) > MAX_SIDE_PX:
            raise ImageTooLargeError(f"{width_px}x{height_px} px is larger than {MAX_SIDE_PX} px on a side")
        picture.load()
        return _to_rgb(_upright(picture))


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF orientation.

    Not with ImageOps.exif_transpose: it writes the whole EXIF block anew and fails if any of it is odd.
    """
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged block raises anything, and must not cost the user a good photograph
        return picture
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _to_rgb(picture: Image.Image) -> Pixels:
    if picture.mode in _WHITE_LEVEL:
        return _scale_grey(np.asarray(picture), _WHITE_LEVEL[picture.mode])
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def _scale_grey(samples: npt.NDArray[Any], white_level: int) -> Pixels:
    """Scale [H, W] samples in 0..white_level to [H, W, 3] in 0..255."""
    low, high = float(samples.min()), float(samples.max())
    if not (low >= 0 and high <= white_level):
        raise ImageError(f"grey samples in {low:g}..{high:g} are outside of 0..{white_level}")
    grey = np.rint(samples * (255.0 / white_level)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _reason(error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"larger than {MAX_SIDE_PX} px on a side ({error})"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a known format ({', '.join(_READ_FORMATS)})"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"damaged or truncated ({error})"
