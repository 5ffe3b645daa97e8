"""Image codecs of the digital baselines: JPEG, WebP and AVIF at a chosen quality, by Pillow.

Files are counted as they are, headers included. All three keep the colour subsampling that they are known for
(4:2:0). The options are fixed, so that a file is the same on every machine with the same libraries: AVIF's encoder
would else divide the image, and choose another file, by the number of processor cores.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from PIL import Image, features

from jscc.images import Pixels, read_image


@dataclass(frozen=True)
class Codec:
    """A codec of Pillow and how it is used.

    Attributes:
        file_format: Pillow's name of the file format.
        feature: Pillow's name of the library behind it, which a build of Pillow may lack.
        qualities: every quality that can be asked for, worst first.
        options: what is passed to Pillow beside the quality.
    """

    file_format: str
    feature: str
    qualities: range
    options: Mapping[str, Any]


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "jpeg": Codec("JPEG", "jpg", range(1, 101), {"optimize": True, "subsampling": "4:2:0"}),
        "webp": Codec("WEBP", "webp", range(101), {"method": 6}),
        "avif": Codec(
            "AVIF", "avif", range(101), {"speed": 6, "subsampling": "4:2:0", "max_threads": 1, "autotiling": False}
        ),
    }
)
"""The codecs by name. JPEG has no quality 0; AVIF has 64 different files, so that neighbours may be equal."""


def qualities(codec: str) -> range:
    """Return every quality of a codec, worst first, in steps of 1.

    Raises:
        ValueError: an unknown codec.
        RuntimeError: this build of Pillow lacks the codec.
    """
    return _find(codec).qualities


def encode(pixels: Pixels, codec: str, quality: int) -> bytes:
    """Return the file of an image.

    Args:
        pixels: [H, W, 3] uint8.
        codec: a name of CODECS.
        quality: one of the codec's qualities, higher is better.

    Raises:
        ValueError: an unknown codec, a quality outside of its range, or an array of another kind; names the field.
        RuntimeError: this build of Pillow lacks the codec.
    """
    chosen = _find(codec)
    if quality not in chosen.qualities:
        bounds = f"{chosen.qualities[0]}..{chosen.qualities[-1]}"
        raise ValueError(f"quality: {quality} is outside of {bounds} for {codec}")
    if pixels.dtype != "uint8" or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels: must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=chosen.file_format, quality=quality, **chosen.options)
    return buffer.getvalue()


def decode(file: bytes) -> Pixels:
    """Return the image of a file that encode made, [H, W, 3] uint8.

    Raises:
        ImageError: a damaged or truncated file.
    """
    return read_image(file)


def _find(codec: str) -> Codec:
    if codec not in CODECS:
        raise ValueError(f"codec: unknown codec {codec!r}; known: {', '.join(CODECS)}")
    chosen = CODECS[codec]
    if not features.check(chosen.feature):
        raise RuntimeError(f"codec {codec}: this build of Pillow has no {chosen.file_format}")
    return chosen
