"""Differentiable MS-SSIM and LPIPS, in float32; their packages are imported only when a recipe uses them."""

import importlib.util
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jscc.data import lpips_backbone
from jscc.quality import scores
from trainer.settings import LossSettings

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales. Source: Z. Wang et al., "Multiscale structural similarity ...", 2003."""

_WINDOW_PX = 11
_WINDOW_SIGMA_PX = 1.5
_STABILITY = (0.01, 0.03)
_SIMILARITY_FLOOR = 1e-4
"""Below it a scale has no gradient: that of x^0.0448 at 0 is infinite, and a network starts anywhere."""


def require(settings: LossSettings) -> None:
    """Check that the packages of the terms with a weight are there.

    Raises:
        ValueError: one is missing; names the key and the package.
    """
    wanted = (("ms_ssim_weight", "pytorch_msssim"), ("lpips_weight", "lpips"), ("lpips_weight", "torchvision"))
    for key, package in wanted:
        if getattr(settings, key) and not _is_installed(package):
            raise ValueError(f"loss: {key}: the package {package} is not installed")


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # something stands in sys.modules under this name, but no module
        return False


def require_side(settings: LossSettings, crop_px: int) -> None:
    """Check that the terms are defined for crops of this side.

    Raises:
        ValueError: the crops are too small; names the key and the least side.
    """
    least_px = {"ms_ssim_weight": scores.SSIM_MIN_SIDE_PX, "lpips_weight": scores.LPIPS_MIN_SIDE_PX}
    for key, side_px in least_px.items():
        if getattr(settings, key) and crop_px < side_px:
            raise ValueError(f"loss: {key}: needs crops of at least {side_px} px, data.crop_px is {crop_px}")


def scales(side_px: int) -> int:
    """Return how many of the five scales of MS-SSIM images of this smaller side have: 5 from 161 px, 4 from 81 px.

    The bound of pytorch-msssim for five scales, halved for each scale less: 3 from 41 px, 2 from 21 px, 1 from 11 px.
    """
    fitting = [n for n in range(1, len(SCALE_WEIGHTS) + 1) if side_px > (_WINDOW_PX - 1) * 2 ** (n - 1)]
    return len(fitting)


def ms_ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the MS-SSIM [B] of images float32 [B, 3, H, W] in [0, 1], with as many scales as fit.

    With less than five scales the exponents of those that are left are scaled to sum 1. pytorch-msssim's own function
    refuses images below 161 px, so only its filters are used; with five scales the values are the same.

    Raises:
        ValueError: a side is below 11 px.
    """
    ssim = importlib.import_module("pytorch_msssim.ssim")
    count = scales(min(x.shape[-2:]))
    if not count:
        raise ValueError(f"ms_ssim: images must have sides of at least {_WINDOW_PX} px, got {list(x.shape[-2:])}")
    window = ssim._fspecial_gauss_1d(_WINDOW_PX, _WINDOW_SIGMA_PX).repeat(x.shape[1], 1, 1, 1).to(x.device)
    weights = SCALE_WEIGHTS[:count]
    total = sum(weights) if count < len(SCALE_WEIGHTS) else 1.0  # the published five are meant to sum to 1
    product = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(weights, start=1):
        similarity, structure = ssim._ssim(x_hat, x, data_range=1.0, win=window, size_average=False, K=_STABILITY)
        chosen: Tensor = similarity if scale == count else structure
        product = product * chosen.clamp_min(_SIMILARITY_FLOOR) ** (weight / total)
        if scale < count:
            padding = [side_px % 2 for side_px in x.shape[2:]]
            x_hat, x = (F.avg_pool2d(image, kernel_size=2, padding=padding) for image in (x_hat, x))
    return product.mean(dim=1)


def lpips(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Load LPIPS (AlexNet, v0.1) as a function of (x_hat, x), float32 [B, 3, H, W] in [0, 1], to distances [B].

    Raises:
        ValueError: its weights are neither there nor can they be downloaded.
    """
    try:
        backbone = lpips_backbone()
    except ModuleNotFoundError as error:
        raise ValueError(
            f"loss: lpips_weight: AlexNet's weights are not there, and {error.name} to download them"
        ) from error
    if backbone.path is None:
        raise ValueError(f"loss: lpips_weight: {backbone.note}")
    network: nn.Module = scores.Lpips(backbone.path).network  # the call itself takes 8-bit pixels, without a gradient
    network.requires_grad_(False).eval().to(device)

    def distance(x_hat: Tensor, x: Tensor) -> Tensor:
        values: Tensor = network(x_hat, x, normalize=True)
        return values.flatten()

    return distance
