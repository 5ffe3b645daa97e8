"""Image codecs of the digital baselines by name, at a chosen quality.

Files are counted as they are, headers included. A codec without a suffix is the strongest use of it that is known here:
the transmitter chooses the subsampling of the colours for each image, and the encoder is tuned for the squared error.
`hevc` (what BPG is made of) and `vvc` are pictures of these video codecs, and need the extra `codecs`. `_420` are the
settings of earlier figures, with the colours always at half the resolution, and of AVIF with the encoder's own tuning
for the eye. `_half` may halve the resolution of the whole image first, and says so in one byte.
"""

from collections.abc import Mapping
from types import MappingProxyType

from jscc.baselines._codecs.contract import Codec, CodecMissingError
from jscc.baselines._codecs.halved import Halved
from jscc.baselines._codecs.stills import Still
from jscc.baselines._codecs.video import HEVC, VVC
from jscc.images import Pixels

__all__ = ["CODECS", "CodecMissingError", "decode", "encode", "qualities", "ways"]

FULL, HALF = {"subsampling": "4:4:4"}, {"subsampling": "4:2:0"}
_JPEG_QUALITIES, _QUALITIES = range(1, 101), range(101)
_OPTIMIZED = {"optimize": True}
_ALIKE_ANYWHERE = {"speed": 6, "max_threads": 1, "autotiling": False}
_FOR_PSNR = _ALIKE_ANYWHERE | {"advanced": {"tune": "psnr"}}

_JPEG = Still("JPEG", "jpg", _JPEG_QUALITIES, (_OPTIMIZED | FULL, _OPTIMIZED | HALF))
_WEBP = Still("WEBP", "webp", _QUALITIES, ({"method": 6},))  # a lossy file is 4:2:0 by its format
_AVIF = Still("AVIF", "avif", _QUALITIES, (_FOR_PSNR | FULL, _FOR_PSNR | HALF))

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "avif": _AVIF,
        "jpeg": _JPEG,
        "webp": _WEBP,
        "hevc": HEVC,
        "vvc": VVC,
        "avif_half": Halved(_AVIF),
        "jpeg_half": Halved(_JPEG),
        "webp_half": Halved(_WEBP),
        "avif_420": Still("AVIF", "avif", _QUALITIES, (_ALIKE_ANYWHERE | HALF,)),
        "jpeg_420": Still("JPEG", "jpg", _JPEG_QUALITIES, (_OPTIMIZED | HALF,)),
    }
)
"""The codecs by name. JPEG has no quality 0; AVIF has 64 different files, so that neighbours may be equal."""


def qualities(codec: str) -> range:
    """Return every quality of a codec, worst first, in steps of 1.

    Raises:
        ValueError: an unknown codec.
        CodecMissingError: what it needs is not installed.
    """
    return _find(codec).qualities


def ways(codec: str) -> range:
    """Return every way that a codec has of making a file, from 0.

    Raises:
        ValueError: an unknown codec.
        CodecMissingError: what it needs is not installed.
    """
    return _find(codec).ways


def encode(pixels: Pixels, codec: str, quality: int, way: int = 0) -> bytes:
    """Return the file of an image.

    Args:
        pixels: [H, W, 3] uint8.
        codec: a name of CODECS.
        quality: one of the codec's qualities, higher is better.
        way: one of the codec's ways of making a file.

    Raises:
        ValueError: an unknown codec, a quality or way out of range, or an array of another kind; names the field.
        CodecMissingError: what it needs is not installed.
    """
    chosen = _find(codec)
    for name, value, choice in (("quality", quality, chosen.qualities), ("way", way, chosen.ways)):
        if value not in choice:
            raise ValueError(f"{name}: {value} is outside of {choice[0]}..{choice[-1]} for {codec}")
    if pixels.dtype != "uint8" or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels: must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
    return chosen.encode(pixels, quality, way)


def decode(file: bytes, codec: str, height_px: int, width_px: int) -> Pixels:
    """Return the image of a file that encode made, [H, W, 3] uint8.

    Args:
        file: of the codec.
        codec: a name of CODECS.
        height_px: of the image, known beforehand as on the link.
        width_px: likewise.

    Raises:
        ValueError: an unknown codec.
        CodecMissingError: what it needs is not installed.
        ImageError: a damaged or truncated file, or one of another size.
    """
    return _find(codec).decode(file, height_px, width_px)


def _find(codec: str) -> Codec:
    if codec not in CODECS:
        raise ValueError(f"codec: unknown codec {codec!r}; known: {', '.join(CODECS)}")
    chosen = CODECS[codec]
    if lack := chosen.lack():
        raise CodecMissingError(f"codec {codec}: {lack}")
    return chosen
