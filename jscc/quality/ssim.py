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
_REACH_PX = _WINDOW_PX - 1
_BLOCK_PX = 24
"""Rows of a strip and columns of a block: what is made of a strip stays in the cache, and the matrices of the window
are small enough that their zeros cost less than their speed brings."""
_C1, _C2 = 0.01**2, 0.03**2
"""(K L)^2 of the luminances and of the variances, for samples of the range L = 1."""


def min_side_px(scale_count: int) -> int:
    """Return the least side in px of images with so many scales: 11 for one, 161 for all five.

    The bound that pytorch-msssim checks for five, halved for each scale less.
    """
    return int(_REACH_PX * 2 ** (scale_count - 1) + 1)


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
    planes, found = _sum_and_difference(x_hat, x), []
    for scale in range(count):
        planes = _halved(planes) if scale else planes
        found.append(_one_scale(planes, has_luminance=scale in (0, count - 1)))
    counted = [structure for _, structure in found[:-1]] + [found[-1][0]]
    powers = [value.clamp_min(floor) ** weight for value, weight in zip(counted, _exponents(count), strict=True)]
    return found[0][0].mean(dim=1), reduce(torch.mul, powers).mean(dim=1)


def _exponents(count: int) -> tuple[float, ...]:
    kept = SCALE_WEIGHTS[:count]
    total = sum(kept) if count < len(SCALE_WEIGHTS) else 1.0  # the published five are meant to sum to 1
    return tuple(weight / total for weight in kept)


def _sum_and_difference(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return x_hat + x and x_hat - x as planes [H, 2, B, C, W], a row of all of which lies in one piece.

    Of both, the window needs means and squares alone, no product: four maps in place of five.
    """
    rows = x_hat.permute(2, 0, 1, 3), x.permute(2, 0, 1, 3)
    return torch.stack([rows[0] + rows[1], rows[0] - rows[1]], dim=1)


def _halved(planes: Tensor) -> Tensor:
    """Return means of 2x2 px; of an odd side a line of black comes before the first."""
    odd_rows, odd_columns = planes.shape[0] % 2, planes.shape[-1] % 2
    if odd_rows or odd_columns:
        planes = F.pad(planes, (odd_columns, 0, 0, 0, 0, 0, 0, 0, odd_rows, 0))
    height_px, width_px = planes.shape[0] // 2 * 2, planes.shape[-1] // 2 * 2
    rows = planes[0:height_px:2] + planes[1:height_px:2]
    return (rows[..., 0:width_px:2] + rows[..., 1:width_px:2]) / 4


def _one_scale(planes: Tensor, has_luminance: bool) -> tuple[Tensor, Tensor]:
    """Return the mean similarity [B, C], and that without the luminance: contrast times structure.

    Both are 1 - 2 loss. The losses are summed: they are small where images are alike, so next to nothing is rounded.
    Without has_luminance the first is the second.
    """
    fitting = planes.shape[0] - _REACH_PX, planes.shape[-1] - _REACH_PX
    window = _windows(planes)
    starts = range(0, fitting[0], _BLOCK_PX)
    strips = [_losses(planes[start : start + _BLOCK_PX + _REACH_PX], window, has_luminance) for start in starts]
    losses = reduce(torch.add, strips)  # [2, blocks, B C, columns]
    columns = losses.movedim(1, 2).flatten(2)[..., : fitting[1]]  # those behind the last window saw black
    values = 1 - 2 * columns.sum(dim=2) / (fitting[0] * fitting[1])
    similarity, structure = values.view(2, *planes.shape[2:4])
    return similarity, structure


def _losses(rows: Tensor, window: Tensor, has_luminance: bool) -> Tensor:
    """Return of rows [h + 10, 2, B, C, W] the losses of similarity and structure [2, blocks, B C, columns], summed."""
    means = _filtered(rows, window)
    squares = means * means
    variances = _filtered(rows * rows, window) - squares
    structure = variances[:, :, 1] / (variances[:, :, 0] + variances[:, :, 1]).add_(2 * _C2)
    of_structure = structure.sum(dim=1)
    if not has_luminance:
        return torch.stack([of_structure, of_structure])
    luminance = squares[:, :, 1] / (squares[:, :, 0] + squares[:, :, 1]).add_(2 * _C1)
    # (1 - 2 a)(1 - 2 b) = 1 - 2 (a + b - 2 a b)
    return torch.stack(
        [of_structure + torch.addcmul(luminance, luminance, structure, value=-2).sum(dim=1), of_structure]
    )


def _windows(like: Tensor) -> Tensor:
    """Return the Gaussian window at so many places, one below the other: a matrix [block, block + 10]."""
    offset_px = torch.arange(_WINDOW_PX, dtype=like.dtype, device=like.device) - _WINDOW_PX // 2
    window = torch.exp(-offset_px.square() / (2 * _WINDOW_SIGMA_PX**2))
    placed = F.pad(window / window.sum(), (0, _BLOCK_PX)).repeat(_BLOCK_PX)[:-_BLOCK_PX]
    return placed.view(_BLOCK_PX, _BLOCK_PX + _REACH_PX)


def _filtered(rows: Tensor, window: Tensor) -> Tensor:
    """Return the means [blocks, h, 2, B C, columns] of rows [h + 10, 2, B, C, W] under the window.

    Products with a banded matrix: a depthwise convolution takes three times as long, and cuDNN may round it to TF32,
    too coarse, as a variance is a small difference.
    """
    height_px, width_px = len(rows) - _REACH_PX, rows.shape[-1]
    down = window[:height_px, : len(rows)] @ rows.flatten(1)
    blocks = -(-(width_px - _REACH_PX) // _BLOCK_PX)
    whole = F.pad(down.view(-1, width_px), (0, blocks * _BLOCK_PX + _REACH_PX - width_px))
    pieces = whole.unfold(1, _BLOCK_PX + _REACH_PX, _BLOCK_PX).transpose(0, 1)
    return torch.bmm(pieces, window.T.expand(blocks, -1, -1)).view(blocks, height_px, 2, -1, _BLOCK_PX)
