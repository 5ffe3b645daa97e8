"""Ctrl-C."""

import os
import signal
from pathlib import Path

import pytest
from trainer_runs import begin, finish

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.slow
def test_ctrl_c_before_the_training_is_one_word(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.toml")
    process = begin("train", str(tmp_path / "recipe.toml"), "--steps", "1")
    with (tmp_path / "recipe.toml").open("w"):  # open once the command reads
        process.send_signal(signal.SIGINT)
        assert finish(process) == (130, "interrupted\n")
