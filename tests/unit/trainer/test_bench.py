"""The training benchmark: its turns, its table, and that it runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trainer_runs import TINY, write_recipe

from trainer import bench
from trainer.bench_variants import COMPILED, PLAIN, Turns, Variant, take_turns

BARE = {key: None for key in TINY["run"] if key != "device"}
"""As a recipe is that says nothing of how to run."""


class Clock:
    """Time that passes only while a step is done."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def variant(self, *steps_s: float) -> Variant:
        """A variant whose steps take these times, the last of them for ever."""
        left = list(steps_s)

        def step() -> None:
            self.now_s += left.pop(0) if len(left) > 1 else left[0]

        return lambda: nullcontext(step)


class TestTurns:
    def test_they_alternate_after_a_step_each_that_does_not_count(self) -> None:
        clock = Clock()
        turns = take_turns(clock.variant(5.0, 1.0), clock.variant(7.0, 3.0), 28.0, clock)
        # 7 + 5 to warm up, then 2 x 1 and 2 x 3 in turn: the time is over after the second pair.
        assert (turns.first_s, turns.full_s, turns.other_s) == (7.0, [1.0, 1.0], [3.0, 3.0])
        assert (turns.ratio, clock.now_s) == (3.0, 28.0)

    @pytest.mark.parametrize("step_s", [0.7, 3.0, 9.9, 10.0, 200.0])
    @pytest.mark.parametrize("full_s", [0.1, 5.0, 60.0])
    def test_they_end_with_the_step_under_way(self, step_s: float, full_s: float) -> None:
        clock = Clock()
        take_turns(clock.variant(full_s), clock.variant(step_s), 10.0, clock)
        assert clock.now_s <= 10.0 + max(step_s, full_s)

    def test_one_step_of_each_is_better_than_nothing(self) -> None:
        clock = Clock()
        turns = take_turns(clock.variant(10.0), clock.variant(25.0), 30.0, clock)
        assert (turns, clock.now_s) == (Turns(25.0, 10.0), 35.0)
        assert bench.rows("float32", turns, 8) == [
            f"  {'float32':38} about 2.50x by one step of each; give more --seconds"
        ]

    def test_a_first_step_beyond_the_time_is_all(self) -> None:
        clock = Clock()
        turns = take_turns(clock.variant(1.0), clock.variant(358.0), 30.0, clock)
        assert (turns, turns.ratio, clock.now_s) == (Turns(358.0), None, 358.0)
        assert bench.rows("bfloat16", turns, 8) == [
            f"  {'bfloat16':38} the first step alone took 358.0 s; give more --seconds"
        ]


class TestRows:
    def test_ratios_are_within_turns(self) -> None:
        turns = Turns(9.0, 9.0, [1.0, 1.0, 10.0], [3.0, 3.0, 30.0])  # the last met other work, which hit both alike
        lines = bench.rows(PLAIN, turns, batch_size=8)
        assert lines[1].split()[:5] == ["this", "trainer", "8.00", "1.000", "(1.000..10.000)"]
        assert lines[2].split()[:5] == ["plain", "loop", "2.67", "3.000", "(3.000..30.000)"]
        assert lines[3] == "this trainer / plain loop: 3.00x (3 turns)"
        assert bench.rows("fused, not unfused", turns, 8)[0].split()[3:] == ["3.00x", "(3", "turns)"]

    def test_compiled_is_compared_the_other_way_round(self) -> None:
        assert bench.rows(COMPILED, Turns(1.0, 1.0, [1.0], [0.5]), 8)[0].split() == [COMPILED, "2.00x", "(1", "turns)"]

    def test_a_turn_that_the_other_missed_does_not_count(self) -> None:
        assert Turns(9.0, 9.0, [1.0, 50.0], [2.0]).ratio == 2.0


@pytest.fixture
def run_bench(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(np.full((20, 24, 3), number, np.uint8)).save(folder / f"{number}.png")
    data = {"crop_px": "16", "batch_size": "2", "validation_photos": None, "validation_crop_px": None}
    write_recipe(tmp_path / "tiny.toml", [folder], data=data, run=BARE)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "trainer", "bench", str(tmp_path / "tiny.toml"), *words]
        variables = os.environ | {"JSCC_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)

    return run


@pytest.mark.slow
def test_every_ingredient_has_a_row_and_is_announced(
    run_bench: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    done = run_bench("--seconds", "1e-6")  # over after the first step of each
    assert done.returncode == 0, done.stderr
    for name in ("bfloat16", "channels_last", "fused AdamW", "photos in memory"):
        assert any(name in line and "first step alone" in line for line in done.stdout.splitlines()), done.stdout
    announced = [line.split(",")[0] for line in done.stderr.splitlines() if line.startswith("variant")]
    assert announced == [f"variant {number} of 5" for number in range(1, 6)]
    assert "torch.compile" in done.stdout


def test_bad_time_is_refused_in_one_line(run_bench: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    done = run_bench("nowhere.toml", "--seconds", "nan")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert "--seconds: must be above 0" in done.stderr
