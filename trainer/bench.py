"""Crops per second of this trainer beside a plain loop in the same run, and what each ingredient brings.

The variants take turns of a few steps each, so that other work on the machine hits all alike, and a ratio is the
median of the ratios within the rounds.
"""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from trainer import bench_baseline, run_folder, settings, sources, train
from trainer.build import build
from trainer.learner import Learner
from trainer.settings import Recipe

FULL, PLAIN, COMPILED = "this trainer", "plain loop", "torch.compile"

_STEPS = 2
_LEAST_ROUNDS = 3
_RATE = 1e-5

L = TypeVar("L", bound=Learner)
Variant = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Opens a variant for one turn and gives the function that does one step."""


class _ContiguousLearner(Learner):
    memory_format = torch.contiguous_format


class _FileLearner(Learner):
    """Takes its crops from a DataLoader instead of memory."""

    source: Iterator[Tensor]

    def draw_crops(self) -> Tensor:
        """Wait for the next batch."""
        return next(self.source).contiguous(memory_format=self.memory_format)


class Bench:
    """Variants of one recipe's training on one device."""

    def __init__(self, recipe: Recipe) -> None:
        """Load the photos of a recipe.

        Raises:
            ValueError: photos or method do not fit.
        """
        self.recipe = recipe
        self.device = run_folder.choose_device(recipe.run.device)
        self.paths = list(sources.find(recipe.data.folders))
        self.photos = train.load_photos(recipe.data)[0].to(self.device)

    def variants(self) -> dict[str, Variant]:
        """Return this trainer, it without each of its ingredients by the ingredient's name, and the plain loop."""
        recipe = self.recipe
        found = {FULL: self._in_memory(self._learner(Learner, recipe))}
        if recipe.run.precision != "float32":
            exact = dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, precision="float32"))
            found["bfloat16 autocast"] = self._in_memory(self._learner(Learner, exact))
        found["channels_last"] = self._in_memory(self._learner(_ContiguousLearner, recipe))
        found["photos in memory, crops on the device"] = self._from_files(self._learner(_FileLearner, recipe))
        slow = self._learner(Learner, recipe)
        slow.optimiser.adamw = torch.optim.AdamW(slow.optimiser.adamw.param_groups, fused=False, foreach=False)
        found["fused AdamW"] = self._in_memory(slow)
        return found | {PLAIN: self._plain_loop()}

    def compiled(self) -> Variant:
        """Return this trainer with both halves compiled; its first step compiles, and raises where that fails."""
        run = dataclasses.replace(self.recipe.run, compile=True)
        return self._in_memory(self._learner(Learner, dataclasses.replace(self.recipe, run=run)))

    def _learner(self, kind: type[L], recipe: Recipe) -> L:
        return kind(recipe, build(recipe.method, recipe.run.seed), self.photos, self.device)

    def _do(self, learner: Learner) -> Callable[[], object]:
        return lambda: learner.step(_RATE, self.recipe.snrs_db(1.0))

    def _in_memory(self, learner: Learner) -> Variant:
        return lambda: nullcontext(self._do(learner))

    def _from_files(self, learner: _FileLearner) -> Variant:
        @contextmanager
        def opened() -> Iterator[Callable[[], object]]:
            with bench_baseline.batches(self.paths, self.recipe, self.device) as learner.source:
                yield self._do(learner)

        return opened

    def _plain_loop(self) -> Variant:
        loop = bench_baseline.PlainLoop(self.recipe, build(self.recipe.method, self.recipe.run.seed), self.device)

        @contextmanager
        def opened() -> Iterator[Callable[[], object]]:
            with bench_baseline.batches(self.paths, self.recipe, self.device) as source:
                yield lambda: loop.step(next(source))

        return opened

    def measure(self, variants: dict[str, Variant], seconds: float) -> dict[str, list[float]]:
        """Return seconds per step of every turn, of all variants equally many: at least three, then while time is left.

        Each variant begins with a step that is not counted.
        """
        for variant in variants.values():
            with variant() as step:
                step()
        times_s: dict[str, list[float]] = {name: [] for name in variants}
        end_s = time.monotonic() + seconds
        while len(times_s[FULL]) < _LEAST_ROUNDS or time.monotonic() < end_s:
            for name, variant in variants.items():
                with variant() as step:
                    self._synchronise()
                    begun_s = time.perf_counter()
                    for _ in range(_STEPS):
                        step()
                    self._synchronise()
                    times_s[name].append((time.perf_counter() - begun_s) / _STEPS)
        return times_s

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def run(config_file: Path, seconds: float, with_compile: bool) -> None:
    """Measure one recipe and print the table.

    Args:
        config_file: the recipe.
        seconds: time for measuring, after some for preparing.
        with_compile: measure torch.compile too.

    Raises:
        ValueError: the recipe or its photos do not fit.
    """
    recipe = settings.load(config_file)
    bench = Bench(recipe)
    print(_heading(config_file, recipe, bench.device), flush=True)
    variants, remark = bench.variants(), "not measured, --compile does it"
    if with_compile:
        try:
            compiled = bench.compiled()
            with compiled() as step:
                step()
            variants[COMPILED], remark = compiled, "not used unless run.compile is true"
        except Exception as error:  # a missing compiler shows as one of many exceptions
            remark = (
                f"not available here ({str(error).strip().splitlines()[0] if str(error) else type(error).__name__})"
            )
    times_s = bench.measure(variants, seconds)
    print("\n".join(table(times_s, recipe.data.batch_size, remark)), flush=True)


def _heading(config_file: Path, recipe: Recipe, device: torch.device) -> str:
    load = os.getloadavg()[0]
    return (
        f"{config_file}: {recipe.data.batch_size} crops of {recipe.data.crop_px} px a step, {recipe.run.precision}\n"
        f"{run_folder.hardware(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
        f"load at the start {load:.1f}\n"
        f"plain loop: float32, NCHW, {bench_baseline.workers()} DataLoader worker(s) on the files, one SNR a batch, "
        "unfused Adam"
    )


def table(times_s: dict[str, list[float]], batch_size: int, compile_remark: str) -> list[str]:
    """Return the lines of the result.

    Args:
        times_s: seconds per step of every turn, by variant.
        batch_size: crops per step.
        compile_remark: what to say of torch.compile.
    """

    def gain(slower: str, faster: str) -> str:
        pairs = zip(times_s[slower], times_s[faster], strict=True)
        return f"{statistics.median(slow / fast for slow, fast in pairs):.2f}x"

    lines = [f"{'':40} crops/s   s/step: median (least..most) of {len(times_s[FULL])} turns of {_STEPS} steps"]
    for name in (FULL, PLAIN):
        median, least, most = statistics.median(times_s[name]), min(times_s[name]), max(times_s[name])
        lines.append(f"{name:40} {batch_size / median:7.2f}   {median:.3f} ({least:.3f}..{most:.3f})")
    lines += [f"{FULL} / {PLAIN}: {gain(PLAIN, FULL)}", "what each ingredient brings, against this trainer without it:"]
    lines += [f"  {name:38} {gain(name, FULL)}" for name in times_s if name not in (FULL, PLAIN, COMPILED)]
    measured = f"{gain(FULL, COMPILED)}, " if COMPILED in times_s else ""
    return [*lines, f"  {COMPILED:38} {measured}{compile_remark}"]
