"""How far a run is: a bar on a terminal, lines elsewhere and without rich."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trainer_runs import write_recipe

from trainer.progress import Lines

BARE = ("rich", "tqdm", "tensorboard", "grpc", "pydantic", "pytorch_msssim", "skimage", "torchvision")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a training of three steps."""
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(np.full((40, 48, 3), number, np.uint8)).save(folder / f"{number}.png")
    run = {"validate_minutes": None, "tensorboard": "true"}
    write_recipe(tmp_path / "tiny.toml", [folder], data={"batch_size": "2", "validation_photos": "1"}, run=run)
    return ["train", str(tmp_path / "tiny.toml"), "--steps", "3", "--out", str(tmp_path / "run")]


def on_terminal(command: list[str]) -> str:
    """Run a command whose standard error is a terminal; return what it shows there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # how Linux tells that the other side is closed
            pass
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def without(names: tuple[str, ...]) -> list[str]:
    """A command that runs the trainer where some packages are not installed."""
    code = f"import sys\nfor name in {names}: sys.modules[name] = None\n"
    return [sys.executable, "-c", f"{code}from trainer.__main__ import main\nsys.exit(main(sys.argv[1:]))"]


@pytest.mark.slow
def test_a_terminal_shows_a_bar_to_the_end(words: list[str]) -> None:
    shown = on_terminal([sys.executable, "-m", "trainer", *words])
    assert "100%" in shown
    assert "step 3 loss" in shown
    assert "done at step 3" in shown


@pytest.mark.slow
def test_a_file_gets_lines_only(words: list[str]) -> None:
    command = [sys.executable, "-m", "trainer", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"\r", "\x1b"} & set(done.stderr)
    assert done.stderr.splitlines()[-1].startswith(f"{words[-1]}: done at step 3")


@pytest.mark.slow
def test_the_trainer_needs_neither_rich_nor_tqdm(words: list[str]) -> None:
    shown = on_terminal([*without(BARE), *words])
    assert "done at step 3" in shown
    assert "\x1b" not in shown
    assert shown.count("tensorboard is not installed") == 1


class TestLines:
    def test_one_for_every_interval(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = Lines(interval_s=0.0)
        task = lines.add_task("decoding", total=200.0)
        lines.advance(task, 50)
        lines.tell(task, 300.0, "step 9")
        lines.remove_task(task)
        assert capsys.readouterr().err == " 25.0 % decoding\n100.0 % step 9\n"

    def test_none_before_it_has_passed(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = Lines(interval_s=float("inf"))
        task = lines.add_task("decoding", total=None)
        lines.advance(task, 50)
        lines.say("done")
        assert capsys.readouterr().err == "done\n"
