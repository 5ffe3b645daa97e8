"""A few steps in each memory format and a few updates by each kernel of AdamW: which is faster on this hardware?

oneDNN reorders NCHW by itself on some CPUs and not on others, and a fused update wins or loses with the number of
cores, so neither can be told from the hardware's name.
"""

import copy
import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

from jscc.link import Link
from trainer.data import Photos
from trainer.execution import record_of, settled
from trainer.learner import Learner
from trainer.optimisation import Optimiser
from trainer.settings import LossSettings, Recipe

_CROPS = 1
_ROUNDS = 5
_SECONDS = 3.0
"""When they are over, what was not measured yet stays as usual."""
_GAIN = 1.03
"""The usual choice stays unless another is so much faster: below it is the noise of so short a measurement."""
_NAMES = {True: "fused", False: "unfused"}

Key = TypeVar("Key", str, bool)


def choose(recipe: Recipe, link: Link, photos: Photos, device: torch.device) -> tuple[Recipe, dict[str, float]]:
    """Settle what a recipe leaves open by a short measurement; link, photos and generators stay as they are.

    Args:
        recipe: its network and crop size are those of the measurement, with one crop a step.
        link: initialised; copied.
        photos: training photos.
        device: where to train.

    Returns:
        The settled recipe, and the seconds of a step or an update by what was measured.
    """
    chosen, measured_s = settled(recipe, device), {}
    learner: Learner | None = None
    if recipe.run.memory_format == "auto":
        learners = {
            name: _learner(_run(chosen, memory_format=name), link, photos, device)
            for name in ("channels_last", "contiguous")
        }
        formats_s = _least_s({name: _step_of(one) for name, one in learners.items()}, device)
        chosen = _run(chosen, memory_format=preferred(formats_s, "channels_last"))
        measured_s, learner = dict(formats_s), learners[chosen.run.memory_format]
    if recipe.run.fused is None:
        updates_s = _updates_s(learner or _learner(chosen, link, photos, device), device)
        chosen = _run(chosen, fused=preferred(updates_s, True))
        measured_s |= {_NAMES[fused]: update_s for fused, update_s in updates_s.items()}
    return chosen, measured_s


def preferred(times_s: Mapping[Key, float], usual: Key) -> Key:
    """Return the fastest, unless it gains less than 3 % over the usual one, or nothing was measured."""
    fastest = min(times_s, key=lambda key: times_s[key], default=usual)
    if fastest == usual:
        return usual
    return fastest if times_s[fastest] * _GAIN < times_s[usual] else usual


def line(recipe: Recipe, measured_s: Mapping[str, float]) -> str:
    """Return what a settled recipe executes, in words, with what was measured."""
    took = ", ".join(f"{name} {1000 * seconds:.3g} ms" for name, seconds in measured_s.items())
    record = record_of(recipe)
    words = f"{record['precision']}, {record['memory_format']}, {_NAMES[record['fused']]} AdamW"
    return f"{words} (measured: {took})" if took else words


def _run(recipe: Recipe, **values: object) -> Recipe:
    return dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, **values))  # type: ignore[arg-type]


def _learner(recipe: Recipe, link: Link, photos: Photos, device: torch.device) -> Learner:
    """Return a learner of a copy: the same network and size of crops, one of them, and a loss that costs nothing."""
    recipe = dataclasses.replace(
        _run(recipe, compile=False),
        data=dataclasses.replace(recipe.data, batch_size=_CROPS),
        loss=LossSettings(kind="mse"),
    )
    return Learner(recipe, copy.deepcopy(link), photos, device)


def _step_of(learner: Learner) -> Callable[[], None]:
    return lambda: learner.step(0.0, learner.recipe.snrs_db(1.0))


def _updates_s(learner: Learner, device: torch.device) -> dict[bool, float]:
    for parameter in filter(lambda one: one.requires_grad, learner.link.parameters()):
        parameter.grad = torch.full_like(parameter, 1e-3)
    settings = learner.recipe.optimiser
    optimisers = {fused: Optimiser(learner.link, settings, fused).adamw for fused in (True, False)}
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = 0.0
    return _least_s({fused: optimiser.step for fused, optimiser in optimisers.items()}, device)


def _least_s(works: Mapping[Key, Callable[[], object]], device: torch.device) -> dict[Key, float]:
    """Return the least seconds of each work, which other processes disturb least; nothing if the time is too short.

    They take turns, and go once uncounted before.
    """
    end_s = time.monotonic() + _SECONDS
    times_s: dict[Key, list[float]] = {name: [] for name in works}
    for number, name in itertools.product(range(1 + _ROUNDS), works):
        if time.monotonic() > end_s:
            break
        spent_s = _seconds(works[name], device)
        if number:
            times_s[name].append(spent_s)
    rounds = min(map(len, times_s.values()))
    return {name: min(times[:rounds]) for name, times in times_s.items()} if rounds else {}


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    begun_s = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - begun_s


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
