"""From a run folder to a shipped checkpoint."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from jscc import checkpoints
from jscc.checkpoints import Card
from trainer import environment, run_folder, settings
from trainer.build import build, config_mapping, heard
from trainer.journal import VALIDATION_FILE, read_rows
from trainer.settings import MethodSettings, Recipe


def export(run: Path, folder: Path, name: str | None = None) -> Card:
    """Write the averaged weights of a run as float16, with a card that tells how they were trained.

    Args:
        run: run folder.
        folder: where the checkpoint goes.
        name: of the checkpoint; that of the method when None.

    Returns:
        The card as written.

    Raises:
        ValueError: it is no run folder, or its recipe does not fit.
    """
    recipe, state = run_folder.load_recipe(run), run_folder.load_state(run)
    link = build(recipe.method, seed=0)
    link.load_state_dict(state["average"])
    listens = bool(recipe.method.listens_to)
    heard_digest = heard(recipe.method).digest if listens else ""
    transmitter = nn.Module() if listens else link.transmitter  # it is shipped once, with the method that it is of
    card = _card(recipe.method, name, heard_digest, training_record(run, recipe, state))
    return checkpoints.save(folder, card, transmitter, link.receiver)


def export_closed_form(recipe_file: Path, folder: Path, name: str | None = None) -> Card:
    """Write the checkpoint of a method that has nothing to train: its configuration and no weights.

    Args:
        recipe_file: the method's configs/<method>.toml.
        folder: where the checkpoint goes.
        name: of the checkpoint; that of the method when None.

    Returns:
        The card as written.

    Raises:
        ValueError: the recipe does not fit, or the method has parameters.
    """
    recipe = settings.load(recipe_file)
    link = build(recipe.method, seed=0)
    if any(True for _ in link.parameters()):
        raise ValueError(f"{recipe_file}: '{recipe.method.name}' has parameters; train it and export the run's folder")
    card = _card(recipe.method, name, "", {"note": "closed form: nothing is trained"})
    return checkpoints.save(folder, card, link.transmitter, link.receiver)


def _card(method: MethodSettings, name: str | None, heard_digest: str, record: dict[str, Any]) -> Card:
    return Card(
        name=name or method.name,
        method=method.name,
        digest="",
        transmitter_digest=heard_digest,
        config=config_mapping(method),
        label=method.label,
        family=method.family,
        training=record,
    )


def training_record(run: Path, recipe: Recipe, state: dict[str, Any]) -> dict[str, Any]:
    """Return what the card tells about the training."""
    environments, progress, start = environment.read(run), state["progress"], run_folder.read_start(run)
    return {
        "start": {key: start[key] for key in ("digest", "training")} if start else {},
        "recipe": dataclasses.asdict(recipe),
        "photos": state["photos"],
        "steps": progress["step"],
        "crops": progress["step"] * recipe.data.batch_size,
        "wall_time_s": round(progress["elapsed_s"], 1),
        "hardware": _all_of(environments, "device"),
        **{key: _all_of(environments, key) for key in ("precision", "memory_format", "fused")},
        "torch": _all_of(environments, "torch"),
        "git": sorted({_commit(record) for record in environments}),
        "started": environments[0]["started"] if environments else "",
        "validation": read_rows(run / VALIDATION_FILE),
    }


def _commit(record: dict[str, Any]) -> str:
    """Return the commit that a start of the run stood on, and whether the code was that of no commit."""
    return f"{record.get('git', '')}{' and changes' if record.get('git_changes') else ''}"


def _all_of(records: list[dict[str, Any]], key: str) -> list[Any]:
    """Return the different values that a run's records have for a key; those of older versions may lack it."""
    return sorted({record[key] for record in records if key in record})
