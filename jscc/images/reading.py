"""Files of many kinds as pixels.

Whatever a photograph is, it comes out as 8-bit RGB: grey, palette, 16 bits, CMYK, transparent, rotated by its EXIF
data, animated, in AdobeRGB. Only photographic formats are tried: a file that would start another program (PostScript)
or holds pictures of other sizes than it says (icons) is not an image here.
"""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from jscc.images.colour import to_srgb
from jscc.images.pixels import ImageError, ImageTooLargeError, Pixels
from jscc.limits import MAX_SIDE_PX

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PNG": (".png",),
        "JPEG": (".jpg", ".jpeg", ".jfif"),
        "WEBP": (".webp",),
        "AVIF": (".avif",),
        "TIFF": (".tif", ".tiff"),
        "GIF": (".gif",),
        "BMP": (".bmp",),
        "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
        "JPEG2000": (".jp2", ".j2k"),
        "PCX": (".pcx",),
        "TGA": (".tga",),  # last: it has no signature
    }
)
"""The formats that are read, in the order in which they are tried, and the suffixes of their files in lower case."""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""Suffixes, in lower case, of the files that a folder of images is searched for."""

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
_GREY_BITS = 16
_SIGNED = 2
_WHITE_IS_ZERO = 0

_process_settings = threading.Lock()
"""Warning filters and Pillow's limits belong to the whole process: one thread at a time may change and restore them."""


def read_image(source: str | Path | bytes) -> Pixels:
    """Read an image file as 8-bit RGB.

    Colours are converted to sRGB by the file's ICC profile, transparent pixels are composited over white, the EXIF
    orientation is applied and an animation gives its first frame. Samples of 16 bits are scaled to 8: white is the
    largest that the file's bits per sample can hold, and 1 for floats; samples of 32 bits have no known white. The size
    is checked before any pixel is decoded. May be called from several threads, which then take turns.

    Args:
        source: path of a regular file, or the bytes of one.

    Returns:
        [H, W, 3] uint8, H and W in 1..MAX_SIDE_PX, an array of its own.

    Raises:
        ImageTooLargeError: a side is above MAX_SIDE_PX.
        ImageError: no such file, a pipe or a device, not an image, damaged or truncated, 32-bit integers.
    """
    with _pillow_settings():
        try:
            return _decode(source)
        except Exception as error:  # on damaged files decoders raise anything, even SyntaxError
            label = "image" if isinstance(source, bytes) else f"image {source}"
            too_large = isinstance(error, ImageTooLargeError | Image.DecompressionBombError)
            raise (ImageTooLargeError if too_large else ImageError)(f"{label}: {_reason(error)}") from error


@contextmanager
def _pillow_settings() -> Iterator[None]:
    """Silence warnings and lift the limit on a text in a PNG to that on all its texts, 64 MiB."""
    with _process_settings, warnings.catch_warnings():
        # Pillow warns of odd metadata, which do no harm, and of large images, which are an ImageError here.
        warnings.simplefilter("ignore")
        usual = PngImagePlugin.MAX_TEXT_CHUNK
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
        try:
            yield
        finally:
            PngImagePlugin.MAX_TEXT_CHUNK = usual


def _open(source: str | Path | bytes) -> BinaryIO:
    # Opened here and not by Pillow, which leaves the file open when it refuses a large image.
    if isinstance(source, bytes):
        return io.BytesIO(source)
    mode = os.stat(source).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder is refused when it is opened
        raise ImageError("a pipe or a device, not a regular file; save the image to a file first")
    return open(source, "rb")


def _decode(source: str | Path | bytes) -> Pixels:
    with closing(_open(source)) as file, Image.open(file, formats=tuple(FORMATS)) as picture:
        width_px, height_px = picture.size
        if max(picture.size) > MAX_SIDE_PX:
            raise ImageTooLargeError(f"{width_px}x{height_px} px is larger than {MAX_SIDE_PX} px on a side")
        picture.load()
        rgb = to_srgb(_colours(picture), picture.info.get("icc_profile"))
        turn = _TURNS.get(_orientation(picture))
        rgb = _over_white(rgb, picture)
        return np.array(rgb if turn is None else rgb.transpose(turn))


def _colours(picture: Image.Image) -> Image.Image:
    """Return a picture without its alpha in a mode that colour profiles know, 8 bits per sample."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return Image.fromarray(_scale_grey(np.asarray(picture), *_grey_scale(picture)))
    if picture.mode in ("L", "RGB", "CMYK", "LAB"):
        return picture
    return picture.convert("L" if picture.mode in ("1", "LA") else "RGB")


def _grey_scale(picture: Image.Image) -> tuple[int, bool]:
    """Return the sample that is the brightest of a grey picture of more than 8 bits, and whether 0 is white.

    Pillow scales to 16 bits whatever a file has, but not the samples of TIFF.
    """
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    negative = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    if picture.mode == "F":
        return 1, negative
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (_GREY_BITS,))[0]
    if bits > _GREY_BITS:
        raise ImageError(f"{bits}-bit integers have no known white; save it with 8 or 16 bits per sample")
    is_signed = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] == _SIGNED
    return 2 ** (bits - is_signed) - 1, negative


def _scale_grey(samples: npt.NDArray[Any], largest: int, negative: bool) -> Pixels:
    """Scale [H, W] samples in 0..largest to 0..255, and swap black and white for a negative."""
    low, high = float(samples.min()), float(samples.max())
    if not (low >= 0 and high <= largest):
        raise ImageError(f"grey samples in {low:g}..{high:g} are outside of 0..{largest}")
    grey: Pixels = np.rint(samples * (255.0 / largest)).astype(np.uint8)
    return 255 - grey if negative else grey


def _over_white(rgb: Image.Image, picture: Image.Image) -> Image.Image:
    """Composite colours over white by the transparency of the picture that they are from."""
    if not picture.has_transparency_data or picture.mode.startswith("I"):
        return rgb
    rgb.putalpha(picture.convert("RGBA").getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")


def _orientation(picture: Image.Image) -> Any:
    """Return the EXIF orientation, 1 where there is none.

    Not with ImageOps.exif_transpose: it writes the whole EXIF block anew and fails if any of it is odd.
    """
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged block raises anything, and must not cost the user a good photograph
        return 1


def _reason(error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"larger than {MAX_SIDE_PX} px on a side ({error})"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a known format ({', '.join(FORMATS)})"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    if "MAX_TEXT" in str(error):
        return f"more than {PngImagePlugin.MAX_TEXT_MEMORY >> 20} MiB of text in it; save it without"
    return f"damaged or truncated ({error})"
