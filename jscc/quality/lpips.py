"""LPIPS with AlexNet, v0.1, by the package `lpips`, from weights on disk; it never downloads anything."""

import importlib
import warnings
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

MIN_SIDE_PX = 31
"""AlexNet's second pooling needs three samples."""

_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Lpips:
    """The distance of images, with a gradient towards both; its own weights are fixed.

    Source: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018.
    """

    def __init__(self, backbone: Path, device: torch.device | None = None) -> None:
        """Load the network.

        Args:
            backbone: state dict with AlexNet's `features.*` under torchvision's names; the rest is ignored.
            device: where to compute; the CPU when None.

        Raises:
            ValueError: the file is not such a state dict, or the package cannot be imported.
        """
        package = _package()
        # The package draws random weights first: the caller's random state must not notice.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: nn.Module = package.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
        _load_backbone(network.get_submodule("net"), backbone)
        network.requires_grad_(False)
        # Channels last: the convolutions are four fifths of the time, and a seventh is saved so.
        self._network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the distances [B] of images float32 [B, 3, H, W] in [0, 1]: 0 for equal ones, less is better.

        Raises:
            ValueError: a side is below MIN_SIDE_PX.
        """
        if min(x.shape[-2:]) < MIN_SIDE_PX:
            raise ValueError(f"lpips: images must have sides of at least {MIN_SIDE_PX} px, got {list(x.shape[-2:])}")
        distance: Tensor = self._network(x_hat, x, normalize=True)
        return distance.flatten()


def _package() -> ModuleType:
    try:
        _import_torchvision()
        return importlib.import_module("lpips")
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"lpips: install lpips and a torchvision that fits torch ({reason})") from error


def _import_torchvision() -> None:
    """Import torchvision, which `lpips` takes AlexNet's layers from, even if its compiled part does not fit torch.

    A torchvision built for CUDA cannot load its library beside a CPU-only torch, and its import fails because
    two operators that it decorates do not exist. AlexNet uses neither, so empty declarations will do; they go again
    with `library`.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        if hasattr(torch.ops.torchvision, "nms"):  # the library is there: something else is wrong
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(name + _NMS_SCHEMA)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")


def _load_backbone(net: nn.Module, backbone: Path) -> None:
    """Copy `features.<n>.*` into the package's AlexNet, which cuts the same layers into `slice<i>.<n>.*`."""
    try:
        weights = torch.load(backbone, map_location="cpu", weights_only=True)
        net.load_state_dict({name: weights["features." + name.split(".", 1)[1]] for name in net.state_dict()})
    except Exception as error:  # unpickling a damaged file raises anything, in many lines
        raise ValueError(
            f"lpips backbone {backbone}: not the weights of AlexNet ({type(error).__name__}); "
            "without the file they are downloaded"
        ) from error
