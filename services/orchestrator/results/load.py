"""What a load test found: one point for each load, as a table of a file."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class LoadPoint:
    """One load and what became of it.

    Attributes:
        mode: "closed" or "open".
        load: callers at once, or images a second.
        seconds: from the first that was due until the last was back.
        sent: transmissions.
        done: of these, images that arrived.
        failed: of these, calls that failed.
        shed: images that were due and never sent.
        late: transmissions that were sent later than they were due.
        throughput_per_s: images that arrived, a second.
        p50_ms, p95_ms, p99_ms: of the latency from when an image was due; None where samples are too few.
        queue_p95_ms: the same of the longest queue of any hop.
    """

    mode: str
    load: float
    seconds: float
    sent: int
    done: int
    failed: int
    shed: int
    late: int
    throughput_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    queue_p95_ms: float | None


def write_csv(path: Path, points: Iterable[LoadPoint]) -> None:
    """Write the points, a line for each; what is not known is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(LoadPoint)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in points)
