"""Run folders: `runs/<name>/` with the recipe, the machine, the logs and the last checkpoint."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from jscc import machine
from jscc.checkpoints import Card
from trainer import settings
from trainer.settings import Recipe

RECIPE_FILE = "config.toml"
ENVIRONMENT_FILE = "environment.json"
START_FILE = "start.json"
STATE_FILE = "last.pt"


def open_folder(folder: Path, config_file: Path, resume: bool) -> bool:
    """Create a run folder, or reopen one.

    Args:
        folder: the run's folder.
        config_file: its recipe; copied into a new folder, compared with the copy of an old one.
        resume: go on where the folder's checkpoint ends.

    Returns:
        Whether there is a checkpoint to go on from.

    Raises:
        ValueError: the folder holds a run but `resume` is false, or a run of another recipe.
    """
    has_state, copy = (folder / STATE_FILE).is_file(), folder / RECIPE_FILE
    if has_state and not resume:
        raise ValueError(f"{folder}: holds a run already; give --resume to go on, or another --out")
    if has_state and _lasting(settings.load(copy)) != _lasting(settings.load(config_file)):
        raise ValueError(f"{folder}: was started with another recipe than {config_file}; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    if not has_state:
        copy.write_bytes(config_file.read_bytes())
    return has_state


def _lasting(recipe: Recipe) -> tuple[object, ...]:
    """Return what may not change within a run: all but [run]."""
    return recipe.method, recipe.data, recipe.channel, recipe.curriculum, recipe.loss, recipe.optimiser


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint atomically: a killed writer leaves the previous one whole."""
    temporary = folder / f"{STATE_FILE}.tmp"
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / STATE_FILE)


def load_state(folder: Path) -> dict[str, Any]:
    """Read the checkpoint, onto the CPU.

    Raises:
        ValueError: there is none.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise ValueError(f"{folder}: no {STATE_FILE} in it; is it a run folder?")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_recipe(folder: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        ValueError: there is none, or it does not fit.
    """
    return settings.load(folder / RECIPE_FILE)


def write_start(folder: Path, card: Card) -> None:
    """Keep the card of the checkpoint that a run starts from."""
    (folder / START_FILE).write_text(json.dumps(dataclasses.asdict(card), indent=2) + "\n", encoding="utf-8")


def read_start(folder: Path) -> dict[str, Any]:
    """Return the card of the checkpoint that a run started from; empty when it did not."""
    path = folder / START_FILE
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return card


def write_environment(folder: Path, device: torch.device, processes: int) -> None:
    """Append what the run runs on: one record for each start or resume."""
    path = folder / ENVIRONMENT_FILE
    records = [*read_environment(folder), _environment(device) | {"processes": processes}]
    path.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


def read_environment(folder: Path) -> list[dict[str, Any]]:
    """Read the records of write_environment; empty when there is no file."""
    path = folder / ENVIRONMENT_FILE
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return records


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git": _git("rev-parse", "HEAD"),
        "git_changes": len(_git("status", "--porcelain").splitlines()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": hardware(device),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }


def hardware(device: torch.device) -> str:
    """Name a device: the GPU's model, or the CPU's with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{machine.cpu_model()}, {machine.cores()} cores"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def choose_device(name: str, index: int | None = None) -> torch.device:
    """Return the device of a name; "auto" is CUDA when there is a GPU, else the CPU.

    Args:
        name: "auto", "cpu", "cuda" or such as "cuda:1".
        index: number of the GPU, unless the name says it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    return torch.device("cuda", index) if device == torch.device("cuda") and index is not None else device
