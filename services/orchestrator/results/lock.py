"""One sweep at a time in a folder: a lock that ends with its process, however that ends."""

import fcntl
import os
from pathlib import Path

from services.orchestrator.results.faults import StoreError


class SweepLock:
    """Holds the lock of a database until `close`; its file stays and means nothing by itself."""

    def __init__(self, database: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: another sweep has it; names its process.
            OSError: the file of the lock cannot be made.
        """
        self._file = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(database)
        except BaseException:
            self.close()
            raise

    def _take(self, database: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._file, 20).decode(errors="replace").strip()
            raise StoreError(
                f"{database.parent}: another sweep writes its results there (process {pid or 'unknown'}): wait until it"
                " has ended, or use another folder"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._file)
