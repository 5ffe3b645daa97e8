"""One transmission from file to score, accounted for to the last microsecond."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from jscc.data import lpips_backbone
from jscc.images import pixel_digest, read_image
from jscc.quality.lpips import Lpips
from jscc.quality.scores import Scorer, Scores
from jscc.signals import bandwidth_ratio
from jscc.wire.codec import Array
from services.orchestrator.link.frames import FrameMemory
from services.orchestrator.link.job import Job
from services.orchestrator.link.star import Delivery, Star
from services.orchestrator.link.vigil import Vigil
from services.orchestrator.link.waiting import Step

T = TypeVar("T")


@dataclass(frozen=True)
class Transmission:
    """One finished transmission.

    Attributes:
        job: what was asked for.
        original: uint8 [H, W, 3] as read.
        delivery: what came out of the link.
        scores: quality of the received image.
        started: ISO 8601 in UTC.
        load_ns: reading the image.
        score_ns: scoring.
        total_ns: from before reading to after scoring.
    """

    job: Job
    original: Array
    delivery: Delivery
    scores: Scores
    started: str
    load_ns: int
    score_ns: int
    total_ns: int

    @property
    def image_digest(self) -> str:
        """Of the original's pixels, 16 hex digits."""
        return pixel_digest(self.original)

    @property
    def rho(self) -> float:
        """Real channel uses per source sample, padding included."""
        height_px, width_px = self.original.shape[:2]
        return bandwidth_ratio(self.delivery.ledger.channel_uses, height_px, width_px)


@dataclass
class Stopwatch:
    """Durations of the orchestrator's own work, in nanoseconds."""

    last_ns: int = field(default_factory=time.perf_counter_ns)

    def lap_ns(self) -> int:
        """Return the time since the last lap."""
        now = time.perf_counter_ns()
        lap, self.last_ns = now - self.last_ns, now
        return lap


class Engine:
    """Sends images through a link and scores them; several may be under way."""

    def __init__(self, link: Star, scorer: Scorer, workers: int, vigil: Vigil | None = None) -> None:
        """Use `link` and `scorer`; read and score in `workers` threads; notice who never answers."""
        self.link = link
        self._vigil = vigil
        self.scorer = scorer
        self._pool = ThreadPoolExecutor(workers, "score")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True)

    async def warm_up(self, source: Path) -> None:
        """Score an image against itself, so that the first transmission is scored as fast as the others."""
        pixels = await self._in_thread(lambda: read_image(source))
        await self._in_thread(lambda: self.scorer.score(pixels, pixels))

    async def transmit(
        self, job: Job, source: Path | bytes, step: Step | None = None, frames: FrameMemory | None = None
    ) -> Transmission:
        """Read, send and score one image.

        Args:
            job: what to do with it.
            source: the image file or its bytes.
            step: told what is under way.
            frames: what was encoded for other draws, see `Star.send`.

        Raises:
            ImageError: the file is no image within the limits.
            RouteError: the method is not served.
            LinkError: a hop failed.
        """
        step = step or Step()
        step.what = "the reading of"
        watch, started = Stopwatch(), datetime.now(UTC).isoformat(timespec="milliseconds")
        begun_ns = watch.last_ns
        original = await self._in_thread(lambda: read_image(source))
        load_ns = watch.lap_ns()
        sending = self.link.send(job, original, step, frames)
        delivery = await (self._vigil.over(sending) if self._vigil else sending)
        watch.lap_ns()
        step.what = "the scoring of"
        scores = await self._in_thread(lambda: self.scorer.score(original, delivery.pixels))
        score_ns = watch.lap_ns()
        return Transmission(job, original, delivery, scores, started, load_ns, score_ns, watch.last_ns - begun_ns)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


def load_scorer(say: Callable[[str], None]) -> Scorer:
    """Load what LPIPS needs; without its weights, say so in one line and score without it."""
    backbone = lpips_backbone()
    if backbone.note:
        say(backbone.note)
    return Scorer(Lpips(backbone.path) if backbone.path else None)
