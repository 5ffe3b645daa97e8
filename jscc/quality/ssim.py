"""SSIM and MS-SSIM of float32 images, with a gradient: one code for scores and losses.

The choices that the papers leave open are those of the package pytorch-msssim, whose values the field reports: the
window only where it fits, MS-SSIM per channel, an odd side padded with black on both ends before it is halved.
"""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales. Source: Z. Wang et al., "Multiscale structural similarity ...", 2003."""

_WINDOW_PX = 11
_WINDOW_SIGMA_PX = 1.5
_STRIP_PX = 128
"""Rows of a strip, whose maps stay in the cache; those of a whole 768x512 px image take twice as long."""
_C1, _C2 = 0.01**2, 0.03**2
"""(K L)^2 of the luminances and of the variances, for samples of the range L = 1."""


def min_side_px(scale_count: int) -> int:
    """Return the least side in px of images with so many scales: 11 for one, 161 for all five.

    The bound that pytorch-msssim checks for five, halved for each scale less.
    """
    return int((_WINDOW_PX - 1) * 2 ** (scale_count - 1) + 1)


MIN_SIDE_PX = min_side_px(1)
"""The window has to fit once."""
FIVE_SCALES_MIN_SIDE_PX = min_side_px(len(SCALE_WEIGHTS))
"""The window has to fit once after four halvings."""


def scales(side_px: int) -> int:
    """Return how many of the five scales images of this smaller side have: 5 from 161 px, 4 from 81, 0 below 11."""
    return sum(side_px >= min_side_px(count) for count in range(1, len(SCALE_WEIGHTS) + 1))


def ssim_and_ms_ssim(x_hat: Tensor, x: Tensor, floor: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return SSIM and MS-SSIM, which share the first scale.

    Args:
        x_hat: float32 [B, C, H, W] in [0, 1].
        x: another of the same shape.
        floor: the least similarity of a scale that MS-SSIM counts with. The gradient of s^0.0448 at 0 is infinite, so
            a loss needs a floor above 0.

    Returns:
        SSIM [B], -1..1, and MS-SSIM [B], 0..1, both means over the channels, 1 for equal images. MS-SSIM has as many
        scales as fit; with less than five the exponents of those that are left are scaled to sum 1.

    Raises:
        ValueError: a side is below 11 px.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, eq. 13;
    "Multiscale structural similarity for image quality assessment", 2003, eq. 7.
    """
    count = scales(min(x.shape[-2:]))
    if not count:
        raise ValueError(f"ssim: images must have sides of at least {MIN_SIDE_PX} px, got {list(x.shape[-2:])}")
    found = [_one_scale(x_hat, x)]
    for _ in range(count - 1):
        x_hat, x = _halved(x_hat), _halved(x)
        found.append(_one_scale(x_hat, x))
    counted = [structure for _, structure in found[:-1]] + [found[-1][0]]
    powers = [value.clamp_min(floor) ** weight for value, weight in zip(counted, _exponents(count), strict=True)]
    return found[0][0].mean(dim=1), reduce(torch.mul, powers).mean(dim=1)


def _exponents(count: int) -> tuple[float, ...]:
    kept = SCALE_WEIGHTS[:count]
    total = sum(kept) if count < len(SCALE_WEIGHTS) else 1.0  # the published five are meant to sum to 1
    return tuple(weight / total for weight in kept)


def _halved(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, kernel_size=2, padding=[side_px % 2 for side_px in image.shape[-2:]])


def _one_scale(x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean similarity [B, C], and that without the luminance: contrast times structure."""
    fitting = [side_px - _WINDOW_PX + 1 for side_px in x.shape[-2:]]
    starts = range(0, fitting[0], _STRIP_PX)
    rows = [slice(start, start + _STRIP_PX + _WINDOW_PX - 1) for start in starts]
    strips = [_sums(x_hat[..., strip, :], x[..., strip, :]) for strip in rows]
    similarity, structure = (reduce(torch.add, sums) / (fitting[0] * fitting[1]) for sums in zip(*strips, strict=True))
    return similarity, structure


def _sums(x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the similarity and its structure summed over the places of the window, both [B, C]."""
    # Five maps, although the sum of the variances would do with four: in float32 that sum rounds otherwise, and the
    # values of images with white areas would leave those of pytorch-msssim by 2e-5.
    filtered = _filtered(torch.cat([x_hat, x, x_hat * x_hat, x * x, x_hat * x], dim=1))
    mean_x_hat, mean_x, *mean_squares, mean_product = filtered.chunk(5, dim=1)
    square_x_hat, square_x, product = mean_x_hat * mean_x_hat, mean_x * mean_x, mean_x_hat * mean_x
    variances = (mean_squares[0] - square_x_hat) + (mean_squares[1] - square_x)
    structure = (2 * (mean_product - product) + _C2) / (variances + _C2)
    similarity = (2 * product + _C1) / (square_x_hat + square_x + _C1) * structure
    return similarity.sum(dim=(2, 3)), structure.sum(dim=(2, 3))


def _filtered(maps: Tensor) -> Tensor:
    """Return the means [B, M, H - 10, W - 10] of maps [B, M, H, W] under the Gaussian window."""
    offset_px = torch.arange(_WINDOW_PX, dtype=maps.dtype, device=maps.device) - _WINDOW_PX // 2
    window = torch.exp(-offset_px.square() / (2 * _WINDOW_SIGMA_PX**2))
    rows = (window / window.sum()).expand(maps.shape[1], 1, 1, _WINDOW_PX)
    # In the plain layout, since cuDNN may filter channels last in TF32: too coarse, a variance is a small difference.
    columns_done = F.conv2d(maps.contiguous(), rows.transpose(2, 3), groups=maps.shape[1])
    return F.conv2d(columns_done, rows, groups=maps.shape[1])
