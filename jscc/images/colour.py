"""Colour spaces of photographs: whatever profile a file has, its pixels come out as sRGB."""

import io

import numpy as np
from PIL import Image, ImageCms

_STEPS = 9
_MOST_LEVELS = 1
_SAMPLES = {
    "L": np.arange(256, dtype=np.uint8)[None, :],
    "RGB": np.stack(np.meshgrid(*[np.linspace(0, 255, _STEPS)] * 3), axis=-1).reshape(1, -1, 3).astype(np.uint8),
}
"""Colours that tell whether a profile is sRGB: every grey, and a lattice of 9x9x9."""


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture of mode L, RGB, CMYK or LAB as RGB in sRGB.

    Converted with relative colorimetric intent and black point compensation. A profile that moves no colour by more
    than one level of 255 is sRGB, whatever its name is, and changes nothing. A profile that is broken, or is not for
    this mode, is ignored.

    Args:
        picture: without alpha.
        profile: the ICC profile that the file has.
    """
    transform = _transform(picture.mode, profile)
    if transform is None or _is_srgb(transform):
        return picture.convert("RGB")
    return transform.apply(picture)


def _transform(mode: str, profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    if profile is None:
        return None
    try:
        # The table that stands for a curve of grey would be up to seven levels wrong in the shadows.
        exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        return ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | exact,
        )
    except Exception:  # a damaged profile raises anything, and must not cost the user a good photograph
        return None


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    if transform.input_mode not in _SAMPLES:
        return False
    samples = Image.fromarray(_SAMPLES[transform.input_mode])
    before, after = (np.asarray(picture, np.int16) for picture in (samples.convert("RGB"), transform.apply(samples)))
    return bool(np.abs(after - before).max() <= _MOST_LEVELS)
