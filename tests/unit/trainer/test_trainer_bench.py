"""The training benchmark: its table, and that it runs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from trainer import bench

RECIPE = """
[method]
name = "deepjscc"
[method.config]
stage_channels = [4, 6, 8, 8]
latent_channels = 8
[data]
folders = ["{folder}"]
crop_px = 16
batch_size = 2
validation_every = 4
initialise_photos = 0
[run]
device = "cpu"
"""


def test_table_compares_within_rounds() -> None:
    times_s = {
        bench.FULL: [1.0, 1.0, 10.0],  # the last round met other work, which hit all alike
        "fused AdamW": [1.1, 1.1, 11.0],
        bench.COMPILED: [0.5, 0.5, 5.0],
        bench.PLAIN: [3.0, 3.0, 30.0],
    }
    lines = bench.table(times_s, batch_size=8, compile_remark="remark")
    assert lines[1].split() == ["this", "trainer", "8.00", "1.000", "(1.000..10.000)"]
    assert lines[2].split() == ["plain", "loop", "2.67", "3.000", "(3.000..30.000)"]
    assert lines[3] == "this trainer / plain loop: 3.00x"
    assert lines[5].split() == ["fused", "AdamW", "1.10x"]
    assert lines[6].split() == ["torch.compile", "2.00x,", "remark"]


def test_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(np.full((20, 24, 3), number, np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "tiny.toml").write_text(RECIPE.format(folder=folder))
    command = [sys.executable, "-m", "trainer", "bench", str(tmp_path / "tiny.toml"), "--seconds", "0"]
    variables = os.environ | {"JSCC_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    for name in (*(bench.FULL, bench.PLAIN), "bfloat16 autocast", "channels_last", "photos in memory", "fused AdamW"):
        assert f"\n{name} " in done.stdout or f"\n  {name}" in done.stdout, done.stdout
    assert "torch.compile" in done.stdout
