"""What the tests of the library share: weights of AlexNet that no test has to have downloaded."""

from pathlib import Path

import pytest
import torch

ALEXNET_SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet with random features, and a classifier as in torchvision's own file."""
    generator = torch.Generator().manual_seed(0)
    weights = {"classifier.6.bias": torch.zeros(1000)}
    for layer, (outputs, inputs, size) in ALEXNET_SHAPES.items():
        shape = (outputs, inputs, size, size)
        weights[f"features.{layer}.weight"] = torch.randn(shape, generator=generator) / size / inputs**0.5
        weights[f"features.{layer}.bias"] = torch.zeros(outputs)
    path = tmp_path_factory.mktemp("lpips") / "alexnet.pth"
    torch.save(weights, path)
    return path
