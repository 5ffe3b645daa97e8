"""Sweeps: images x methods x SNRs x noise draws through the link, resumable at every row."""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jscc.channels.awgn import MAX_SNR_DB, MIN_SNR_DB
from jscc.datasets import Dataset, ImageRef
from jscc.images import encode_png
from jscc.signals import derive_seed
from jscc.wire.errors import LinkError
from services.orchestrator.engine import Engine, Transmission
from services.orchestrator.link import Air, Job
from services.orchestrator.store import HopTiming, Key, Picture, Row, Store

MAX_ATTEMPTS = 5
"""How often one transmission is tried again after outages."""
MAX_SNRS = 100
MAX_DRAWS = 1000
_NS_PER_MS = 1e6


class SweepError(RuntimeError):
    """A sweep that cannot go on; what is done is kept."""


@dataclass(frozen=True)
class SweepSpec:
    """What to sweep.

    Attributes:
        methods: names of methods.
        snr_db: SNRs in dB, -30..60 each.
        draws: noise draws per image and SNR, 1..1000.
        seed: root seed, 0..2^63 - 1.
        channel: awgn or noiseless.
        options: options of the methods by name.
        concurrency: transmissions under way at once.
        patience_s: how long an unreachable service is waited for.
    """

    methods: tuple[str, ...]
    snr_db: tuple[float, ...]
    draws: int = 1
    seed: int = 0
    channel: str = "awgn"
    options: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 4
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a field is out of its range; names it and the limit.
        """
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods: expected different names, got {', '.join(self.methods)}")
        Air(self.channel, 0.0).to_wire()
        if not 1 <= len(self.snr_db) <= MAX_SNRS or len(set(self.snr_db)) != len(self.snr_db):
            raise ValueError(f"snr_db: expected 1 to {MAX_SNRS} different values, got {len(self.snr_db)}")
        bad = [snr for snr in self.snr_db if not MIN_SNR_DB <= snr <= MAX_SNR_DB]
        if bad:
            raise ValueError(f"snr_db: {bad[0]:g} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")
        if not 1 <= self.draws <= MAX_DRAWS:
            raise ValueError(f"draws: {self.draws} is outside 1..{MAX_DRAWS}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: {self.seed} is outside 0..2^63 - 1")
        if not 0 <= self.patience_s <= 86_400:
            raise ValueError(f"patience_s: {self.patience_s} is outside 0..86400")
        if not 1 <= self.concurrency <= 64:
            raise ValueError(f"concurrency: {self.concurrency} is outside 1..64")


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes:
        done: transmissions finished, earlier ones included.
        total: transmissions in all.
        left_s: estimated time left in seconds.
        message: something that a person should know, or "".
    """

    done: int
    total: int
    left_s: float
    message: str = ""


@dataclass(frozen=True)
class _Point:
    image: ImageRef
    method: str
    snr_db: float
    draw: int


class Sweep:
    """One run of a sweep against a store that may already hold a part of it."""

    def __init__(self, engine: Engine, dataset: Dataset, spec: SweepSpec, store: Store) -> None:
        """Plan what is left to do.

        Args:
            engine: connected; its link has discovered the routes.
            dataset: the images.
            spec: what to sweep.
            store: where the rows go.

        Raises:
            RouteError: a method is not served.
            SweepError: the store holds a sweep of other images or of another seed.
        """
        self._engine, self._dataset, self._spec, self._store = engine, dataset, spec, store
        self.revive: Callable[[], str] | None = None
        self._digests = {method: engine.link.route(method).checkpoint_digest for method in spec.methods}
        self._options = json.dumps(dict(spec.options), sort_keys=True) if spec.options else ""
        self._check_store()
        points = self._points()
        finished = store.keys()
        self._left = [point for point in points if self._key(point) not in finished]
        self.total, self._earlier = len(points), len(points) - len(self._left)
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        self._outage = asyncio.Lock()
        self._recoveries = 0

    def _check_store(self) -> None:
        identity = {"dataset": self._dataset.name, "seed": self._spec.seed}
        settings = self._store.settings()
        for key, value in identity.items():
            if settings.get(key, value) != value:
                raise SweepError(
                    f"{key}: this folder holds a sweep with {key} {settings[key]!r}, not {value!r}; use another --out"
                )
            self._store.set_setting(key, value)

    def _points(self) -> list[_Point]:
        spec = self._spec
        return [
            _Point(image, method, snr_db, draw)
            for draw in range(spec.draws)
            for snr_db in spec.snr_db
            for method in spec.methods
            for image in self._dataset.images
        ]

    def _seed(self, point: _Point) -> int:
        return derive_seed(self._spec.seed, point.image.id, point.snr_db, point.draw)

    def _key(self, point: _Point) -> Key:
        return Key(
            dataset=self._dataset.name,
            image=point.image.id,
            method=point.method,
            checkpoint=self._digests[point.method],
            channel=self._spec.channel,
            snr_db=point.snr_db,
            draw=point.draw,
            seed=self._seed(point),
            options=self._options,
        )

    async def run(self) -> AsyncGenerator[Progress]:
        """Send everything that is left; every finished transmission is committed before it is reported.

        Raises:
            SweepError: a service stayed away longer than the patience, or refused.
        """
        begun = time.monotonic()
        if self._earlier:
            yield Progress(self._earlier, self.total, math.nan, f"resuming: {self._earlier} of {self.total} are done")
        queue, started = list(self._left), Counter[str]()
        under_way: set[asyncio.Task[Row]] = set()
        finished = 0
        try:
            while queue or under_way:
                while queue and len(under_way) < self._spec.concurrency:
                    point = queue.pop(0)
                    warm_up = started[point.method] < self._spec.concurrency
                    started[point.method] += 1
                    under_way.add(asyncio.create_task(self._transmit(point, warm_up)))
                done, under_way = await asyncio.wait(under_way, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._store.add(task.result())
                finished += len(done)
                left = len(self._left) - finished
                left_s = (time.monotonic() - begun) / finished * left if finished else math.nan
                yield Progress(self._earlier + finished, self.total, left_s, self._next_message())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _next_message(self) -> str:
        messages = []
        while not self._messages.empty():
            messages.append(self._messages.get_nowait())
        return "; ".join(messages)

    def _say(self, message: str) -> None:
        self._store.add_event(message)
        self._messages.put_nowait(message)

    async def _transmit(self, point: _Point, warm_up: bool) -> Row:
        job = Job(
            request_id=f"{point.image.id} {point.method} {point.snr_db:g} dB #{point.draw}",
            method=point.method,
            air=Air(self._spec.channel, point.snr_db),
            seed=self._seed(point),
            options=self._spec.options,
        )
        for _ in range(MAX_ATTEMPTS):
            recoveries, started = self._recoveries, datetime.now(UTC).isoformat(timespec="milliseconds")
            try:
                transmission = await self._engine.transmit(job, point.image.path)
            except LinkError as error:
                if not error.is_outage:
                    raise SweepError(f"{job.request_id}: {error}") from error
                await self._recover(error, recoveries)
                continue
            self._keep_pictures(point, transmission)
            return self._row(point, transmission, started, warm_up)
        raise SweepError(f"{job.request_id}: given up after {MAX_ATTEMPTS} attempts; what is done is kept")

    async def _recover(self, error: LinkError, recoveries: int) -> None:
        """Wait until the link serves again; the first task that notices an outage does it for all."""
        async with self._outage:
            if self._recoveries != recoveries:
                return
            self._say(f"interrupted: {error}; waiting up to {self._spec.patience_s:g} s")
            if self.revive is not None:
                self._say(self.revive())
            try:
                await self._engine.link.wait_until_serving(self._spec.patience_s)
                await self._engine.link.discover()
            except LinkError as still:
                raise SweepError(f"{still}; what is done is kept, the same command resumes") from still
            for method, digest in self._digests.items():
                now = self._engine.link.route(method).checkpoint_digest
                if now != digest:
                    raise SweepError(f"checkpoint: '{method}' was {digest} and is {now} after the interruption")
            self._recoveries += 1
            self._say(f"{error.hop} serves again; going on")

    def _keep_pictures(self, point: _Point, transmission: Transmission) -> None:
        images, snrs = self._dataset.images, sorted(self._spec.snr_db)
        shown = images[len(images) * 4 // 5]
        if point.image != shown or point.draw or point.snr_db not in (snrs[0], snrs[len(snrs) // 2], snrs[-1]):
            return
        original = encode_png(transmission.original)
        received = encode_png(transmission.delivery.pixels)
        self._store.add_image(Picture(shown.id, "", 0.0, "original", original))
        self._store.add_image(Picture(shown.id, point.method, point.snr_db, "received", received))

    def _row(self, point: _Point, transmission: Transmission, started: str, warm_up: bool) -> Row:
        key, delivery, scores = self._key(point), transmission.delivery, transmission.scores
        return Row(
            **key._asdict(),
            rho=transmission.rho,
            channel_uses=delivery.channel_uses,
            header_bits=delivery.header_bits,
            noise_digest=delivery.noise_digest,
            psnr_db=scores.psnr_db,
            ssim=scores.ssim,
            ms_ssim=scores.ms_ssim,
            lpips=scores.lpips,
            total_ms=transmission.total_ns / _NS_PER_MS,
            hops={hop: _hop_timing(times) for hop, times in delivery.hops.items()},
            load_ms=transmission.load_ns / _NS_PER_MS,
            codec_ms=transmission.codec_ns / _NS_PER_MS,
            score_ms=transmission.score_ns / _NS_PER_MS,
            started=started,
            warm_up=warm_up,
        )


def _hop_timing(times: Any) -> HopTiming:
    timing = times.timing
    return HopTiming(
        network_ms=times.network_ns / _NS_PER_MS,
        queue_ms=timing.queue_ns / _NS_PER_MS,
        deserialize_ms=timing.deserialize_ns / _NS_PER_MS,
        compute_ms=timing.compute_ns / _NS_PER_MS,
        serialize_ms=timing.serialize_ns / _NS_PER_MS,
        bytes_in=timing.bytes_in,
        bytes_out=timing.bytes_out,
    )
