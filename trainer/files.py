"""Small files that are there whole or not at all, and whose faults are named."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError of what is inside name a file: those of a full disk name none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror or error})", str(path)) from error


def replace(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON.

    Raises:
        OSError: it cannot be written; names it.
    """
    with naming(path):
        replace(path, f"{json.dumps(value, indent=2)}\n".encode())


def read_json(path: Path, absent: Any) -> Any:
    """Read a file that write_json wrote; `absent` where there is none, of whose kind it must be.

    Raises:
        ValueError: it is damaged; names it.
    """
    if not path.is_file():
        return absent
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: is damaged ({error}); delete it to go on without what it records") from error
    if not isinstance(value, type(absent)):
        raise ValueError(f"{path}: is damaged (no {type(absent).__name__}); delete it to go on without what it records")
    return value
