"""What the commands do, and how their failures are told: one line each, never a trace."""

import argparse
import dataclasses
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch

from jscc import checkpoints
from jscc.data import open_dataset
from jscc.models import UnknownMethodError
from jscc.serving.runtime import pick_precision
from trainer import bench, build, evaluate, execution, export, parallel, prepare, run_folder, settings
from trainer.files import naming
from trainer.optimisation import Budget
from trainer.settings import Recipe

_BAD_INPUT, _FAILED = 2, 1
_LONGEST_REASON = 300


def run(choice: argparse.Namespace) -> int:
    """Run the command that `arguments.parse` found; return the exit status: 0, 2 for bad input, 1 for a failure."""
    command = {"train": _train, "bench": _bench, "evaluate": _evaluate, "export": _export}[choice.command]
    try:
        command(choice)
    except (ValueError, UnknownMethodError) as error:
        return _refuse(str(error), _BAD_INPUT)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error), _FAILED)
    except FloatingPointError as error:
        return _refuse(str(error), _FAILED)
    except ModuleNotFoundError as error:
        return _refuse(f"the package {error.name} is not installed, and this needs it", _FAILED)
    except (RuntimeError, MemoryError) as error:
        return _refuse(_of_torch(error), _FAILED)
    return 0


def _refuse(text: str, status: int) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return status


def _of_torch(error: Exception) -> str:
    """Return what torch raises as one line, without the far end of a long one."""
    reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in reason:
        return f"out of memory: lower data.batch_size or data.crop_px ({reason})"
    return reason


def _train(choice: argparse.Namespace) -> None:
    recipe = _with_folders(settings.load(choice.config), choice.data)
    is_limited = choice.minutes is not None or choice.steps is not None
    limits = (choice.minutes or 0.0, choice.steps or 0) if is_limited else (recipe.run.minutes, recipe.run.steps)
    folder = choice.out or Path("runs") / choice.config.stem
    budget = Budget(*limits)
    with parallel.team(recipe.run.device) as team:
        resume = choice.resume or team.largest([parallel.restarts()])[0] > 0
        plan = prepare.TrainingPlan(recipe, choice.config, folder, budget, resume, choice.start)
        prepared = prepare.start(plan, team)
        try:
            prepared.go()
        except OSError as error:
            if run_folder.has_state(folder):
                error.strerror = (
                    f"{error.strerror}; {folder} keeps its last checkpoint: mend this, then --resume goes on"
                )
            raise


def _with_folders(recipe: Recipe, folders: list[str]) -> Recipe:
    if not folders:
        return recipe
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, folders=tuple(folders), weights=()))


def _bench(choice: argparse.Namespace) -> None:
    for path in choice.configs or [Path("configs/deepjscc.toml")]:
        bench.run(path, choice.seconds, choice.compile)


def _evaluate(choice: argparse.Namespace) -> None:
    path: Path = choice.checkpoint
    device = execution.choose_device(choice.device)
    if choice.write_card and path.is_dir():
        raise ValueError(f"--write-card: {path} is a run folder and has no card; export it first")
    dataset = open_dataset(choice.dataset)
    if choice.write_card and dataset.name != "kodak":
        raise ValueError(f"--write-card: the card has only room for Kodak, not for '{dataset.name}'")
    if choice.write_card and (choice.told_above_db or choice.option):
        raise ValueError("--write-card: the card has only room for what a method does by default")
    loaded = evaluate.load_link(path, device)
    loaded.send_options, loaded.receive_options = loaded.method.options(_values(choice.option), "--option")
    print(dataset.note or f"{path}: {len(dataset.images)} images of {dataset.name}", flush=True)
    precision, snrs_db = pick_precision(choice.precision, str(device)), choice.snr_db or evaluate.SNRS_DB
    rows = evaluate.evaluate(loaded, dataset, snrs_db, precision, choice.told_above_db)
    if choice.write_card:
        card = checkpoints.read_card(build.card_path(path))
        measured = tuple(dataclasses.asdict(row) for row in rows)
        with naming(build.card_path(path)):
            checkpoints.write_card(path.parent, dataclasses.replace(card, kodak=measured))


def _values(texts: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads("\n".join(texts))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"--option: {error}") from error


def _export(choice: argparse.Namespace) -> None:
    if not choice.run.exists():
        raise ValueError(f"{choice.run}: no such run folder or recipe")
    write = export.export if choice.run.is_dir() else export.export_closed_form
    with naming(choice.checkpoints):
        card = write(choice.run, choice.checkpoints, choice.name)
    print(f"{choice.checkpoints / card.name}: {card.method}, digest {card.digest}")
