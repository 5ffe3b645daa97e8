"""What a load test says of its samples, what it refuses, and what it leaves in a folder."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from jscc.wire.timing import HopRecord
from services.orchestrator.cli.loading import LoadPlan, keep, point_of
from services.orchestrator.link.load import Sample

MS = 1_000_000


def hop(queue_ms: float) -> HopRecord:
    return HopRecord("decoder", MS, round(queue_ms * MS), MS, MS, MS, MS, 8, 8)


def plan(**changes: object) -> LoadPlan:
    known: dict[str, object] = {"callers": (1.0,), "rates": (), "arrivals": "poisson", "seconds": 5.0, "seed": 0}
    return LoadPlan(**(known | changes))  # type: ignore[arg-type]


def test_a_point_counts_what_arrived_failed_and_was_shed() -> None:
    samples = [
        Sample(0.0, 0.0, 0.2, (hop(1), hop(7))),
        Sample(1.0, 1.5, 1.9, (hop(3), hop(2))),
        Sample(2.0, 2.0, 4.0, failure="UNAVAILABLE"),
        Sample(3.0, None, 3.0),
    ]
    found = point_of("open", 1.0, samples)
    assert (found.sent, found.done, found.failed, found.shed, found.late) == (3, 2, 1, 1, 1)
    assert found.seconds == 4.0
    assert found.throughput_per_s == 0.5
    assert found.p50_ms == pytest.approx(550)  # of 200 and 900 ms
    assert found.queue_p95_ms is None  # of two samples none is above
    assert point_of("closed", 1.0, samples).late == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rates": (1.0,)}, r"^load: give --concurrency for a closed loop or --rate for an open one, and not both$"),
        ({"callers": ()}, r"^load: give --concurrency"),
        ({"callers": (0.0,)}, r"^load: up to 32 points above 0 and up to 1000, got \(0.0,\)$"),
        ({"callers": (1.0,) * 33}, r"^load: up to 32 points"),
        ({"callers": (1.5,)}, r"^concurrency: whole numbers of callers, got \(1.5,\)$"),
        ({"callers": (), "rates": (float("nan"),)}, r"^load: up to 32 points"),
        ({"arrivals": "bursts"}, r"^arrivals: must be one of poisson, constant, got 'bursts'$"),
        ({"seconds": 0.0}, r"^seconds: must be above 0 and at most 3600, got 0$"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(**changes)


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_a_folder_gets_the_points_and_the_curve(mode: str, tmp_path: Path) -> None:
    points = [
        point_of(mode, float(load), [Sample(at, at, at + 0.1 * load, (hop(load),)) for at in range(30)])
        for load in (1, 2, 4)
    ]
    keep(tmp_path / "load", points, "a link")
    with (tmp_path / "load" / "load.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["load"] for line in lines] == ["1.0", "2.0", "4.0"]
    assert [float(line["p95_ms"]) for line in lines] == pytest.approx([100, 200, 400])
    assert lines[0]["p99_ms"] == ""
    with Image.open(tmp_path / "load" / "saturation.png") as picture:
        assert picture.width > 900
    assert (tmp_path / "load" / "saturation.pdf").stat().st_size > 1000
