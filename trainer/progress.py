"""How far long work is: a bar on a terminal, by rich where it is installed; elsewhere a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

INTERVAL_S = 10.0
"""Least time between two lines of a task."""
_REFRESHES_PER_S = 2


class Shown(Protocol):
    """Shows tasks; the first three methods are those of rich.progress.Progress."""

    def add_task(self, description: str, *, total: float | None) -> Any:
        """Begin a task of `total` of any unit; returns what names it."""

    def advance(self, task: Any, advance: float, /) -> None:
        """Count further units."""

    def remove_task(self, task: Any, /) -> None:
        """End a task."""

    def tell(self, task: Any, completed: float, description: str) -> None:
        """Tell how far a task is, and describe it anew."""

    def say(self, text: str) -> None:
        """Write a line that stays."""


@contextmanager
def shown() -> Iterator[Shown]:
    """Show tasks on standard error while the context lasts."""
    bars = _bars() if sys.stderr.isatty() else None
    if bars is None:
        yield Lines()
        return
    with bars:
        yield bars


@dataclass
class _Task:
    description: str
    total: float | None
    completed: float
    told_s: float


class Lines:
    """Tells how far tasks are, in lines on standard error."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        """Write a line of a task at most every interval_s."""
        self._interval_s = interval_s

    def add_task(self, description: str, *, total: float | None) -> Any:
        """Begin a task; its first line comes after the interval, so that short work says nothing."""
        return _Task(description, total, 0.0, time.monotonic())

    def advance(self, task: Any, advance: float, /) -> None:
        """Count further units."""
        self.tell(task, task.completed + advance, task.description)

    def remove_task(self, task: Any, /) -> None:
        """End a task."""

    def tell(self, task: Any, completed: float, description: str) -> None:
        """Tell how far a task is, if its last line is long enough ago."""
        task.completed, task.description = completed, description
        if time.monotonic() - task.told_s >= self._interval_s:
            task.told_s = time.monotonic()
            share = f"{100 * min(1.0, completed / task.total):5.1f} % " if task.total else ""
            self.say(f"{share}{description}")

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, file=sys.stderr, flush=True)


def _bars() -> Any:
    """Return bars by rich, None where it is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    except ImportError:
        return None

    class Bars(Progress):
        """Progress with the two methods more that are needed here."""

        def tell(self, task: Any, completed: float, description: str) -> None:
            self.update(task, completed=completed, description=description)

        def say(self, text: str) -> None:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    text = TextColumn("{task.description}", markup=False)
    columns = TaskProgressColumn(), BarColumn(20), TimeRemainingColumn(elapsed_when_finished=True), text
    return Bars(*columns, console=Console(stderr=True), refresh_per_second=_REFRESHES_PER_S)
