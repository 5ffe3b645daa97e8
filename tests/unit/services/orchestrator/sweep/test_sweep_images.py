"""A sweep lists every image that it could not read before it starts anything."""

from pathlib import Path

import numpy as np
import pytest

from jscc.data import DatasetError, open_dataset
from jscc.images import write_image
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.sweep.spec import SweepSpec
from services.orchestrator.sweep.whole import SweepRun, run_sweep

NOWHERE = Addresses("127.0.0.1:1", "127.0.0.1:1", ("127.0.0.1:1",))


async def test_bad_images_are_listed_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("a", "b", "c"):
        write_image(tmp_path / "set" / f"{name}.png", noise)
    (tmp_path / "set" / "a.png").write_text("no image")
    (tmp_path / "set" / "c.png").write_bytes((tmp_path / "set" / "c.png").read_bytes()[:6000])
    run = SweepRun(SweepSpec(("softcast",), (0.0,)), open_dataset(str(tmp_path / "set")), tmp_path / "run", "sweep")
    with pytest.raises(DatasetError, match=r"(?s)^dataset: 2 of the images .*\n  a\.png: .*\n  c\.png: ") as caught:
        await run_sweep(run, NOWHERE, Watcher())
    assert "b.png" not in str(caught.value)
    assert not (tmp_path / "run").exists()


class Watcher:
    """Nothing is to be seen."""

    def say(self, line: str) -> None:
        raise AssertionError(line)

    def estimate(self, lines: object) -> None:
        raise AssertionError(lines)

    def advance(self, what: str, done: int, total: int, left_s: float) -> None:
        raise AssertionError(what)
