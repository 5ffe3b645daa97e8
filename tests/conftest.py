"""What several test files share: where the data are, and a small working checkpoint."""

import dataclasses
import os
import signal
from pathlib import Path

import factories
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from torch import Tensor

from jscc import checkpoints, models

REPOSITORY = Path(__file__).parents[1]
ALEXNET_SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}

THREADS = 1
"""For small tensors on shared cores: several threads mostly wait for each other, five times as long all in all."""
torch.set_num_threads(THREADS)

# A shell that starts something in the background lets it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The cores are shared, so nothing depends on time; the examples are the same in every run, so that red means red.
settings.register_profile(
    "jscc", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("jscc")

# Hypothesis also draws constants of whatever local modules are loaded by then, so that an example would depend on the
# tests that ran before. It has no setting for that; here no module is local. tests/contract/test_examples.py fails when
# a new version of Hypothesis finds another way.
providers.is_local_module_file = lambda path: False


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


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Every test finds torch as every other does, whichever ran before."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)


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
    checkpoints.save(folder, factories.card("deepjscc", config=dataclasses.asdict(config)), transmitter, receiver)
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
