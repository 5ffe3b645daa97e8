"""Image quality of 8-bit RGB pairs, [H, W, 3] uint8: PSNR, SSIM, MS-SSIM and LPIPS.

SSIM, MS-SSIM and LPIPS are computed in float32. A metric that is not defined for an image so small is None.
Report the mean over images of the metric per image. Equal inputs give equal values as long as torch's number of
threads stays the same.
"""

import contextlib
import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Pixels = npt.NDArray[np.uint8]

SSIM_MIN_SIDE_PX = 11
"""The Gaussian window of 11 px has to fit once."""
MS_SSIM_MIN_SIDE_PX = 161
"""The window has to fit once after four halvings, with the bound that pytorch-msssim checks."""
LPIPS_MIN_SIDE_PX = 31
"""AlexNet's second pooling needs three samples."""

_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@dataclass(frozen=True)
class Scores:
    """The quality of one received image; None where a metric is not defined or not available.

    Attributes:
        psnr_db: peak signal-to-noise ratio in dB over all RGB samples; infinity for identical images.
        ssim: structural similarity, -1..1, 1 for identical images.
        ms_ssim: multi-scale structural similarity, 0..1, 1 for identical images.
        lpips: learned perceptual distance, from 0 for identical images; lower is better.
    """

    psnr_db: float | None
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None


def psnr_db(reference: Pixels, received: Pixels) -> float:
    """Return the PSNR in dB of [H, W, 3] uint8 images; `float("inf")` if they are identical.

    The squared error is summed in whole numbers, so the value has no rounding error of its own.

    Raises:
        ValueError: the images are not uint8 [H, W, 3] of one size.
    """
    _check_pair(reference, received)
    difference = reference.astype(np.int32) - received
    squared_error = int(np.sum(difference * difference, dtype=np.int64))
    if squared_error == 0:
        return float("inf")
    return float(10.0 * np.log10(255.0**2 * difference.size / squared_error))


def ssim(reference: Pixels, received: Pixels) -> float | None:
    """Return the SSIM of [H, W, 3] uint8 images: mean over RGB, Gaussian window of 11 px, sigma 1.5 px.

    Returns:
        -1..1, or None if a side is below SSIM_MIN_SIDE_PX.

    Raises:
        ValueError: the images are not uint8 [H, W, 3] of one size.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
    """
    if _check_pair(reference, received) < SSIM_MIN_SIDE_PX:
        return None
    import pytorch_msssim

    with torch.inference_mode():
        return float(pytorch_msssim.ssim(_to_tensor(reference), _to_tensor(received), data_range=1.0))


def ms_ssim(reference: Pixels, received: Pixels) -> float | None:
    """Return the MS-SSIM of [H, W, 3] uint8 images: 5 scales with the weights of the paper, mean over RGB.

    As in pytorch-msssim an odd side is padded with black before it is halved; Kodak's sides stay even throughout.

    Returns:
        0..1, or None if a side is below MS_SSIM_MIN_SIDE_PX.

    Raises:
        ValueError: the images are not uint8 [H, W, 3] of one size.

    Source: Z. Wang et al., "Multiscale structural similarity for image quality assessment", 2003.
    """
    if _check_pair(reference, received) < MS_SSIM_MIN_SIDE_PX:
        return None
    import pytorch_msssim

    with torch.inference_mode():
        return float(pytorch_msssim.ms_ssim(_to_tensor(reference), _to_tensor(received), data_range=1.0))


class Lpips:
    """LPIPS with AlexNet, v0.1, from weights on disk; it never downloads anything.

    Source: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018.

    Attributes:
        network: the package's module, of float32 [B, 3, H, W], with a gradient.
    """

    def __init__(self, backbone: Path) -> None:
        """Load the network.

        Args:
            backbone: state dict with AlexNet's `features.*` under torchvision's names; the rest is ignored.

        Raises:
            ValueError: the file is not such a state dict.
        """
        _import_torchvision()
        lpips = importlib.import_module("lpips")
        # The package draws random weights first: the caller's random state must not notice.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.network: nn.Module = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
        _load_backbone(self.network.get_submodule("net"), backbone)

    def __call__(self, reference: Pixels, received: Pixels) -> float | None:
        """Return the distance of [H, W, 3] uint8 images, or None if a side is below LPIPS_MIN_SIDE_PX.

        Raises:
            ValueError: the images are not uint8 [H, W, 3] of one size.
        """
        if _check_pair(reference, received) < LPIPS_MIN_SIDE_PX:
            return None
        with torch.inference_mode():
            return float(self.network(_to_tensor(reference), _to_tensor(received), normalize=True))


def score(reference: Pixels, received: Pixels, lpips: Lpips | None) -> Scores:
    """Score one received image, [H, W, 3] uint8, with every metric; lpips None leaves that one empty.

    Raises:
        ValueError: the images are not uint8 [H, W, 3] of one size.
    """
    return Scores(
        psnr_db=psnr_db(reference, received),
        ssim=ssim(reference, received),
        ms_ssim=ms_ssim(reference, received),
        lpips=None if lpips is None else lpips(reference, received),
    )


def _check_pair(reference: Pixels, received: Pixels) -> int:
    """Return the smaller side in px of two images of one size."""
    for name, image in (("reference", reference), ("received", received)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"{name}: must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    if reference.shape != received.shape:
        raise ValueError(f"received: {list(received.shape)} is not the reference's {list(reference.shape)}")
    return int(min(reference.shape[:2]))


def _to_tensor(image: Pixels) -> Tensor:
    """Return float32 [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) / 255)[None]


def _import_torchvision() -> None:
    """Import torchvision even if its compiled part does not fit torch.

    A torchvision built for CUDA cannot load its library beside a CPU-only torch, and its import fails because
    two operators that it decorates do not exist. LPIPS uses neither, so empty declarations will do.
    """
    with contextlib.suppress(RuntimeError):
        importlib.import_module("torchvision")
        return
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _NMS_SCHEMA)
    importlib.import_module("torchvision")


def _load_backbone(net: nn.Module, backbone: Path) -> None:
    """Copy `features.<n>.*` into the package's AlexNet, which cuts the same layers into `slice<i>.<n>.*`."""
    try:
        weights = torch.load(backbone, map_location="cpu", weights_only=True)
        net.load_state_dict({name: weights["features." + name.split(".", 1)[1]] for name in net.state_dict()})
    except Exception as error:  # unpickling a damaged file raises anything
        raise ValueError(f"lpips backbone {backbone}: not the weights of AlexNet ({error})") from error
