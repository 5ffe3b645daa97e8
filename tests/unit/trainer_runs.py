"""Tiny photographs, recipes and runs of the trainer, as several test files need them."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainer import prepare, settings
from trainer.build import build
from trainer.learner import Learner

Lines = Mapping[str, str | None]
"""Keys of a section of a recipe and their values as TOML writes them; None leaves out one that is there otherwise."""

TINY: Mapping[str, Lines] = {
    "data": {
        "crop_px": "32",
        "batch_size": "4",
        "validation_every": "4",
        "validation_photos": "2",
        "validation_crop_px": "32",
        "initialise_photos": "0",
    },
    "loss": {},
    "optimiser": {},
    "run": {
        "precision": '"float32"',
        "memory_format": '"channels_last"',
        "fused": "true",
        "device": '"cpu"',
        "log_steps": "1",
        "validate_minutes": "1e6",
        "tensorboard": "false",
    },
}
"""What recipes of tests have unless they say otherwise."""
DEEPJSCC = "stage_channels = [4, 6, 8, 8]\nlatent_channels = 8"
KLTJSCC = "classes = 2\ntransmitter_channels = 4\nreceiver_channels = [4, 4]"
MODEL_BASED = "stage_channels = [4, 4, 8]\nlatent_channels = 8\niterations = 2\ndenoiser_channels = 4"
STAGES = """
[[curriculum]]
until_fraction = 0.25
snr_low_db = 14.0
snr_high_db = 14.0
[[curriculum]]
until_fraction = 0.5
snr_low_db = 5.0
snr_high_db = 21.0
"""
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing beyond the limit fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from trainer.__main__ import main
sys.exit(main(sys.argv[2:]))
"""

Refused = Callable[..., str]


def make_photos(folder: Path, count: int, level: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (40, 36), (level, number, 0)).save(folder / f"{level}_{number:03}.png")
    return folder


def random_photos(folder: Path) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def write_recipe(
    path: Path,
    folders: Sequence[Path],
    method: str = "deepjscc",
    config: str = DEEPJSCC,
    listens_to: str = "",
    more: str = "",
    **lines: Lines,
) -> Path:
    """Write a recipe like TINY.

    Args:
        path: of the file.
        folders: of photographs.
        method: its name.
        config: its configuration, as text.
        listens_to: the line of whom it listens to, if any.
        more: sections behind all others, as text.
        lines: what is not as in TINY, by section.
    """
    named = "[" + ", ".join(f'"{folder}"' for folder in folders) + "]"
    text = f'[method]\nname = "{method}"\n{listens_to}\n[method.config]\n{config}\n'
    for name, usual in TINY.items():
        begin: Lines = {"folders": named} if name == "data" else {}
        if body := _section({**begin, **usual, **lines.get(name, {})}):
            text += f"[{name}]\n{body}"
    path.write_text(text + more)
    return path


def _section(lines: Lines) -> str:
    return "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)


def learner_of(recipe_file: Path) -> Learner:
    recipe = settings.load(recipe_file)
    return Learner(recipe, build(recipe.method, 0), prepare.load_photos(recipe.data)[0], torch.device("cpu"))


def train(recipe_file: Path, steps: int, folder: Path, *more: str) -> list[str]:
    return ["train", str(recipe_file), "--steps", str(steps), "--out", str(folder), *more]


def begin(*words: str, code: str = "", **variables: str) -> "subprocess.Popen[str]":
    command = [sys.executable, *(("-c", code) if code else ("-m", "trainer")), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    said = process.communicate()[1]
    assert "Traceback" not in said
    return process.returncode, said


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])
