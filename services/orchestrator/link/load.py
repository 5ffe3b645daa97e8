"""Load on a link: transmissions at a given concurrency or at given times, and when each of them came back.

Closed loop: so many callers, each of whom sends again as soon as its image is back; a slow link is asked less often.
Open loop: images are due at times that do not depend on the link, as those of a camera or of many users are. Latency is
counted from when an image was due and not from when it was sent, so that a link that falls behind cannot hide it.
What is due while MOST_UNDER_WAY are under way is shed: it is counted and never sent.

Source: G. Tene, "How NOT to measure latency", 2013, on coordinated omission.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jscc.wire.errors import LinkError
from jscc.wire.timing import HopRecord

MOST_UNDER_WAY = 64
ARRIVALS = ("poisson", "constant")
LATE_S = 1e-3
"""How much later than it is due an image may be sent before it counts as late."""


@dataclass(frozen=True)
class Sample:
    """One transmission; times in seconds of one monotonic clock.

    Attributes:
        due_s: when it was to be sent; in a closed loop, when it was.
        sent_s: when it was sent; None where it was shed.
        done_s: when it was back, or had failed.
        hops: records of its hops; none where it failed or was shed.
        failure: status of the call that failed, "" for none.
    """

    due_s: float
    sent_s: float | None
    done_s: float
    hops: tuple[HopRecord, ...] = ()
    failure: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the image arrived."""
        return self.sent_s is not None and not self.failure

    @property
    def latency_s(self) -> float:
        """From when it was due until it was back."""
        return self.done_s - self.due_s

    @property
    def is_late(self) -> bool:
        """Whether it was sent later than it was due."""
        return self.sent_s is not None and self.sent_s - self.due_s > LATE_S


class Clock(Protocol):
    """A monotonic clock that one can wait for."""

    def now_s(self) -> float:
        """Return the time in seconds."""

    async def until(self, at_s: float) -> None:
        """Return when that time has come, at once if it has passed."""


class WallClock:
    """The event loop's own."""

    def now_s(self) -> float:
        """Return the time in seconds."""
        return asyncio.get_running_loop().time()

    async def until(self, at_s: float) -> None:
        """Sleep until that time."""
        await asyncio.sleep(max(0.0, at_s - self.now_s()))


Send = Callable[[int], Awaitable[tuple[HopRecord, ...]]]
"""Sends the image of a number and returns the records of its hops; raises LinkError where a hop failed."""


def times_s(arrivals: str, rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Return when images are due, from 0 to `seconds`.

    Args:
        arrivals: "poisson" for independent exponential gaps, "constant" for equal ones.
        rate: images a second on average.
        seconds: how long.
        seed: of the gaps.

    Raises:
        ValueError: there are no such arrivals.
    """
    if arrivals not in ARRIVALS:
        raise ValueError(f"arrivals: must be one of {', '.join(ARRIVALS)}, got {arrivals[:100]!r}")
    if arrivals == "constant":
        return [number / rate for number in range(round(seconds * rate))]
    gaps, found = random.Random(seed), list[float]()
    at_s = gaps.expovariate(rate)
    while at_s < seconds:
        found.append(at_s)
        at_s += gaps.expovariate(rate)
    return found


async def closed_loop(send: Send, callers: int, seconds: float, clock: Clock) -> list[Sample]:
    """Let so many callers send one image after the other until the time is over; what is under way then is finished."""
    numbers, samples, end_s = iter(range(2**31)), list[Sample](), clock.now_s() + seconds

    async def call() -> None:
        while (due_s := clock.now_s()) < end_s:
            samples.append(await _sample(send, next(numbers), due_s, clock))

    await asyncio.gather(*(call() for _ in range(callers)))
    return samples


async def open_loop(
    send: Send, due_s: Sequence[float], clock: Clock, most_under_way: int = MOST_UNDER_WAY
) -> list[Sample]:
    """Send an image at each of these times, in seconds from now, rising; return when all are back.

    Args:
        send: called with the number of each image.
        due_s: the times.
        clock: that they are of.
        most_under_way: transmissions beyond which what is due is shed.
    """
    begun_s, under_way, shed = clock.now_s(), set[asyncio.Task[Sample]](), list[Sample]()
    sent: list[asyncio.Task[Sample]] = []
    for number, after_s in enumerate(due_s):
        await clock.until(begun_s + after_s)
        if len(under_way) >= most_under_way:
            shed.append(Sample(begun_s + after_s, None, clock.now_s()))
            continue
        task = asyncio.create_task(_sample(send, number, begun_s + after_s, clock))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        sent.append(task)
    return sorted([*await asyncio.gather(*sent), *shed], key=lambda sample: sample.due_s)


async def _sample(send: Send, number: int, due_s: float, clock: Clock) -> Sample:
    sent_s = clock.now_s()
    try:
        hops = await send(number)
    except LinkError as error:
        return Sample(due_s, sent_s, clock.now_s(), failure=error.code)
    return Sample(due_s, sent_s, clock.now_s(), hops)
