"""MS-SSIM and LPIPS as terms of a loss, in float32."""

from collections.abc import Callable

import torch
from torch import Tensor

from jscc.data import lpips_backbone
from jscc.quality import scores, ssim
from jscc.quality.lpips import Lpips
from trainer.settings import LossSettings

_SIMILARITY_FLOOR = 1e-4
"""Below it a scale has no gradient: that of x^0.0448 at 0 is infinite, and a network starts anywhere."""


def require_side(settings: LossSettings, crop_px: int) -> None:
    """Check that the terms are defined for crops of this side.

    Raises:
        ValueError: the crops are too small; names the key and the least side.
    """
    least_px = {"ms_ssim_weight": scores.MIN_SIDE_PX["ssim"], "lpips_weight": scores.MIN_SIDE_PX["lpips"]}
    for key, side_px in least_px.items():
        if getattr(settings, key) and crop_px < side_px:
            raise ValueError(f"loss: {key}: needs crops of at least {side_px} px, data.crop_px is {crop_px}")


def ms_ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the MS-SSIM [B] of images float32 [B, 3, H, W] in [0, 1], with as many of the five scales as fit.

    Raises:
        ValueError: a side is below 11 px.
    """
    return ssim.ssim_and_ms_ssim(x_hat, x, floor=_SIMILARITY_FLOOR)[1]


def lpips(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Load LPIPS (AlexNet, v0.1) as a function of (x_hat, x), float32 [B, 3, H, W] in [0, 1], to distances [B].

    Raises:
        ValueError: its weights are damaged, or neither there nor can they be downloaded.
    """
    try:
        backbone = lpips_backbone()
    except ModuleNotFoundError as error:
        raise ValueError(
            f"loss: lpips_weight: AlexNet's weights are not there, and {error.name} to download them"
        ) from error
    if backbone.path is None:
        raise ValueError(f"loss: lpips_weight: {backbone.note}")
    return Lpips(backbone.path, device)
