"""Processes that torchrun starts, and processes that are killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import trainer_runs
from PIL import Image

from trainer import __main__ as command_line
from trainer import run_folder as runs
from trainer.build import build
from trainer.journal import read_rows
from trainer.objective import ScoredLink, _leaves_out
from trainer.parallel import Team
from trainer.settings import load

CONFIGS = {
    "deepjscc": trainer_runs.DEEPJSCC,
    "model_based": "stage_channels = [4, 6, 8]\nlatent_channels = 4\niterations = 3\ndenoiser_channels = 4",
}
CURVE = ("step", "learning_rate", "loss", "psnr_db", "gradient_norm")
DEADLINE_S = 900.0


@pytest.fixture
def write_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = torch.Generator().manual_seed(0)
    for number in range(6):
        small = torch.randint(0, 256, (6, 7, 3), generator=draw, dtype=torch.uint8).numpy()
        Image.fromarray(small).resize((56, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")

    def write(method: str = "deepjscc", checkpoint_minutes: str = "1e6") -> Path:
        return trainer_runs.write_recipe(
            tmp_path / f"{method}.toml",
            [folder],
            method,
            CONFIGS[method],
            data={"validation_photos": "1"},
            optimiser={"learning_rate": "1e-2"},
            run={"checkpoint_minutes": checkpoint_minutes},
        )

    return write


def begin(*arguments: object, processes: int = 0, restarts: int = 0) -> "subprocess.Popen[str]":
    """Start `python -m trainer train ...`, by torchrun where several processes are wanted."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    launcher += ["--max-restarts", str(restarts), "--monitor-interval", "0.1"]
    command = [sys.executable, *(launcher if processes else []), "-m", "trainer", "train", *map(str, arguments)]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run_here(*arguments: object) -> None:
    assert command_line.main(["train", *map(str, arguments)]) == 0


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for success; return what was said."""
    try:
        _, said = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said


def curve(folder: Path) -> list[list[float]]:
    return [[row[column] for column in CURVE] for row in read_rows(folder / "log.csv")]


def wait_for(process: "subprocess.Popen[str]", folder: Path, steps: int) -> None:
    """Wait until a checkpoint of at least some steps is there."""
    end_s, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not (folder / "last.pt").is_file() or runs.load_state(folder)["progress"]["step"] < steps:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end_s
        pause.wait(0.02)


@pytest.mark.slow
def test_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, write_recipe: Any) -> None:
    recipe_file = write_recipe(checkpoint_minutes="0.0")
    run_here(recipe_file, "--steps", 40, "--out", tmp_path / "whole")
    parts = tmp_path / "parts"
    process = begin(recipe_file, "--steps", 40, "--out", parts)
    wait_for(process, parts, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 3 <= runs.load_state(parts)["progress"]["step"] < 40
    run_here(recipe_file, "--steps", 40, "--out", parts, "--resume")
    assert curve(parts) == curve(tmp_path / "whole")
    assert len(curve(parts)) == 40
    whole, resumed = (runs.load_state(tmp_path / name)["average"] for name in ("whole", "parts"))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(CONFIGS))
def test_two_processes_do_what_one_does(tmp_path: Path, write_recipe: Any, method: str) -> None:
    recipe_file = write_recipe(method)
    pair = begin(recipe_file, "--steps", 8, "--out", tmp_path / "two", processes=2)
    run_here(recipe_file, "--steps", 8, "--out", tmp_path / "one")
    finish(pair)
    one, two = (torch.tensor(curve(tmp_path / name), dtype=torch.float64) for name in ("one", "two"))
    assert len(one) == 8
    torch.testing.assert_close(two, one, rtol=2e-3, atol=1e-6)
    (machine,) = json.loads((tmp_path / "two" / "environment.json").read_text())
    assert machine["processes"] == 2
    assert len(read_rows(tmp_path / "two" / "validation.csv")) == 2


@pytest.mark.slow
def test_killed_worker_is_restarted_and_goes_on(tmp_path: Path, write_recipe: Any) -> None:
    recipe_file, folder = write_recipe(checkpoint_minutes="0.0"), tmp_path / "run"
    process = begin(recipe_file, "--steps", 40, "--out", folder, processes=2, restarts=1)
    wait_for(process, folder, 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(child) for child in children if b"--steps" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(workers[-1], signal.SIGKILL)
    finish(process)
    assert [row["step"] for row in read_rows(folder / "log.csv")] == list(range(1, 41))
    assert runs.load_state(folder)["progress"]["step"] == 40
    records = json.loads((folder / "environment.json").read_text())
    assert len(records) == 2  # it was started twice, without --resume


def test_batch_must_be_divisible() -> None:
    with pytest.raises(ValueError, match="batch_size: 8 cannot be shared by 3 processes"):
        Team(0, 3).rows(8)


def test_parameters_without_a_gradient_are_found(write_recipe: Any) -> None:
    recipe = load(write_recipe())
    link = build(recipe.method, 0)
    scored = ScoredLink(link, Team(), recipe)
    assert not _leaves_out(scored, torch.device("cpu"), Team(), recipe)
    assert all(parameter.grad is None for parameter in link.parameters())
    link.receiver.register_parameter("idle", torch.nn.Parameter(torch.zeros(1)))
    assert _leaves_out(scored, torch.device("cpu"), Team(), recipe)
