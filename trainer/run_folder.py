"""Run folders: `runs/<name>/` with the recipe, the start and the last two checkpoints."""

import dataclasses
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from jscc.checkpoints import Card
from trainer import settings
from trainer.files import naming, read_json, replace, write_json
from trainer.settings import Recipe

RECIPE_FILE = "config.toml"
START_FILE = "start.json"
STATE_FILE = "last.pt"
PREVIOUS_FILE = "previous.pt"

_STATE_KEYS = frozenset(("progress", "link", "average", "optimiser", "crop_draws", "noise_draws", "photos"))


def look_into(folder: Path, config_file: Path, resume: bool) -> bool:
    """Check that a run can begin or go on in a folder; nothing is written.

    Args:
        folder: the run's folder, which need not exist.
        config_file: its recipe, compared with the copy in an old folder.
        resume: go on where the folder's checkpoint ends.

    Returns:
        Whether there is a checkpoint to go on from.

    Raises:
        ValueError: the folder is none or cannot be written, holds a run but `resume` is false, or a run of another
            recipe.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{folder}: {existing} is no folder; give another --out")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{folder}: {existing} cannot be written; give another --out")
    if not has_state(folder):
        return False
    if not resume:
        raise ValueError(f"{folder}: holds a run already; give --resume to go on, or another --out")
    if _lasting(load_recipe(folder)) != _lasting(settings.load(config_file)):
        raise ValueError(f"{folder}: was started with another recipe than {config_file}; give another --out")
    return True


def _lasting(recipe: Recipe) -> tuple[object, ...]:
    """Return what may not change within a run: all but [run]."""
    return recipe.method, recipe.data, recipe.channel, recipe.curriculum, recipe.loss, recipe.optimiser


def create(folder: Path, config_file: Path, start: Card | None) -> None:
    """Create a run's folder with a copy of its recipe and the card of the checkpoint that it starts from.

    Raises:
        OSError: it cannot be written; names the file.
    """
    with naming(folder / RECIPE_FILE):
        folder.mkdir(parents=True, exist_ok=True)
        replace(folder / RECIPE_FILE, config_file.read_bytes())
    (folder / START_FILE).unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    if start is not None:
        write_json(folder / START_FILE, dataclasses.asdict(start))


def has_state(folder: Path) -> bool:
    """Return whether a folder holds a checkpoint, whole or not."""
    return any((folder / name).is_file() for name in (STATE_FILE, PREVIOUS_FILE))


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint atomically and keep the one before: a killed writer leaves a whole one.

    Raises:
        OSError: it cannot be written; names the file.
    """
    path, temporary = folder / STATE_FILE, folder / f"{STATE_FILE}.tmp"
    with naming(path):
        try:
            _write_state(temporary, state)
            if path.is_file():
                os.replace(path, folder / PREVIOUS_FILE)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _write_state(temporary: Path, state: dict[str, Any]) -> None:
    with temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's own words for a disk that is full come after the disk's
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        file.flush()
        os.fsync(file.fileno())


def load_state(folder: Path) -> dict[str, Any]:
    """Read the last checkpoint, onto the CPU; where it is damaged, the one before, and say so on standard error.

    Raises:
        ValueError: there is none that is whole; names what is wrong with each.
    """
    if not has_state(folder):
        raise ValueError(f"{folder}: no {STATE_FILE} in it; is it a run folder?")
    faults = []
    for name in (STATE_FILE, PREVIOUS_FILE):
        try:
            state = _read_state(folder / name)
        except ValueError as error:
            faults.append(str(error))
            continue
        if faults:
            step = state["progress"]["step"]
            print(f"{faults[0]}; taking {PREVIOUS_FILE}, which is of step {step}", file=sys.stderr, flush=True)
        return state
    raise ValueError(f"{'; '.join(faults)}: delete both to begin anew")


def _read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint file.

    Raises:
        ValueError: it is missing or damaged; names it.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        with zipfile.ZipFile(path) as parts:  # torch checks no checksum
            damaged = parts.testzip()
        state = torch.load(path, map_location="cpu", weights_only=True) if damaged is None else None
    except Exception as error:  # damaged bytes raise anything
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(f"{path} is damaged ({reason})") from error
    if not isinstance(state, dict) or not state.keys() >= _STATE_KEYS:
        raise ValueError(f"{path} is damaged ({damaged or 'no checkpoint of the trainer'})")
    return state


def load_recipe(folder: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        ValueError: there is none, or it does not fit.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise ValueError(f"{folder}: no {RECIPE_FILE} in it; is it a run folder?")
    return settings.load(folder / RECIPE_FILE)


def read_start(folder: Path) -> dict[str, Any]:
    """Return the card of the checkpoint that a run started from; empty when it did not.

    Raises:
        ValueError: the file is damaged; names it.
    """
    card: dict[str, Any] = read_json(folder / START_FILE, {})
    return card
