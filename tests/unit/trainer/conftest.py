"""A folder of photographs, a recipe for it, and commands that must be refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trainer_runs import Refused

from trainer import __main__ as command_line

RECIPE = """
[method]
name = "deepjscc"
[method.config]
stage_channels = [4, 6, 8, 8]
latent_channels = 8
[data]
folders = ["{folder}"]
crop_px = 32
batch_size = 4
validation_every = 4
validation_photos = 1
validation_crop_px = 32
initialise_photos = 0
[run]
precision = "float32"
memory_format = "channels_last"
fused = true
device = "cpu"
log_steps = 1
checkpoint_minutes = 1e6
validate_minutes = 1e6
tensorboard = false
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path, photos: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(folder=photos))
    return path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must end with a status and one line; return the line."""

    def run(*words: object, status: int = 2) -> str:
        capsys.readouterr()
        try:
            found: Any = command_line.main([str(word) for word in words])
        except SystemExit as ended:
            found = ended.code
        said = capsys.readouterr().err
        assert found == status, said
        assert said.count("\n") == 1, said
        assert said.startswith("error: ")
        return said

    return run
