"""Crops per second of this trainer beside a plain loop in the same run, and what each ingredient brings.

Each variant takes turns of a few steps with this trainer, so that other work on the machine hits both alike, and a
ratio is the median of the ratios within the turns. The clock is looked at after every step.
"""

import math
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from trainer import bench_baseline, environment, settings, trial
from trainer.bench_variants import COMPILED, PLAIN, TURN_STEPS, Bench, Turns, Variant

FULL = "this trainer"


def run(config_file: Path, seconds: float, with_compile: bool) -> None:
    """Measure one recipe; print each row when it is measured, and say on standard error what is waited for.

    Args:
        config_file: the recipe.
        seconds: time for each variant; a variant takes as much and at most one step more.
        with_compile: measure torch.compile too, whose compiling comes on top.

    Raises:
        ValueError: the recipe or its photos do not fit.
    """
    recipe = settings.load(config_file)
    _say(f"{config_file}: loading photos, and measuring for a moment what runs faster here")
    bench = Bench(recipe)
    print(_heading(config_file, bench), flush=True)
    variants = bench.variants(with_compile)
    for number, (name, make) in enumerate(variants.items(), start=1):
        _say(f"variant {number} of {len(variants)}, {name}: warm-up, then turns, {seconds:g} s")
        turns = measured(bench, name, make, seconds)
        print("\n".join(rows(name, turns, bench.recipe.data.batch_size)), flush=True)
    if not with_compile:
        print(f"  {COMPILED:38} not measured, --compile does it", flush=True)


def measured(bench: Bench, name: str, make: Callable[[], Variant], seconds: float) -> Turns | str:
    """Return a variant's turns, or in a few words why torch.compile does not work here."""
    if name != COMPILED:
        return bench.measure(make(), seconds)
    try:
        variant = make()
        with variant() as step:
            _say("compiling, which takes minutes")
            step()
    except Exception as error:  # a missing compiler shows as one of many exceptions
        return f"not available here ({' '.join(str(error).split())[:80] or type(error).__name__})"
    return bench.measure(variant, seconds)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _heading(config_file: Path, bench: Bench) -> str:
    data = bench.recipe.data
    return (
        f"{config_file}: {data.batch_size} crops of {data.crop_px} px a step\n"
        f"{FULL}: {trial.line(bench.recipe, bench.measured_s)}\n"
        f"{environment.hardware(bench.device)}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
        f"load at the start {os.getloadavg()[0]:.1f}\n"
        f"plain loop: float32, NCHW, {bench_baseline.workers()} DataLoader worker(s) on the files, one SNR a batch, "
        "unfused Adam"
    )


def rows(name: str, turns: Turns | str, batch_size: int) -> list[str]:
    """Return the lines that a variant adds to the table.

    Args:
        name: of the variant; the plain loop's lines come first and head the others.
        turns: what was measured, or why nothing was.
        batch_size: crops per step.
    """
    if isinstance(turns, str):
        return [f"  {name:38} {turns}"]
    if name != PLAIN:
        return [f"  {name:38} {_times(turns, -1 if name == COMPILED else 1)}"]
    return [
        f"{'':40} crops/s   s/step: median (least..most) of turns of {TURN_STEPS} steps",
        _speed(FULL, turns.full_s or [turns.first_full_s or math.inf], batch_size),
        _speed(PLAIN, turns.other_s or [turns.first_s], batch_size),
        f"{FULL} / {PLAIN}: {_times(turns)}",
        "what each ingredient brings, against this trainer with the other choice:",
    ]


def _speed(name: str, times_s: list[float], batch_size: int) -> str:
    median, least, most = statistics.median(times_s), min(times_s), max(times_s)
    return f"{name:40} {batch_size / median:7.2f}   {median:.3f} ({least:.3f}..{most:.3f}) of {len(times_s)}"


def _times(turns: Turns, power: int = 1) -> str:
    """Say the ratio, or its inverse for the power -1; from a step of each where there is no turn of both."""
    if turns.ratio is not None:
        return f"{turns.ratio**power:.2f}x ({len(turns.other_s)} turns)"
    if turns.first_full_s is not None:
        return f"about {(turns.first_s / turns.first_full_s) ** power:.2f}x by one step of each; give more --seconds"
    return f"the first step alone took {turns.first_s:.1f} s; give more --seconds"
