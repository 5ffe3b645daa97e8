"""One run of a sweep through the link, resumable at every row."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial

from jscc.data import Dataset
from jscc.images import encode_png
from jscc.machine import cores
from jscc.wire.errors import LinkError
from services.orchestrator.link.frames import FrameMemory
from services.orchestrator.link.transmission import Engine, Transmission
from services.orchestrator.results.database import when_free
from services.orchestrator.results.faults import StoreError
from services.orchestrator.results.rows import Key, Picture, Row
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.estimate import Estimate, Line, transmission_s, without_encoder
from services.orchestrator.sweep.plan import Kind, Plan, Point, repeated, shown_image
from services.orchestrator.sweep.record import method_info, row_of
from services.orchestrator.sweep.recovery import Recovery, SweepError
from services.orchestrator.sweep.spec import SweepSpec

MAX_ATTEMPTS = 5
"""How often one transmission is tried again after outages."""

_Sending = asyncio.Task[tuple[Row, list[Picture]]]


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes:
        done: transmissions finished, earlier ones included.
        total: transmissions in all.
        left_s: estimated time left in seconds.
        message: something that a person should know, or "".
        estimate: what is left to do and how long it will take; told once, when it has been measured.
    """

    done: int
    total: int
    left_s: float
    message: str = ""
    estimate: tuple[Line, ...] = ()


class Sweep:
    """One run of a sweep against a store that may already hold a part of it."""

    def __init__(self, engine: Engine, dataset: Dataset, plan: Plan, store: Store) -> None:
        """Find out what is left to do, and put the methods on record.

        Args:
            engine: connected; its link has discovered the routes.
            dataset: the images.
            plan: what to send.
            store: where the rows go; nothing is written before everything has been checked.

        Raises:
            SweepError: the store holds a sweep of other images or of another seed.
        """
        self._engine, self._dataset, self.plan, self._store = engine, dataset, plan, store
        self.spec = plan.spec
        self._routes = plan.routes
        identity = check_identity(store, dataset, self.spec)
        for key, value in identity.items():
            store.set_setting(key, value)
        for route in self._routes.values():
            store.set_method(method_info(route))
        finished = store.keys()
        self._left = [point for point in plan.points if self._key(point) not in finished]
        self.total, self._done = len(plan.points), len(plan.points) - len(self._left)
        repeats = Counter(point.kind for point in repeated(self._left))
        self._estimate = Estimate(Counter(point.kind for point in self._left), repeats)
        self._started = Counter[str]()
        self._frames = FrameMemory()
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        digests = {name: route.digest for name, route in self._routes.items()}
        self.recovery = Recovery(engine.link, self.spec.patience_s, digests, self._say, self._messages.put_nowait)

    @property
    def left(self) -> int:
        """How many transmissions are left."""
        return self.total - self._done

    def _key(self, point: Point) -> Key:
        return self.plan.key(point, self._dataset.name)

    async def run(self) -> AsyncGenerator[Progress]:
        """Send everything that is left; every finished transmission is committed before it is reported.

        Raises:
            SweepError: a service stayed away longer than the patience, or refused.
        """
        if self._done:
            yield self._progress(f"resuming: {self._done} of {self.total} are done")
        if not self._left:
            return
        first = {point.kind: point for point in reversed(self._left)}
        probes = [first[kind] for kind in self._estimate.kinds]
        await self._engine.warm_up(probes[0].image.path)
        async with aclosing(self._send(probes, 1)) as steps:  # one at a time, as nothing else tells what one costs
            async for progress in steps:
                yield progress
        rest = [point for point in self._left if first[point.kind] is not point]
        if rest:
            yield replace(self._progress(), estimate=self._estimate.lines())
        async with aclosing(self._send(rest, self.spec.concurrency)) as steps:
            async for progress in steps:
                yield progress

    async def _send(self, points: Iterable[Point], concurrency: int) -> AsyncGenerator[Progress]:
        queue = deque(points)
        under_way: set[_Sending] = set()
        self._at_once = min(self.spec.concurrency, cores())
        self._estimate.restart()
        try:
            while queue or under_way:
                while queue and len(under_way) < concurrency:
                    point = queue.popleft()
                    warm_up = self._started[point.kind.method] < self.spec.concurrency
                    self._started[point.kind.method] += 1
                    under_way.add(asyncio.create_task(self._transmit(point, warm_up)))
                await asyncio.wait(under_way, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                await self._take(under_way)
                yield self._progress(self._next_message())
        finally:
            await self._end(under_way)

    async def _take(self, under_way: set[_Sending]) -> None:
        """Commit what has arrived and take it off; a failure is raised after that, so that nothing done is lost."""
        ended = [task for task in under_way if task.done()]
        for task in ended:
            if task.exception() is None:
                row, pictures = task.result()
                await when_free(partial(self._store.add, row, pictures), self.spec.patience_s, self._say)
                under_way.remove(task)
                self._done += 1
                self._count(row)
        for task in ended:
            task.result()

    def _count(self, row: Row) -> None:
        is_repeat = row.has_old_frame
        cost_s = transmission_s(row, self._at_once)
        repeat_s = cost_s if is_repeat else transmission_s(without_encoder(row), self._at_once)
        self._estimate.count(Kind(row.method, row.options, row.air), cost_s, repeat_s, is_repeat)

    async def _end(self, under_way: set[_Sending]) -> None:
        """Cancel what is under way; what has arrived meanwhile is committed unless the database is the trouble."""
        for task in under_way:
            task.cancel()
        for result in await asyncio.gather(*under_way, return_exceptions=True):
            if not isinstance(result, BaseException):
                with suppress(StoreError):  # whatever ends the sweep is told, and the same command sends it again
                    self._store.add(*result)

    def _progress(self, message: str = "") -> Progress:
        return Progress(self._done, self.total, self._estimate.left_s(), message)

    def _next_message(self) -> str:
        messages = []
        while not self._messages.empty():
            messages.append(self._messages.get_nowait())
        return "; ".join(messages)

    def _say(self, message: str) -> None:
        self._store.add_event(message)
        self._messages.put_nowait(message)

    async def _transmit(self, point: Point, warm_up: bool) -> tuple[Row, list[Picture]]:
        job = point.job(self.spec)
        for _ in range(MAX_ATTEMPTS):
            outages = self.recovery.outages
            try:
                transmission = await self._engine.transmit(job, point.image.path, frames=self._frames)
            except LinkError as error:
                if not error.is_outage:
                    raise SweepError(f"{job.request_id}: {error}") from error
                await self.recovery.recover(error, outages)
                continue
            row = row_of(transmission, self._dataset.name, warm_up)
            self._check_identity(self._key(point), row)
            return row, self._pictures(row, point, transmission)
        raise SweepError(f"{job.request_id}: given up after {MAX_ATTEMPTS} attempts; what is done is kept")

    def _check_identity(self, planned: Key, row: Row) -> None:
        """Refuse a row that is not the planned one, such as of other weights: it would stand under a wrong name."""
        for name, expected in planned._asdict().items():
            found = getattr(row, name)
            if found != expected:
                raise SweepError(
                    f"{name}: {row.image} by '{row.method}' came back with {found}, planned was {expected}; what is "
                    "done is kept, use another --out for what the link serves now"
                )

    def _pictures(self, row: Row, point: Point, transmission: Transmission) -> list[Picture]:
        shown = shown_image(self._dataset.images)
        spec, kind = self.spec, point.kind
        is_first = point.draw == 0 and point.above_db == spec.told_above_db[0] and kind.air == spec.airs[0]
        if not is_first or kind.options or point.image != shown or point.snr_db not in spec.shown_snr_db:
            return []
        original = Picture(row.image_key, encode_png(transmission.original))
        return [original, Picture(row.key, encode_png(transmission.delivery.pixels))]


def check_identity(store: Store, dataset: Dataset, spec: SweepSpec) -> dict[str, object]:
    """Return what all sweeps into one folder have in common, having checked that the store holds no other sweep.

    Raises:
        SweepError: it holds a sweep of other images or of another seed.
    """
    identity: dict[str, object] = {"dataset": dataset.name, "seed": spec.seed}
    settings = store.settings()
    for key, value in identity.items():
        if settings.get(key, value) != value:
            raise SweepError(
                f"{key}: this folder holds a sweep with {key} {settings[key]!r}, not {value!r}; use another --out"
            )
    return identity
