"""What can go wrong with a run's database, each in one sentence: the file, what is kept, and how to go on."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = "what is finished is kept"
_SENTENCES = {
    "SQLITE_BUSY": f"{{path}} is locked by another program; {KEPT}: end that program and run the same command again",
    "SQLITE_FULL": f"{{path}}: its disk is full; {KEPT}: make room, and the same command resumes",
    "SQLITE_IOERR": f"{{path}}: its disk fails or is full ({{error}}); {KEPT}: make room, and the same command resumes",
    "SQLITE_CORRUPT": "{path} is damaged ({error}): move it away or use another folder; `sqlite3 {path} .recover` shows"
    " the rows that can be saved",
    "SQLITE_NOTADB": "{path} cannot be read as a results database ({error}): move it away or use another folder",
    "SQLITE_READONLY": f"{{path}} cannot be written ({{error}}); {KEPT}: check the rights of the file and its folder",
    "SQLITE_CANTOPEN": f"{{path}} cannot be opened ({{error}}); {KEPT}: check the rights of the file and its folder",
    "SQLITE_CONSTRAINT": f"{{path}} does not take a value ({{error}}); {KEPT}",
}
"""By the beginning of SQLite's name of an error."""


class StoreError(ValueError):
    """A database that cannot be used, or that does not take what it is given; the text says how to go on."""


class StoreLockedError(StoreError):
    """Another program holds the database; the same call may succeed later."""


@contextmanager
def one_sentence(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise inside into a `StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        known = [text for start, text in _SENTENCES.items() if name.startswith(start)]
        text = known[0] if known else f"{{path}}: {{error}}; {KEPT}"
        kind = StoreLockedError if name.startswith("SQLITE_BUSY") else StoreError
        raise kind(text.format(path=path, error=error)) from error
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror or error}; {KEPT}") from error
    except UnicodeError as error:
        raise StoreError(f"{path} takes only names that are Unicode ({error})") from error


def check_place(path: Path) -> None:
    """Check that a database can be made.

    Args:
        path: of the file, in a folder that may have to be made too.

    Raises:
        StoreError: what stands in its way.
    """
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir():
        raise StoreError(f"{there} is a file where the folder of {path} should be: use another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StoreError(f"{there} cannot be written: check its rights or use another folder")
