"""Cancellation: work that nobody waits for any more ends at its next step, block or image.

Whoever starts work for a caller says so with `working_for`; whatever takes long calls `check` between its steps.
Without a caller, as in training, `check` does nothing.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class AbandonedError(Exception):
    """Nobody waits for the work any more.

    Attributes:
        is_late: whether the deadline has passed; otherwise the caller has left.
    """

    def __init__(self, is_late: bool) -> None:
        """Say why."""
        super().__init__("the deadline has passed" if is_late else "the caller has left")
        self.is_late = is_late


class Cancellation:
    """Whether a caller still waits; one per request, shared by threads."""

    def __init__(self, timeout_s: float | None = None) -> None:
        """Let the caller wait timeout_s seconds from now; for ever when it is None."""
        self._deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._has_left = threading.Event()

    def cancel(self) -> None:
        """Say that the caller has left."""
        self._has_left.set()

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self._deadline_s is not None and time.monotonic() >= self._deadline_s

    @property
    def is_waiting(self) -> bool:
        """Whether the caller still waits."""
        return not self._has_left.is_set() and not self.is_late


_callers: ContextVar[tuple[Cancellation, ...]] = ContextVar("callers", default=())


@contextmanager
def working_for(*callers: Cancellation) -> Iterator[None]:
    """Let `check` look after these callers of the work inside the block."""
    token = _callers.set(callers)
    try:
        yield
    finally:
        _callers.reset(token)


def check() -> None:
    """Go on if there is no caller or one of them still waits.

    Raises:
        AbandonedError: none of the callers waits any more.
    """
    callers = _callers.get()
    if callers and not any(caller.is_waiting for caller in callers):
        raise AbandonedError(all(caller.is_late for caller in callers))
