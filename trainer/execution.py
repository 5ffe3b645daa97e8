"""How steps are executed: precision, memory format and AdamW's kernel, by the recipe, the run's record or the hardware.

A recipe may leave all three open. None of them changes what is computed beyond rounding, so a run that goes on keeps
what it began with: only then is it bit for bit the run that it would have been.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from jscc.machine import PRECISIONS
from jscc.serving.runtime import pick_device, pick_precision
from trainer.parallel import Team
from trainer.settings import MEMORY_FORMATS, Recipe

TORCH_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def choose_device(name: str, index: int | None = None) -> torch.device:
    """Return the device of a name; "auto" is CUDA when there is a GPU, else the CPU.

    Args:
        name: "auto", "cpu", "cuda" or such as "cuda:1".
        index: number of the GPU, unless the name says it.

    Raises:
        ValueError: there is no such device.
    """
    device = torch.device(pick_device(name))
    return torch.device("cuda", index) if device == torch.device("cuda") and index is not None else device


def record_of(recipe: Recipe) -> dict[str, Any]:
    """Return what is recorded of a settled recipe, by key."""
    return {"precision": recipe.run.precision, "memory_format": recipe.run.memory_format, "fused": recipe.run.fused}


def as_recorded(recipe: Recipe, record: Mapping[str, Any]) -> Recipe:
    """Fill what a recipe leaves open with what a run's first record says; what that lacks stays open."""
    return _with(recipe, {key: record[key] for key in open_keys(recipe) if key in record})


def settled(recipe: Recipe, device: torch.device) -> Recipe:
    """Fill what a recipe leaves open without measuring: precision by the hardware, channels_last, fused."""
    usual = {
        "precision": pick_precision(recipe.run.precision, str(device)),
        "memory_format": "channels_last",
        "fused": True,
    }
    return _with(recipe, {key: usual[key] for key in open_keys(recipe)})


def open_keys(recipe: Recipe) -> list[str]:
    """Return the keys of [run] that a recipe leaves open."""
    return [key for key, value in record_of(recipe).items() if value in ("auto", None)]


def agreed(recipe: Recipe, team: Team) -> Recipe:
    """Return a settled recipe with the choices of the team's first process; waits for all of it."""
    run = recipe.run
    mine = [PRECISIONS.index(run.precision), MEMORY_FORMATS.index(run.memory_format), int(bool(run.fused))]
    precision, memory_format, fused = (int(code) for code in team.largest(mine if team.leads else [0, 0, 0]))
    chosen = {"precision": PRECISIONS[precision], "memory_format": MEMORY_FORMATS[memory_format], "fused": bool(fused)}
    return _with(recipe, chosen)


def _with(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    return dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, **values))
