"""Waiting that is never silent: what is waited for, since when, and why it is not there."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Say = Callable[[str], None]

SILENCE_S = 2.0
"""Longest wait without a word."""
MAX_PAUSE_S = 60.0
"""Longest time between two words."""


class Notice:
    """Says what is waited for: after SILENCE_S, then each time the wait has doubled, at least every MAX_PAUSE_S."""

    def __init__(self, what: str | Callable[[], str], say: Say) -> None:
        """Begin to wait now.

        Args:
            what: is waited for, as in "the decoder to serve"; may be asked anew each time.
            say: called with every line.
        """
        self._what, self._say = what, say
        self._begun_s, self._due_s = time.monotonic(), SILENCE_S

    @property
    def waited_s(self) -> float:
        """How long the wait lasts."""
        return time.monotonic() - self._begun_s

    @property
    def left_s(self) -> float:
        """Time until something should be said, at least 0."""
        return max(0.0, self._due_s - self.waited_s)

    def tick(self) -> None:
        """Say it if it is time to."""
        if self.left_s > 0:
            return
        what = self._what if isinstance(self._what, str) else self._what()
        self._say(f"waiting for {what} ({self.waited_s:.0f} s)")
        self._due_s = self.waited_s + min(self.waited_s, MAX_PAUSE_S)


@dataclass
class Step:
    """Where work of several steps is; whoever waits for the work tells it.

    Attributes:
        what: is waited for, as in "the decoder at 127.0.0.1:50053 to decode"; what is worked on comes after it.
    """

    what: str = ""


async def patiently(work: Awaitable[T], what: str | Callable[[], str], say: Say) -> T:
    """Await work; while it lasts, say what is waited for. Cancelled, it cancels the work."""
    task, notice = asyncio.ensure_future(work), Notice(what, say)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=notice.left_s)
            if not task.done():
                notice.tick()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
