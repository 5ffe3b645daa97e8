"""`jscc-link bench`: one image again and again, in windows of so many transmissions, until their times are steady."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from jscc.wire.timing import NS_PER_MS, STAGES
from services.orchestrator.cli.transmit import send_directly
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.job import Job
from services.orchestrator.link.waiting import Say
from services.orchestrator.results.rows import Row

PERCENTILES = (50, 95, 99)
WINDOWS = 3
"""Windows in a row that have to agree, as those of perf_analyzer do."""


@dataclass(frozen=True)
class BenchPlan:
    """When to end.

    Attributes:
        count: transmissions of a window.
        warm_up: transmissions before the first window, which are not counted.
        within_percent: how far a window's median may be from the mean of those of its three, in per cent of that.
        max_windows: windows after which it ends unsettled, at least 3.
    """

    count: int
    warm_up: int
    within_percent: float
    max_windows: int


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        windows: rows of every window, in order.
        plan: by which it ended.
    """

    windows: tuple[tuple[Row, ...], ...]
    plan: BenchPlan

    @property
    def medians_ms(self) -> list[float]:
        """Of the time from file to score, of every window."""
        return [median(row.total_ns for row in rows) / NS_PER_MS for rows in self.windows]

    @property
    def is_settled(self) -> bool:
        """Whether the last three windows agree."""
        last = self.medians_ms[-WINDOWS:]
        mean = sum(last) / len(last)
        return len(last) == WINDOWS and all(abs(it - mean) <= self.plan.within_percent / 100 * mean for it in last)

    @property
    def counted(self) -> tuple[Row, ...]:
        """Rows of the last three windows."""
        return tuple(row for rows in self.windows[-WINDOWS:] for row in rows)

    def percentiles_ms(self) -> dict[str, dict[str, float | None]]:
        """Percentiles by part of the way and for the total; None where there are too few samples for one to be above.

        Of p95 that is below 20, of p99 below 100.
        """
        parts = [row.parts_ns() | {"total": row.total_ns} for row in self.counted]
        return {name: percentiles_ms([part[name] for part in parts]) for name in parts[0]}


def percentiles_ms(values_ns: Sequence[int]) -> dict[str, float | None]:
    """Return percentiles in milliseconds by name, None where samples are too few for one to be above."""
    return {
        f"p{it}": float(np.percentile(values_ns, it)) / NS_PER_MS if len(values_ns) * (100 - it) >= 100 else None
        for it in PERCENTILES
    }


async def measure(rows: AsyncIterator[Row], plan: BenchPlan) -> Measured:
    """Take rows until three windows in a row agree, or there have been so many windows.

    Args:
        rows: one for each transmission, endless; none is asked for beyond the last that is needed.
        plan: when to end.
    """
    measured = Measured((), plan)
    for _ in range(plan.warm_up):
        await anext(rows)
    for _ in range(plan.max_windows):
        window = tuple([await anext(rows) for _ in range(plan.count)])
        measured = Measured((*measured.windows, window), plan)
        if measured.is_settled:
            break
    return measured


async def send_until_steady(
    addresses: Addresses | None, work: tuple[Path, Job], plan: BenchPlan, say: Say, wait_s: float | None = None
) -> Measured:
    """Send an image, one transmission after the other.

    Args:
        addresses: of services that run elsewhere; None for local ones.
        work: the image, and what is asked of the link.
        plan: when to end.
        say: called with every line that a person should know.
        wait_s: how long the services may take until they serve, see `open_session`.

    Raises:
        RouteError: the method is not served.
        LinkError: a hop failed.
    """
    jobs = [work] * (plan.warm_up + plan.count * plan.max_windows)
    async with aclosing(send_directly(addresses, jobs, say, wait_s)) as answers:
        return await measure((sent.row async for sent in answers), plan)


def title(measured: Measured, size_px: tuple[int, int]) -> str:
    """Say what was measured, of an image of (height, width), and whether it is steady."""
    row, plan = measured.counted[0], measured.plan
    what = f"{row.method}, {row.air}, {row.snr_db:g} dB, {size_px[1]}x{size_px[0]} px, one after the other"
    if measured.is_settled:
        counted = f"{len(measured.counted)} transmissions in {WINDOWS} windows"
        return f"{what}: {counted} that agree within {plan.within_percent:g} %"
    spread = " ".join(f"{it:.1f}" for it in measured.medians_ms[-WINDOWS:])
    return f"{what}: NOT SETTLED after {len(measured.windows)} windows, the medians of the last are {spread} ms"


def table(measured: Measured) -> Table:
    """Show percentiles of every part of the way in milliseconds, those for which there are samples enough."""
    percentiles = measured.percentiles_ms()
    shown = [name for name, value in percentiles["total"].items() if value is not None]
    found = Table(title="latency (ms)", box=box.SIMPLE, pad_edge=False)
    found.add_column("")
    for name in shown:
        found.add_column(name, justify="right")
    for part, values in percentiles.items():
        found.add_row(part.replace("_", " "), *(f"{values[name]:.3f}" for name in shown))
    return found


def document(measured: Measured, size_px: tuple[int, int]) -> dict[str, Any]:
    """Return all of it for a program, times in milliseconds; a percentile for which samples are too few is null."""
    row, percentiles = measured.counted[0], measured.percentiles_ms()
    hops = {
        name: {stage: percentiles[f"{name}_{stage}"] for stage in STAGES}
        | {"bytes_in": hop.bytes_in, "bytes_out": hop.bytes_out}
        for name, hop in row.named_hops.items()
    }
    return {
        "method": row.method,
        "checkpoint": row.checkpoint,
        "channel": str(row.air),
        "snr_db": row.snr_db,
        "image": row.image,
        "height_px": size_px[0],
        "width_px": size_px[1],
        "settled": measured.is_settled,
        "within_percent": measured.plan.within_percent,
        "windows": [
            {"transmissions": len(rows), "median_ms": median_ms}
            for rows, median_ms in zip(measured.windows, measured.medians_ms, strict=True)
        ],
        "counted": len(measured.counted),
        "total": percentiles["total"],
        "hops": hops,
        "own": {name: percentiles[name] for name in ("load", "codec", "score")},
    }
