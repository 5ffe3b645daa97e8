"""Image quality of 8-bit RGB pairs, [H, W, 3] uint8: PSNR, SSIM, MS-SSIM and LPIPS.

SSIM, MS-SSIM and LPIPS are computed in float32. A metric that is not defined for an image so small is None.
Report the mean over images of the metric per image. Equal inputs give equal values as long as torch's number of
threads stays the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jscc.quality import lpips as perceptual
from jscc.quality import ssim as structural
from jscc.quality.lpips import Lpips
from jscc.quality.originals import Originals

Pixels = npt.NDArray[np.uint8]

MAX_PSNR_DB = 100.0
"""PSNR of identical images, and the most that any pair has: so a perfect image leaves a mean finite."""

MIN_SIDE_PX = {
    "psnr_db": 1,
    "ssim": structural.MIN_SIDE_PX,
    "ms_ssim": structural.FIVE_SCALES_MIN_SIDE_PX,
    "lpips": perceptual.MIN_SIDE_PX,
}
"""The least side in px of the images that a metric is defined for, by the names of Scores."""


@dataclass(frozen=True)
class Scores:
    """The quality of one received image; None where a metric is not defined or not available.

    Attributes:
        psnr_db: peak signal-to-noise ratio in dB over all RGB samples, at most 100 dB, as of identical images.
        ssim: structural similarity, mean over RGB, -1..1, 1 for identical images.
        ms_ssim: multi-scale structural similarity of 5 scales, mean over RGB, 0..1, 1 for identical images.
        lpips: learned perceptual distance, from 0 for identical images; lower is better.
    """

    psnr_db: float
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None


def psnr_db(reference: Pixels, received: Pixels) -> float:
    """Return the PSNR in dB of [H, W, 3] uint8 images, at most MAX_PSNR_DB, as of identical ones.

    The squared error is summed in whole numbers, so the value has no rounding error of its own.

    Raises:
        ValueError: the images are not uint8 [H, W, 3] of one size.
    """
    _check_pair(reference, received)
    difference = reference.astype(np.int32) - received
    squared_error = int(np.sum(difference * difference, dtype=np.int64))
    if squared_error == 0:
        return MAX_PSNR_DB
    return min(MAX_PSNR_DB, float(10.0 * np.log10(255.0**2 * difference.size / squared_error)))


class Scorer:
    """Scores received images, from several threads; of the last originals, what LPIPS finds in them is kept."""

    def __init__(self, lpips: Lpips | None) -> None:
        """Score with LPIPS when given; that metric stays empty otherwise."""
        self._originals = None if lpips is None else Originals(lpips)

    def score(self, reference: Pixels, received: Pixels) -> Scores:
        """Score one received image, [H, W, 3] uint8, with every metric.

        Raises:
            ValueError: the images are not uint8 [H, W, 3] of one size.
        """
        found, side_px = {"psnr_db": psnr_db(reference, received)}, min(reference.shape[:2])
        x_hat, x = _to_tensor(received), _to_tensor(reference)
        with torch.inference_mode():
            if side_px >= MIN_SIDE_PX["ssim"]:
                found["ssim"], found["ms_ssim"] = map(float, structural.ssim_and_ms_ssim(x_hat, x))
            if side_px >= MIN_SIDE_PX["lpips"] and self._originals is not None:
                found["lpips"] = float(self._originals.distance(x_hat, x, reference))
        if side_px < MIN_SIDE_PX["ms_ssim"]:
            found.pop("ms_ssim", None)  # of fewer scales: not to be compared with that of five
        return Scores(found["psnr_db"], found.get("ssim"), found.get("ms_ssim"), found.get("lpips"))


def why_missing(metric: str, height_px: int, width_px: int) -> str:
    """Return in words why a score left a metric out of an image of this size.

    Args:
        metric: a name of Scores.
        height_px: of the image.
        width_px: of the image.
    """
    least_px, side_px = MIN_SIDE_PX[metric], min(height_px, width_px)
    if side_px < least_px:
        return f"needs sides of at least {least_px} px, the image is {width_px}x{height_px} px"
    return "AlexNet's weights are missing" if metric == "lpips" else "was not measured"


def _check_pair(reference: Pixels, received: Pixels) -> None:
    for name, image in (("reference", reference), ("received", received)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"{name}: must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    if reference.shape != received.shape:
        raise ValueError(f"received: {list(received.shape)} is not the reference's {list(reference.shape)}")


def _to_tensor(image: Pixels) -> Tensor:
    """Return float32 [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) / 255)[None]
