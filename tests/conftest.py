"""What several test files share: where the data are, and a small working checkpoint."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import Tensor

from jscc import checkpoints, models

REPOSITORY = Path(__file__).parents[1]
ALEXNET_SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}

# Small tensors on shared cores: several threads mostly wait for each other, five times as long all in all.
torch.set_num_threads(1)

# The cores are shared, so no deadlines; the examples are the same in every run, so that red means red.
settings.register_profile("jscc", deadline=None, derandomize=True, database=None)
settings.load_profile("jscc")


def smooth_field(height_px: int, width_px: int, seed: int) -> Tensor:
    """Return a uint8 [3, H, W] picture of a few random low-frequency waves: what a linear code is good at."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(height_px)[:, None], torch.arange(width_px)
    field = torch.full((3, height_px, width_px), 127.5)
    for _ in range(6):
        frequency, phase, colour = (torch.rand(size, generator=generator) for size in (2, 1, 3))
        wave = torch.sin(0.25 * (frequency[0] * rows + frequency[1] * columns) + 6.283 * phase)
        field = field + 30 * (colour[:, None, None] - 0.3) * wave
    return field.round().clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="session")
def smooth_images() -> list[Tensor]:
    """Twelve uint8 [3, 48, 48] pictures of one family."""
    return [smooth_field(48, 48, seed) for seed in range(12)]


@pytest.fixture
def data_folder() -> Path:
    """Where the data sets are: $JSCC_DATA, else the folder beside the project."""
    found = Path(os.environ.get("JSCC_DATA") or REPOSITORY.parent / "shared" / "data")
    if not found.is_dir():
        pytest.skip(f"no data in {found}; set JSCC_DATA")
    return found


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory, smooth_images: list[Tensor]) -> Path:
    """A folder with one small deepjscc checkpoint that starts as the linear code, so that it really transmits."""
    folder = tmp_path_factory.mktemp("checkpoints")
    method = models.load("deepjscc")
    config = method.config_type(stage_channels=(12, 48, 192, 192), latent_channels=48)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transmitter, receiver = method.transmitter_type(config), method.receiver_type(config)
    receiver.initialise(transmitter, smooth_images)
    card = checkpoints.Card(
        name="deepjscc", method="deepjscc", digest="", transmitter_digest="", config=dataclasses.asdict(config)
    )
    checkpoints.save(folder, card, transmitter, receiver)
    return folder


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
