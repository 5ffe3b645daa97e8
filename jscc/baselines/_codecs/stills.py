"""Codecs of still images, by Pillow.

The options are fixed, so that a file is the same on every machine with the same libraries: AVIF's encoder would else
divide the image, and choose another file, by the number of processor cores.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, features

from jscc.images import ImageError, Pixels, read_image


@dataclass(frozen=True)
class Still:
    """A codec of Pillow and how it is used.

    Attributes:
        file_format: Pillow's name of the file format.
        feature: Pillow's name of the library behind it, which a build of Pillow may lack.
        qualities: every quality that can be asked for, worst first.
        settings: what is passed to Pillow beside the quality, for each way of making a file.
    """

    file_format: str
    feature: str
    qualities: range
    settings: tuple[Mapping[str, Any], ...]

    @property
    def ways(self) -> range:
        """One for each of the settings."""
        return range(len(self.settings))

    def lack(self) -> str:
        """Say whether this build of Pillow lacks the format."""
        return "" if features.check(self.feature) else f"this build of Pillow has no {self.file_format}"

    def encode(self, pixels: Pixels, quality: int, way: int) -> bytes:
        """Return the file of an image [H, W, 3] uint8."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=self.file_format, quality=quality, **self.settings[way])
        return buffer.getvalue()

    def decode(self, file: bytes, height_px: int, width_px: int) -> Pixels:
        """Return the image of a file, [H, W, 3] uint8.

        Raises:
            ImageError: a damaged or truncated file, or one of another size.
        """
        pixels = read_image(file)
        if pixels.shape[:2] != (height_px, width_px):
            found = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise ImageError(f"image: the file holds {found} px, expected {width_px}x{height_px} px")
        return pixels
