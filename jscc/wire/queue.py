"""Bounded queues: what waits, what is refused, and when the refused may come again."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from jscc import cancel
from jscc.cancel import Cancellation
from jscc.limits import MAX_QUEUE_BYTES
from jscc.wire.codec import Hop
from jscc.wire.errors import OverloadedError

FIRST_RETRY_S = 0.25
"""When to come again while nothing has been finished yet."""
MIN_RETRY_S, MAX_RETRY_S = 0.02, 60.0
_WEIGHT = 0.2
_MIB = 1024 * 1024

Work = Callable[[bytes, Hop], bytes]
"""Request bytes and time record in, answer bytes out."""


class Pace:
    """Running mean of how long a piece of work takes."""

    def __init__(self, width: int) -> None:
        """Count for `width` pieces of work at once."""
        self._width = width
        self._mean_s: float | None = None

    def add(self, duration_s: float) -> None:
        """Count a finished piece of work; the last five or so count most."""
        mean_s = duration_s if self._mean_s is None else self._mean_s
        self._mean_s = mean_s + _WEIGHT * (duration_s - mean_s)

    def overload(self, waiting: int, held_bytes: int = 0) -> OverloadedError:
        """Return the refusal of somebody before whom others wait: come again when it will be their turn.

        Args:
            waiting: how many wait.
            held_bytes: what they and those under way hold, where that is the reason.
        """
        wait_s = FIRST_RETRY_S if self._mean_s is None else (waiting + 1) * self._mean_s / self._width
        after_s = min(max(wait_s, MIN_RETRY_S), MAX_RETRY_S)
        what = f"{held_bytes / _MIB:.1f} MiB are held" if held_bytes else f"{waiting} requests wait"
        return OverloadedError(f"queue: {what} already; come again in {after_s:.2g} s", after_s)


class Gate:
    """Lets so many calls go on at once in the event loop; further ones wait in line, in order."""

    def __init__(self, width: int, max_queue: int, max_bytes: int = MAX_QUEUE_BYTES) -> None:
        """Let `width` calls through and max_queue wait, as long as all of them together hold at most max_bytes."""
        self._places = asyncio.Semaphore(width)
        self._max_queue, self._max_bytes = max_queue, max_bytes
        self._waiting = self._held_bytes = 0
        self._pace = Pace(width)

    @asynccontextmanager
    async def passage(self, size_bytes: int = 0) -> AsyncIterator[None]:
        """Wait for a place and hold it inside the block; whoever is cancelled leaves the line.

        Args:
            size_bytes: of the request.

        Raises:
            OverloadedError: max_queue calls wait already, or there are others and no room for so many bytes more.
        """
        if self._places.locked() and self._waiting >= self._max_queue:
            raise self._pace.overload(self._waiting)
        if self._held_bytes and self._held_bytes + size_bytes > self._max_bytes:
            raise self._pace.overload(self._waiting, self._held_bytes)
        self._held_bytes += size_bytes
        try:
            await self._wait()
            begun_s = time.monotonic()
            try:
                yield
                self._pace.add(time.monotonic() - begun_s)
            finally:
                self._places.release()
        finally:
            self._held_bytes -= size_bytes

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1


@dataclass(eq=False)
class _Entry:
    work: Work
    raw: bytes
    hop: Hop
    caller: Cancellation
    answer: "Future[bytes]" = field(default_factory=Future)
    names: Context = field(default_factory=copy_context)  # so that the thread's lines of the log are the request's


class ModelThread:
    """The one thread in which a service decodes, computes and encodes, so that the event loop stays free."""

    def __init__(self, max_queue: int, max_bytes: int = MAX_QUEUE_BYTES) -> None:
        """Start the thread; max_queue requests may wait, and with the one under way hold max_bytes."""
        self._pool = ThreadPoolExecutor(1, "model")
        self._max_queue, self._max_bytes, self._held_bytes = max_queue, max_bytes, 0
        self._line: deque[_Entry] = deque()
        self._is_busy = False
        self._lock = threading.Lock()
        self._pace = Pace(1)

    async def run(self, work: Work, raw: bytes, hop: Hop, caller: Cancellation) -> bytes:
        """Run one request; the wait for the thread is its queue time.

        When this is cancelled, the caller has left: a request that waits is forgotten, one under way ends at its next
        step.

        Raises:
            OverloadedError: max_queue requests wait already, or there are others and no room for so many bytes more.
            AbandonedError: the caller's deadline passed.
        """
        entry = _Entry(work, raw, hop, caller)
        with self._lock:
            if len(self._line) + self._is_busy > self._max_queue:
                raise self._pace.overload(len(self._line))
            if self._held_bytes and self._held_bytes + len(raw) > self._max_bytes:
                raise self._pace.overload(len(self._line), self._held_bytes)
            self._line.append(entry)
            self._held_bytes += len(raw)
        self._pool.submit(self._next)
        try:
            return await asyncio.wrap_future(entry.answer)
        except asyncio.CancelledError:
            caller.cancel()
            self._forget(entry)
            raise

    async def call(self, function: Callable[[], None]) -> None:
        """Run something that is no request, such as the warm-up."""
        await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Let the thread end after the work under way."""
        self._pool.shutdown(wait=True)

    def _forget(self, entry: _Entry) -> None:
        with self._lock:
            if entry in self._line:
                self._line.remove(entry)
                self._held_bytes -= len(entry.raw)

    def _next(self) -> None:
        """Answer the first in line, if it has not been forgotten; to compute several at once, take more here."""
        with self._lock:
            if not self._line:
                return
            entry = self._line.popleft()
            self._is_busy = True
        if not entry.answer.set_running_or_notify_cancel():
            self._free(entry)
            return
        try:
            answer = entry.names.run(self._timed, entry)
        except BaseException as error:  # whatever it is, it is the caller's, and the thread goes on
            self._free(entry)
            entry.answer.set_exception(error)
        else:
            self._free(entry)  # before the caller can come again
            entry.answer.set_result(answer)

    def _free(self, entry: _Entry) -> None:
        with self._lock:
            self._is_busy = False
            self._held_bytes -= len(entry.raw)

    def _timed(self, entry: _Entry) -> bytes:
        begun_ns = time.perf_counter_ns()
        entry.hop.lap("queue", begun_ns)
        with cancel.working_for(entry.caller):
            cancel.check()
            answer = entry.work(entry.raw, entry.hop)
        self._pace.add((time.perf_counter_ns() - begun_ns) / 1e9)
        return answer
