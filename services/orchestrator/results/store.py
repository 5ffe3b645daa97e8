"""The results of a sweep in one SQLite file: a row per transmission, committed as soon as it is there.

A killed process loses no row that `Store.add` has returned from, and no row is added twice: a sweep resumes
by asking `Store.keys` what it has.
"""

import csv
import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from services.orchestrator.results.rows import (
    COLUMNS,
    HOPS,
    REFERENCE_KEY,
    SCHEMA,
    Event,
    HopTiming,
    Key,
    MethodInfo,
    Picture,
    Reference,
    Row,
    flat,
    row_of,
)

__all__ = [
    "COLUMNS",
    "HOPS",
    "Event",
    "HopTiming",
    "Key",
    "MethodInfo",
    "Picture",
    "Reference",
    "Results",
    "Row",
    "Store",
    "read",
]

DATABASE = "results.sqlite"
"""File name of a run's database."""
_ORDER = ", ".join(dict.fromkeys(("method", "snr_db", "image", "draw", *Key._fields)))


@dataclass(frozen=True)
class Results:
    """What a run's database holds, as `Store` returns it; the methods by their served name."""

    rows: Sequence[Row] = ()
    references: Sequence[Reference] = ()
    methods: Mapping[str, MethodInfo] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Event] = ()


class Store:
    """The database of one run. Every call that writes commits; use it from the thread that made it.

    Args:
        path: the file; made if missing, in a folder that exists.

    Raises:
        ValueError: no database, or one with other tables or columns than these; the file is left unchanged.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        self.path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        """Return the open store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._database.close()

    def _prepare(self) -> None:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        try:
            found = dict(self._database.execute(query))
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} cannot be read as a results database: {error}") from error
        differing = [name for name, statement in found.items() if statement != SCHEMA.get(name)]
        if differing:
            raise ValueError(f"{self.path} has another schema than this version's (see: {', '.join(differing)})")
        missing = [statement for name, statement in SCHEMA.items() if name not in found]
        if missing:  # a new file, or one that an earlier version made with fewer tables
            self._database.executescript(f"BEGIN IMMEDIATE; {'; '.join(missing)}; COMMIT")
        # A commit to the write-ahead log is in the system's hands: a kill loses none, only a power cut may.
        # FULL would rule that out too, for a disk flush in every transmission.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")

    def _insert(self, table: str, values: Collection[object], key: Collection[str]) -> bool:
        # Not INSERT OR IGNORE: that would also drop a row with a missing value without a word.
        marks = ", ".join("?" * len(values))
        conflict = f"ON CONFLICT ({', '.join(key)}) DO NOTHING"
        cursor = self._database.execute(f"INSERT INTO {table} VALUES ({marks}) {conflict}", tuple(values))
        return cursor.rowcount == 1

    def _select(self, columns: str, table: str, order: str = "rowid") -> list[tuple[Any, ...]]:
        return self._database.execute(f"SELECT {columns} FROM {table} ORDER BY {order}").fetchall()

    def add(self, row: Row) -> bool:
        """Commit a row, unless one with its key is there.

        Returns:
            True if the row is new.

        Raises:
            sqlite3.IntegrityError: a value of the wrong type, or NaN where one is needed; names the column.
        """
        return self._insert("results", flat(row), Key._fields)

    def keys(self) -> set[Key]:
        """What has been done."""
        return {Key(*values) for values in self._select(", ".join(Key._fields), "results")}

    def rows(self) -> list[Row]:
        """Every row, ordered by method, SNR, image and draw, whatever the order in which they came."""
        return [row_of(values) for values in self._select(", ".join(COLUMNS), "results", _ORDER)]

    def write_csv(self, path: Path) -> None:
        """Write every row in the order of `rows`, under a line with `COLUMNS`; NULL is an empty cell."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self._select(", ".join(COLUMNS), "results", _ORDER))

    def set_setting(self, key: str, value: object) -> None:
        """Keep a setting of the run, in place of an older value.

        Raises:
            TypeError: `value` cannot be written as JSON.
        """
        replace = "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        values = (key, json.dumps(value, ensure_ascii=False))
        self._database.execute(f"INSERT INTO settings VALUES (?, ?) {replace}", values)

    def settings(self) -> dict[str, Any]:
        """Every setting, in the order of its first writing."""
        return {key: json.loads(text) for key, text in self._select("*", "settings")}

    def add_event(self, text: str) -> None:
        """Keep what happened, with the time of this call."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        self._database.execute("INSERT INTO events VALUES (?, ?)", (time, text))

    def events(self) -> list[Event]:
        """Every event, oldest first."""
        return [Event(*values) for values in self._select("*", "events")]

    def add_image(self, picture: Picture) -> bool:
        """Keep a picture, unless this one is there; returns True if it is new."""
        return self._insert("pictures", picture, ("image", "method", "snr_db", "kind"))

    def pictures(self) -> list[Picture]:
        """Every picture, ordered by image, method and SNR."""
        return [Picture(*values) for values in self._select("*", "pictures", "image, method, snr_db, kind")]

    def add_reference(self, reference: Reference) -> bool:
        """Commit a scored reference, unless this one is there; one with all metrics replaces one with PSNR alone.

        Returns:
            True if it was written.

        Raises:
            sqlite3.IntegrityError: a value of the wrong type; names the column.
        """
        names = Reference._fields
        update = ", ".join(f"{name} = excluded.{name}" for name in names if name not in REFERENCE_KEY)
        cursor = self._database.execute(
            f"INSERT INTO computed VALUES ({', '.join('?' * len(names))}) ON CONFLICT ({', '.join(REFERENCE_KEY)}) "
            f"DO UPDATE SET {update} WHERE computed.ssim IS NULL AND excluded.ssim IS NOT NULL",
            reference,
        )
        return cursor.rowcount == 1

    def references(self) -> list[Reference]:
        """Every reference, ordered by curve, rho, SNR and image."""
        found = self._select("*", "computed", "curve, rho, snr_db, dataset, image")
        return [Reference(*values)._replace(delivered=bool(values[6])) for values in found]

    def set_method(self, info: MethodInfo) -> None:
        """Keep what is known of a method, in place of an older description of the same name."""
        marks = ", ".join("?" * len(info))
        self._database.execute(f"INSERT OR REPLACE INTO methods VALUES ({marks})", info)

    def methods(self) -> list[MethodInfo]:
        """Every method that was swept, by name."""
        return [MethodInfo(*values) for values in self._select("*", "methods", "name")]


def read(store: Store) -> Results:
    """Read everything that a report is made of."""
    methods = {info.name: info for info in store.methods()}
    rows, references, pictures = store.rows(), store.references(), store.pictures()
    return Results(rows, references, methods, pictures, store.settings(), store.events())
