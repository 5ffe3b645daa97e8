"""The file of a run's results: opened, made, locked and copied, and every fault of it told in one sentence."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from services.orchestrator.results import migrate
from services.orchestrator.results.faults import StoreError, StoreLockedError, check_place, one_sentence
from services.orchestrator.results.lock import SweepLock

BRIEF_WAIT_S = 0.1
"""How long a call of a sweep's database may wait for a lock: no more than its event loop can spare."""
LONG_WAIT_S = 30.0
"""The same where nothing else waits."""
LOCK_PATIENCE_S = 60.0
"""How long `when_free` tries by default."""

T = TypeVar("T")


class Database:
    """A file with the tables of a run; see `Store` for what its arguments mean and what it raises."""

    def __init__(self, path: Path, sweep: bool) -> None:
        """Open the file if it is there."""
        self.path, self._is_sweep, self._is_copy = path, sweep, False
        with ExitStack() as opened, one_sentence(path):
            self._is_new = not path.exists()
            if self._is_new:
                check_place(path)
            self._connection = _new_tables(opened) if self._is_new else self._open(opened)
            self._closing = opened.pop_all()

    def close(self) -> None:
        """Close the file and give a sweep's lock back; a second time does nothing."""
        with one_sentence(self.path):
            self._closing.close()

    def select(self, query: str) -> list[tuple[Any, ...]]:
        """Return every line that a query finds."""
        with one_sentence(self.path):
            return self._connection.execute(query).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all that is written inside is committed, or nothing."""
        with one_sentence(self.path):
            if self._is_copy:
                raise StoreError(f"{self.path} cannot be written: check the rights of the file and its folder")
            if self._is_new:
                self._make()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _open(self, opened: ExitStack) -> sqlite3.Connection:
        if not self.path.is_file():
            kind = "a folder" if self.path.is_dir() else "no plain file"
            raise StoreError(f"{self.path} is {kind} where a results database should be: move it away")
        if self._is_sweep:
            opened.callback(SweepLock(self.path).close)
        path = self.path
        self._is_copy = not _is_writable(path)
        if self._is_copy:
            path = _copy(path, Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="jscc-results-"))))
        return self._connect(path, "rw", opened)

    def _connect(self, path: Path, mode: str, opened: ExitStack) -> sqlite3.Connection:
        wait_s = BRIEF_WAIT_S if self._is_sweep else LONG_WAIT_S
        address = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=wait_s, check_same_thread=False)
        opened.callback(connection.close)
        if self._is_sweep:
            migrate.check_resumable(connection, self.path)
        migrate.prepare(connection, self.path)
        # A commit to the write-ahead log is in the system's hands: a kill loses none, only a power cut may.
        # FULL would rule that out too, for a disk flush in every transmission.
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")
        return connection

    def _make(self) -> None:
        with ExitStack() as opened:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_sweep:
                opened.callback(SweepLock(self.path).close)
            if self.path.exists():
                raise StoreError(f"{self.path} has just been made by another command: run the same command again")
            connection = self._connect(self.path, "rwc", opened)
            self._closing.close()
            self._connection, self._closing, self._is_new = connection, opened.pop_all(), False


async def when_free(
    write: Callable[[], T], patience_s: float = LOCK_PATIENCE_S, say: Callable[[str], None] = lambda _: None
) -> T:
    """Call what writes to a store until no other program holds the file, and leave the event loop free in between.

    Args:
        write: such as `lambda: store.add(row)`.
        patience_s: how long.
        say: called once if it has to wait.

    Raises:
        StoreLockedError: it is locked for longer than that.
        StoreError: something else is wrong.
    """
    deadline_s = time.monotonic() + patience_s
    said = False
    while True:
        try:
            return write()
        except StoreLockedError as error:
            if time.monotonic() >= deadline_s:
                raise
            if not said:
                say(f"{error}; waiting up to {patience_s:g} s")
            said = True
        await asyncio.sleep(BRIEF_WAIT_S)


def _new_tables(opened: ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    opened.callback(connection.close)
    migrate.prepare(connection, Path())
    return connection


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)


def _copy(path: Path, folder: Path) -> Path:
    for source in (path, Path(f"{path}-wal")):  # rows that are not in the file itself yet
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    return folder / path.name
