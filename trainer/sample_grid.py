"""A picture of what a link does to a few photos: the original beside what is received at some SNRs."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from jscc.images import Pixels

PHOTOS = 4
SNRS_DB = (-5.0, 5.0, 15.0)

_GAP_PX = 4
_CAPTION_PX = 14
_WHITE = 255


def grid(originals: Sequence[Pixels], received: Mapping[float, Sequence[Pixels]]) -> Pixels:
    """Lay photos out in rows, and in columns with captions: the original, then one for each SNR.

    Args:
        originals: [H, W, 3] uint8 each, of any sizes, at least one.
        received: the same photos for each SNR in dB.

    Returns:
        [H, W, 3] uint8 on white.
    """
    columns = {"original": originals} | {f"{snr_db:g} dB": photos for snr_db, photos in received.items()}
    height_px, width_px = (max(photo.shape[axis] for photo in originals) + _GAP_PX for axis in (0, 1))
    size = (width_px * len(columns) + _GAP_PX, _CAPTION_PX + height_px * len(originals) + _GAP_PX)
    canvas = Image.new("RGB", size, (_WHITE, _WHITE, _WHITE))
    draw = ImageDraw.Draw(canvas)
    for column, (caption, photos) in enumerate(columns.items()):
        left = _GAP_PX + column * width_px
        draw.text((left, 1), caption, fill=(0, 0, 0))
        for row, photo in enumerate(photos):
            canvas.paste(Image.fromarray(photo), (left, _CAPTION_PX + _GAP_PX + row * height_px))
    return np.array(canvas)
