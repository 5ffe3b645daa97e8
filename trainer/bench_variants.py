"""What the benchmark times: this trainer, it with another choice each, and the plain loop, taking turns."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from torch import Tensor

from trainer import bench_baseline, execution, prepare, sources, trial
from trainer.build import build
from trainer.learner import Learner
from trainer.settings import Recipe

PLAIN, COMPILED = "plain loop", "torch.compile"
TURN_STEPS = 2

_RATE = 1e-5

Step = Callable[[], object]
Variant = Callable[[], AbstractContextManager[Step]]
"""Opens a variant for one turn and gives the function that does one step."""


class _FileLearner(Learner):
    """Takes its crops from a DataLoader instead of memory."""

    source: Iterator[Tensor]

    def draw_crops(self) -> Tensor:
        """Wait for the next batch."""
        return next(self.source).contiguous(memory_format=execution.TORCH_FORMATS[self.recipe.run.memory_format])


@dataclass
class Turns:
    """Seconds per step of a variant and of this trainer, turn by turn.

    Attributes:
        first_s: of the variant's first step, which counts only where there is no other.
        first_full_s: of this trainer's first step; None when the time was over before.
        full_s: of this trainer.
        other_s: of the variant, as many or one fewer.
    """

    first_s: float
    first_full_s: float | None = None
    full_s: list[float] = field(default_factory=list)
    other_s: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Time of the variant over that of this trainer, None without a turn of both."""
        pairs = list(zip(self.full_s, self.other_s, strict=False))
        return statistics.median(other / full for full, other in pairs) if pairs else None


class Bench:
    """Variants of one recipe's training on one device."""

    def __init__(self, recipe: Recipe) -> None:
        """Load the photos of a recipe and settle what it leaves open.

        Raises:
            ValueError: photos, method or device do not fit.
        """
        self.device = execution.choose_device(recipe.run.device)
        link = build(recipe.method, recipe.run.seed)
        self._photos = prepare.load_photos(recipe.data)[0].to(self.device)
        self._paths = list(sources.find(recipe.data.folders))
        self.recipe, self.measured_s = trial.choose(recipe, link, self._photos, self.device)
        self._full = self._in_memory(self.recipe)

    def variants(self, with_compile: bool) -> dict[str, Callable[[], Variant]]:
        """Return what makes each variant, by name: the plain loop, and this trainer with another choice each."""
        run = self.recipe.run
        other_precision = "float32" if run.precision == "bfloat16" else "bfloat16"
        other_format = "contiguous" if run.memory_format == "channels_last" else "channels_last"
        fused, unfused = ("fused AdamW", "unfused AdamW")[:: 1 if run.fused else -1]
        makers: dict[str, Callable[[], Variant]] = {
            PLAIN: self._plain_loop,
            f"{run.precision}, not {other_precision}": lambda: self._in_memory(self._with(precision=other_precision)),
            f"{run.memory_format}, not {other_format}": lambda: self._in_memory(self._with(memory_format=other_format)),
            f"{fused}, not {unfused}": lambda: self._in_memory(self._with(fused=not run.fused)),
            "photos in memory, not from files": self._from_files,
        }
        return makers | ({COMPILED: lambda: self._in_memory(self._with(compile=True))} if with_compile else {})

    def _with(self, **values: object) -> Recipe:
        return dataclasses.replace(self.recipe, run=dataclasses.replace(self.recipe.run, **values))  # type: ignore[arg-type]

    def _step_of(self, learner: Learner) -> Step:
        return lambda: learner.step(_RATE, self.recipe.snrs_db(1.0))

    def _in_memory(self, recipe: Recipe) -> Variant:
        step = self._step_of(Learner(recipe, build(recipe.method, recipe.run.seed), self._photos, self.device))
        return lambda: nullcontext(step)

    def _from_files(self) -> Variant:
        recipe = self.recipe
        learner = _FileLearner(recipe, build(recipe.method, recipe.run.seed), self._photos, self.device)

        @contextmanager
        def opened() -> Iterator[Step]:
            with bench_baseline.batches(self._paths, self.recipe, self.device) as learner.source:
                yield self._step_of(learner)

        return opened

    def _plain_loop(self) -> Variant:
        loop = bench_baseline.PlainLoop(self.recipe, build(self.recipe.method, self.recipe.run.seed), self.device)

        @contextmanager
        def opened() -> Iterator[Step]:
            with bench_baseline.batches(self._paths, self.recipe, self.device) as source:
                yield lambda: loop.step(next(source))

        return opened

    def measure(self, variant: Variant, seconds: float) -> Turns:
        """Let a variant and this trainer take turns for some seconds, see `take_turns`."""
        return take_turns(self._full, variant, seconds, self._now_s)

    def _now_s(self) -> float:
        trial.synchronise(self.device)
        return time.perf_counter()


def take_turns(full: Variant, other: Variant, seconds: float, now_s: Callable[[], float]) -> Turns:
    """Let two variants take turns for some seconds, and no longer than the step under way then.

    Each begins with a step that is not counted, unless the time is over with it.

    Args:
        full: this trainer.
        other: what it is compared with.
        seconds: the time.
        now_s: tells the time when all work is done.
    """
    end_s = now_s() + seconds
    turns = Turns(_turn(other, 1, end_s, now_s))
    if now_s() < end_s:
        turns.first_full_s = _turn(full, 1, end_s, now_s)
    while now_s() < end_s:
        turns.full_s.append(_turn(full, TURN_STEPS, end_s, now_s))
        if now_s() < end_s:
            turns.other_s.append(_turn(other, TURN_STEPS, end_s, now_s))
    return turns


def _turn(variant: Variant, steps: int, end_s: float, now_s: Callable[[], float]) -> float:
    """Return seconds per step of one turn, which ends early when the time is over, but not before one step."""
    with variant() as step:
        begun_s, done = now_s(), 0
        while not done or (done < steps and now_s() < end_s):
            step()
            done += 1
        return (now_s() - begun_s) / done
