"""From a recipe to a run: weights, photos, how steps are executed. Nothing is written before everything fits."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import torch

from jscc import models
from jscc.checkpoints import Card
from jscc.images import Pixels
from jscc.link import Link
from jscc.serving.runtime import has_native_bfloat16
from jscc.signals import bandwidth_ratio
from trainer import data, environment, execution, perceptual, run_folder, sources, trial
from trainer.build import build, method_config, take_over
from trainer.data import Photos
from trainer.learner import Learner
from trainer.losses import ReferenceMse, linear_reference
from trainer.optimisation import Budget, parameter_groups
from trainer.parallel import Team
from trainer.settings import DataSettings, Recipe
from trainer.train import Run

CACHE_FOLDER = Path("runs/cache")
REFERENCE_PHOTOS = 300


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What is asked for.

    Attributes:
        recipe: what to do.
        recipe_file: where it stands.
        folder: the run's.
        budget: when to end.
        resume: go on from the folder's checkpoint, if there is one.
        start: `<folder>/<name>` of the checkpoint that gives the first weights; None for the method's own start.
    """

    recipe: Recipe
    recipe_file: Path
    folder: Path
    budget: Budget
    resume: bool = False
    start: Path | None = None


def start(plan: TrainingPlan, team: Team | None = None) -> Run:
    """Prepare a run: photos and, at step 0, shipped weights or the method's own initialisation; else the run's state.

    Args:
        plan: what is asked for.
        team: processes that share every batch; this one alone when None.

    Raises:
        ValueError: folder, device, photos, method, loss or checkpoint do not fit the recipe; says which and why.
        OSError: the folder or the cache of photos cannot be written; names the file.
    """
    team, recipe, folder = team or Team(), plan.recipe, plan.folder
    has_state = run_folder.look_into(folder, plan.recipe_file, plan.resume)
    state = run_folder.load_state(folder) if has_state else None
    device = execution.choose_device(recipe.run.device, team.local_rank if team.size > 1 else None)
    perceptual.require_side(recipe.loss, recipe.data.crop_px)
    link, card = _link(plan, state is None)
    with team.first():
        training, validation = load_photos(recipe.data)
    if state is None and card is None and recipe.data.initialise_photos:
        link.receiver.initialise(link.transmitter, _some(training, recipe.data.initialise_photos))
    if state is not None:
        recipe = execution.as_recorded(recipe, environment.first(folder))
    photos = training.to(device)
    recipe, measured_s = _settle(recipe, link, photos, device, team)
    learner = Learner(recipe, link, photos, device, team, _reference(recipe, training))
    if state is not None:
        _restore(learner, state, folder)
    if team.leads:
        if state is None:
            run_folder.create(folder, plan.recipe_file, card)
        executed = execution.record_of(recipe) | {"measured_s": measured_s}
        environment.write(folder, device, team.size, executed, anew=state is None)
    return Run(learner, folder, plan.budget, validation_images(validation, recipe.data))


def _link(plan: TrainingPlan, begins: bool) -> tuple[Link, Card | None]:
    """Build the link, with the weights of the plan's checkpoint and its card where a run begins with one.

    Raises:
        ValueError: the method does not fit the recipe or the checkpoint, or has nothing to train.
    """
    link = build(plan.recipe.method, plan.recipe.run.seed, str(plan.recipe_file))
    if not any(parameter.requires_grad for parameter in link.parameters()):
        raise ValueError(
            f"{plan.recipe_file}: '{link.method.name}' has nothing to train; "
            f"`python -m trainer export {plan.recipe_file}` ships it"
        )
    parameter_groups(link, plan.recipe.optimiser)  # refuses names that fit nothing
    return link, (take_over(link, plan.start) if plan.start is not None and begins else None)


def _settle(
    recipe: Recipe, link: Link, photos: Photos, device: torch.device, team: Team
) -> tuple[Recipe, dict[str, float]]:
    """Fill what is still open, say what is executed, and let the team agree on it."""
    measured_s: dict[str, float] = {}
    if team.leads:
        if {"memory_format", "fused"}.intersection(execution.open_keys(recipe)):
            _say("measuring for a moment which memory format and which AdamW are faster here ...")
        recipe, measured_s = trial.choose(recipe, link, photos, device)
        _say(f"steps in {trial.line(recipe, measured_s)}")
        if recipe.run.precision == "bfloat16" and not has_native_bfloat16(str(device)):
            _say(
                'this hardware only emulates bfloat16, several times slower than float32; run.precision = "auto" knows'
            )
    return execution.agreed(execution.settled(recipe, device), team), measured_s


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def load_photos(settings: DataSettings) -> tuple[Photos, Photos]:
    """Return the (training, validation) photos of a recipe, through the cache ($JSCC_CACHE or runs/cache).

    Raises:
        ValueError: there are none, they are smaller than a crop, or one of the validation set goes by another name.
    """
    cache = Path(os.environ.get("JSCC_CACHE") or CACHE_FOLDER)
    found = sources.find(settings.folders)
    photos = sources.load(found, cache)
    training, validation = sources.split(list(found), settings.validation_every)
    if not training:
        raise ValueError(
            f"data: {len(photos)} photo(s) are too few: one in {settings.validation_every} is for validation"
        )
    data.require_side(photos, settings.crop_px)
    chosen = photos.subset(training)
    if settings.weights:
        folders = list(found.values())
        chosen = chosen.weighted(sources.shares([folders[index] for index in training], settings.weights))
    return chosen, photos.subset(validation)


def validation_images(photos: Photos, settings: DataSettings) -> dict[str, Pixels]:
    """Return centre crops of some validation photos by id."""
    chosen = sources.evenly_spread(len(photos), settings.validation_photos)
    return {
        f"validation/{photos.names[index]}": data.centre_crop(photos.image(index), settings.validation_crop_px)
        for index in chosen
    }


def _some(photos: Photos, wanted: int) -> list[torch.Tensor]:
    return [photos.image(index) for index in sources.evenly_spread(len(photos), wanted)]


def _reference(recipe: Recipe, photos: Photos) -> ReferenceMse | None:
    """Return the error of the linear code, for the loss that needs it and has no table of its own."""
    if recipe.loss.kind != "snr_balanced_mse" or recipe.loss.reference_snr_db:
        return None
    side_px = recipe.data.crop_px
    options = models.load(recipe.method.name).send_options_type()
    layout = method_config(recipe.method, "recipe").layout(side_px, side_px, options)
    return linear_reference(_some(photos, REFERENCE_PHOTOS), bandwidth_ratio(layout.channel_uses, side_px, side_px))


def _restore(learner: Learner, state: dict[str, Any], folder: Path) -> None:
    if state["photos"] != len(learner.photos):
        raise ValueError(f"{folder}: was trained on {state['photos']} photos, now there are {len(learner.photos)}")
    learner.restore(state)
