"""Image files and 8-bit RGB pixels in sRGB, [H, W, 3] uint8 arrays: the one reader and the one writer of files."""

from jscc.images.pixels import ImageError, ImageTooLargeError, Pixels, pixel_digest
from jscc.images.reading import FORMATS, SUFFIXES, read_image
from jscc.images.writing import check_writable, encode_png, write_image

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "ImageError",
    "ImageTooLargeError",
    "Pixels",
    "check_writable",
    "encode_png",
    "pixel_digest",
    "read_image",
    "write_image",
]
