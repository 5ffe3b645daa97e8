"""How far a run is: bars in a terminal, lines now and then elsewhere, and the same lines in the run's log file."""

import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from services.orchestrator.cli import terminal
from services.orchestrator.sweep.estimate import Line

LINE_EVERY_S = 10.0
"""How often a line tells the progress where no bar does."""
LOG = "progress.log"


class SweepBars:
    """Watches a run; what it says stands above the bars."""

    def __init__(self, console: Console, folder: Path) -> None:
        """Show the bars on `console` inside the context; the log goes into `folder` once that is there."""
        name, left = TextColumn("{task.description}"), TextColumn("{task.fields[left]}")
        self._progress = Progress(
            name,
            BarColumn(),
            MofNCompleteColumn(),
            left,
            console=console,
            refresh_per_second=2,
            disable=not console.is_terminal,
        )
        self._console, self._log = console, folder / LOG
        self._tasks: dict[str, TaskID] = {}
        self._told_s: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave them as they are."""
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars, and keep it in the log."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._keep(line)

    def estimate(self, lines: Iterable[Line]) -> None:
        """Print what is left to do above the bars."""
        self._console.print(terminal.estimate_table(lines))

    def advance(self, what: str, done: int, total: int, left_s: float) -> None:
        """Move the bar of a part of the run; where there is none, print a line now and then."""
        left = "" if math.isnan(left_s) else f"{int(left_s) // 60}:{int(left_s) % 60:02d} left"
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, left="")
        self._progress.update(self._tasks[what], completed=done, left=left)
        if done < total and time.monotonic() - self._told_s.get(what, -math.inf) < LINE_EVERY_S:
            return
        self._told_s[what] = time.monotonic()
        line = f"{what}: {done} of {total} {left}".rstrip()
        self._keep(line)
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _keep(self, line: str) -> None:
        if self._log.parent.is_dir():
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")
