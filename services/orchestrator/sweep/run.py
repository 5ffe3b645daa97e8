"""One run of a sweep through the link, resumable at every row."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from jscc.data import Dataset
from jscc.images import encode_png
from jscc.machine import cores
from jscc.wire.errors import LinkError
from services.orchestrator.link.transmission import Engine, Transmission
from services.orchestrator.results.rows import Key, Picture, Row
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.estimate import Estimate, Line, transmission_s
from services.orchestrator.sweep.plan import Kind, Point, SweepSpec, shown_image
from services.orchestrator.sweep.record import method_info, row_of
from services.orchestrator.sweep.recovery import Recovery, SweepError

MAX_ATTEMPTS = 5
"""How often one transmission is tried again after outages."""


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

    def __init__(
        self, engine: Engine, dataset: Dataset, spec: SweepSpec, points: Sequence[Point], store: Store
    ) -> None:
        """Find out what is left to do, and put the methods on record.

        Args:
            engine: connected; its link has discovered the routes.
            dataset: the images.
            spec: what to sweep, its methods resolved.
            points: every transmission of it, see `plan.all_points`.
            store: where the rows go.

        Raises:
            RouteError: a method is not served.
            SweepError: the store holds a sweep of other images or of another seed.
        """
        self._engine, self._dataset, self.spec, self._store = engine, dataset, spec, store
        self._routes = {name: engine.link.table.find(name) for name in spec.methods}
        self._check_store()
        for route in self._routes.values():
            store.set_method(method_info(route))
        finished = store.keys()
        self._left = [point for point in points if self._key(point) not in finished]
        self.total, self._done = len(points), len(points) - len(self._left)
        self.snr_db = tuple(sorted({point.snr_db for point in points}))
        self._estimate = Estimate(Counter(point.kind for point in self._left))
        self._started = Counter[str]()
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        digests = {name: route.digest for name, route in self._routes.items()}
        self.recovery = Recovery(engine.link, spec.patience_s, digests, self._say)

    @property
    def left(self) -> int:
        """How many transmissions are left."""
        return self.total - self._done

    def _check_store(self) -> None:
        identity = {"dataset": self._dataset.name, "seed": self.spec.seed}
        settings = self._store.settings()
        for key, value in identity.items():
            if settings.get(key, value) != value:
                raise SweepError(
                    f"{key}: this folder holds a sweep with {key} {settings[key]!r}, not {value!r}; use another --out"
                )
            self._store.set_setting(key, value)

    def _key(self, point: Point) -> Key:
        return Key(
            dataset=self._dataset.name,
            image=point.image.id,
            method=point.kind.method,
            checkpoint=self._routes[point.kind.method].digest,
            channel=self.spec.channel,
            snr_db=point.snr_db,
            draw=point.draw,
            seed=point.job(self.spec).seed,
            options=json.dumps(dict(point.kind.options)) if point.kind.options else "",
        )

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
        under_way: set[asyncio.Task[Row]] = set()
        at_once = min(self.spec.concurrency, cores())
        self._estimate.restart()
        try:
            while queue or under_way:
                while queue and len(under_way) < concurrency:
                    point = queue.popleft()
                    warm_up = self._started[point.kind.method] < self.spec.concurrency
                    self._started[point.kind.method] += 1
                    under_way.add(asyncio.create_task(self._transmit(point, warm_up)))
                done, under_way = await asyncio.wait(under_way, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    row = task.result()
                    self._store.add(row)
                    self._done += 1
                    options = tuple(json.loads(row.options or "{}").items())
                    self._estimate.count(Kind(row.method, options), transmission_s(row, at_once))
                yield self._progress(self._next_message())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

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

    async def _transmit(self, point: Point, warm_up: bool) -> Row:
        job = point.job(self.spec)
        for _ in range(MAX_ATTEMPTS):
            outages = self.recovery.outages
            try:
                transmission = await self._engine.transmit(job, point.image.path)
            except LinkError as error:
                if not error.is_outage:
                    raise SweepError(f"{job.request_id}: {error}") from error
                await self.recovery.recover(error, outages)
                continue
            self._check_identity(point, transmission)
            self._keep_pictures(point, transmission)
            return row_of(transmission, self._dataset.name, warm_up)
        raise SweepError(f"{job.request_id}: given up after {MAX_ATTEMPTS} attempts; what is done is kept")

    def _check_identity(self, point: Point, transmission: Transmission) -> None:
        """Refuse a row that other weights made than those that were planned: it would stand under a wrong name."""
        route, delivery = self._routes[point.kind.method], transmission.delivery
        for half, planned, answered in (
            ("encoder", route.transmitter.checkpoint_digest, delivery.transmitter_digest),
            ("decoder", route.digest, delivery.receiver_digest),
        ):
            if planned != answered:
                raise SweepError(
                    f"checkpoint: the {half} used for '{point.kind.method}' {answered}, planned was {planned}; "
                    "what is done is kept"
                )

    def _keep_pictures(self, point: Point, transmission: Transmission) -> None:
        shown = shown_image(self._dataset.images)
        if point.image != shown or point.draw or point.kind.options or point.snr_db not in self.spec.shown_snr_db:
            return
        original = encode_png(transmission.original)
        received = encode_png(transmission.delivery.pixels)
        self._store.add_image(Picture(shown.id, "", 0.0, "original", original))
        self._store.add_image(Picture(shown.id, point.kind.method, point.snr_db, "received", received))
