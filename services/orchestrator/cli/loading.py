"""`jscc-link load`: a link under load, point by point, and its saturation curve."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from jscc.images import read_image
from services.orchestrator.cli import output
from services.orchestrator.cli.bench import percentiles_ms
from services.orchestrator.link import load
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.job import Job
from services.orchestrator.link.load import Sample
from services.orchestrator.results.load import LoadPoint, write_csv

if TYPE_CHECKING:
    from services.orchestrator.link.session import Session

MAX_POINTS, MAX_LOAD, MAX_SECONDS = 32, 1000.0, 3600.0
_NS_PER_S = 1e9
_WARM_UP = 3


@dataclass(frozen=True)
class LoadPlan:
    """What is asked for.

    Attributes:
        callers: at once, whole numbers, of each point of a closed loop.
        rates: images a second of each point of an open loop; one of both is empty.
        arrivals: of an open loop, one of `load.ARRIVALS`.
        seconds: of each point.
        seed: of the arrivals.
    """

    callers: tuple[float, ...]
    rates: tuple[float, ...]
    arrivals: str
    seconds: float
    seed: int

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: one is out of its range, or both modes or none are asked for.
        """
        if bool(self.callers) == bool(self.rates):
            raise ValueError("load: give --concurrency for a closed loop or --rate for an open one, and not both")
        loads = self.callers or self.rates
        if len(loads) > MAX_POINTS or not all(0 < item <= MAX_LOAD for item in loads):
            raise ValueError(f"load: up to {MAX_POINTS} points above 0 and up to {MAX_LOAD:g}, got {loads[:5]}")
        if any(item != int(item) for item in self.callers):
            raise ValueError(f"concurrency: whole numbers of callers, got {self.callers[:5]}")
        if self.arrivals not in load.ARRIVALS:
            raise ValueError(f"arrivals: must be one of {', '.join(load.ARRIVALS)}, got {self.arrivals[:100]!r}")
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds: must be above 0 and at most {MAX_SECONDS:g}, got {self.seconds:g}")

    @property
    def mode(self) -> str:
        """Whether callers wait for the link or not."""
        return "closed" if self.callers else "open"


def point_of(mode: str, asked: float, samples: Sequence[Sample]) -> LoadPoint:
    """Return what became of a load, of which there is one sample at least."""
    done = [sample for sample in samples if sample.is_done]
    sent = sum(sample.sent_s is not None for sample in samples)
    seconds = max(sample.done_s for sample in samples) - min(sample.due_s for sample in samples)
    latency = percentiles_ms([round(sample.latency_s * _NS_PER_S) for sample in done])
    queues = percentiles_ms([max(hop.queue_ns for hop in sample.hops) for sample in done])
    return LoadPoint(
        mode=mode,
        load=asked,
        seconds=seconds,
        sent=sent,
        done=len(done),
        failed=sent - len(done),
        shed=len(samples) - sent,
        late=sum(sample.is_late for sample in samples) if mode == "open" else 0,
        throughput_per_s=len(done) / seconds if seconds else 0.0,
        p50_ms=latency["p50"],
        p95_ms=latency["p95"],
        p99_ms=latency["p99"],
        queue_p95_ms=queues["p95"],
    )


async def measure(
    addresses: Addresses | None, work: tuple[Path, Job], plan: LoadPlan, wait_s: float | None
) -> list[LoadPoint]:
    """Put a link under each load of a plan, one after the other.

    Raises:
        ImageError: the file is no image within the limits.
        RouteError: the method is not served.
        LinkError: a hop failed before the first load; later failures are counted.
    """
    from services.orchestrator.link.session import open_session  # only now: torch comes with it

    points = []
    async with open_session(addresses, 1, output.say, wait_s) as session:
        send = _sender(session, work)
        for number in range(_WARM_UP):
            await send(number)
        for asked in plan.callers or plan.rates:
            samples = await _run(send, plan, asked)
            if not samples:
                output.say(f"load {asked:g}: nothing was due within {plan.seconds:g} s; give more --seconds")
                continue
            points.append(point_of(plan.mode, asked, samples))
            output.say(_said(points[-1], samples))
    return points


def _sender(session: "Session", work: tuple[Path, Job]) -> load.Send:
    path, job = work
    pixels = read_image(path)

    async def send(number: int) -> Any:
        return (await session.engine.link.send(replace(job, draw=number), pixels)).hops

    return send


async def _run(send: load.Send, plan: LoadPlan, asked: float) -> list[Sample]:
    clock = load.WallClock()
    if plan.callers:
        return await load.closed_loop(send, round(asked), plan.seconds, clock)
    return await load.open_loop(send, load.times_s(plan.arrivals, asked, plan.seconds, plan.seed), clock)


def _said(point: LoadPoint, samples: Sequence[Sample]) -> str:
    failures = Counter(sample.failure for sample in samples if sample.failure)
    failed = "".join(f", {count} {code}" for code, count in failures.items())
    return f"{_name(point)}: {point.done} of {len(samples)} arrived, {point.throughput_per_s:.2f} a second{failed}"


def _name(point: LoadPoint) -> str:
    return f"{point.load:g} callers" if point.mode == "closed" else f"{point.load:g} due a second"


def title(job: Job, path: Path, plan: LoadPlan) -> str:
    """Say what was measured."""
    height_px, width_px, _ = read_image(path).shape
    how = "closed loop" if plan.callers else f"open loop, {plan.arrivals} arrivals"
    return f"{job.method or 'default method'}, {job.air}, {job.snr_db:g} dB, {width_px}x{height_px} px, {how}"


def table(points: Sequence[LoadPoint]) -> Table:
    """Show every point; latencies in milliseconds, from when an image was due."""
    found = Table(title="under load", box=box.SIMPLE, pad_edge=False)
    for name in ("", "arrived", "failed", "shed", "late", "a second", "p50 ms", "p95 ms", "p99 ms", "queue p95 ms"):
        found.add_column(name, justify="right" if name else "left")
    for point in points:
        counts = (point.done, point.failed, point.shed, point.late)
        times_ms = (point.p50_ms, point.p95_ms, point.p99_ms, point.queue_p95_ms)
        shown = ("" if value is None else f"{value:.1f}" for value in times_ms)
        found.add_row(_name(point), *map(str, counts), f"{point.throughput_per_s:.2f}", *shown)
    return found


def document(points: Sequence[LoadPoint], what: str) -> dict[str, Any]:
    """Return all of it for a program; a percentile for which samples are too few is null."""
    return {"title": what, "points": [asdict(point) for point in points]}


def keep(folder: Path, points: Sequence[LoadPoint], what: str) -> None:
    """Write the points and their saturation curve into a folder, made if missing."""
    from services.orchestrator.report import saturation  # only now: matplotlib comes with it

    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "load.csv", points)
    saturation.write(points, what, folder)
    output.say(f"wrote {folder / 'load.csv'} and {folder / 'saturation.png'}")
