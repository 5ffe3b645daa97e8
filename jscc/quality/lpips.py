"""LPIPS with AlexNet, v0.1, from weights on disk; it never downloads anything."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from jscc.quality._winograd import Convolution

MIN_SIDE_PX = 31
"""AlexNet's second pooling needs three samples."""
FEATURES_BYTES_PER_PX = 42
"""Of the features of one image: 64 channels of every 16th pixel, 192 of every 64th, 896 of every 256th, float32."""

_LAYERS = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
"""Shapes of AlexNet's convolutions by their numbers in torchvision's file; 3 and 6 come after a pooling."""
_POOLED = (3, 6)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of the samples that AlexNet was trained with, for the range -1..1."""
_LINEAR = Path(__file__).with_name("weights") / "lpips_alexnet.safetensors"
"""How much each channel counts, learned from people's judgements."""


class Lpips:
    """The distance of images, with a gradient towards both; its own weights are fixed.

    Source: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, eq. 1.
    """

    def __init__(self, backbone: Path, device: torch.device | None = None) -> None:
        """Load the network.

        Args:
            backbone: state dict with AlexNet's `features.*` under torchvision's names; the rest is ignored.
            device: where to compute; the CPU when None.

        Raises:
            ValueError: the file is not such a state dict.
        """
        weights = {name: tensor.to(device) for name, tensor in _load_backbone(backbone).items()}
        self._first = weights["features.0.weight"].to(memory_format=torch.channels_last), weights["features.0.bias"]
        self._convolutions = {
            number: Convolution(weights[f"features.{number}.weight"], weights[f"features.{number}.bias"])
            for number in list(_LAYERS)[1:]
        }
        linear = load_file(_LINEAR)
        self._linear = [linear[f"lin{place}"].to(device) for place in range(len(_LAYERS))]
        shift, scale = (torch.tensor(it, device=device)[:, None, None] for it in (_SHIFT, _SCALE))
        self._gain, self._offset = 2 / scale, -(1 + shift) / scale

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the distances [B] of images float32 [B, 3, H, W] in [0, 1]: 0 for equal ones, less is better.

        Raises:
            ValueError: a side is below MIN_SIDE_PX.
        """
        return self.distance(self.features(x_hat), self.features(x))

    def features(self, x: Tensor) -> Iterator[Tensor]:
        """Yield what every layer finds in images float32 [B, 3, H, W] in [0, 1]: [B, h, w, channels], of norm 1.

        Raises:
            ValueError: a side is below MIN_SIDE_PX.
        """
        if min(x.shape[-2:]) < MIN_SIDE_PX:
            raise ValueError(f"lpips: images must have sides of at least {MIN_SIDE_PX} px, got {list(x.shape[-2:])}")
        scaled = torch.addcmul(self._offset, x, self._gain).contiguous(memory_format=torch.channels_last)
        found = F.conv2d(scaled, *self._first, stride=4, padding=2).permute(0, 2, 3, 1).relu_()
        yield _unit(found)
        for number, convolution in self._convolutions.items():
            if number in _POOLED:
                found = F.max_pool2d(found.permute(0, 3, 1, 2), 3, stride=2).permute(0, 2, 3, 1)
            found = convolution(found).relu_()
            yield _unit(found)

    def distance(self, x_hat: Iterable[Tensor], x: Iterable[Tensor]) -> Tensor:
        """Return the distances [B] of images whose features these are."""
        layers = zip(x_hat, x, self._linear, strict=True)
        return torch.stack([((a - b).square() @ weight).mean(dim=(1, 2)) for a, b, weight in layers]).sum(dim=0)


def _unit(found: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(found, dim=-1, keepdim=True)
    return found / (norm + 1e-10)


def _load_backbone(backbone: Path) -> dict[str, Tensor]:
    """Return float32 weights and biases of AlexNet's convolutions, by torchvision's names."""
    try:
        weights = torch.load(backbone, map_location="cpu", weights_only=True)
        shapes: dict[str, tuple[int, ...]] = {f"features.{number}.weight": it for number, it in _LAYERS.items()}
        shapes |= {f"features.{number}.bias": shape[:1] for number, shape in _LAYERS.items()}
        return {name: weights[name].float().reshape(shape) for name, shape in shapes.items()}
    except Exception as error:  # unpickling a damaged file raises anything, in many lines
        raise ValueError(
            f"lpips backbone {backbone}: not the weights of AlexNet ({type(error).__name__}); "
            "without the file they are downloaded"
        ) from error
