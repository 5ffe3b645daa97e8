"""The results of a sweep in one SQLite file: a row per transmission, committed as soon as it is there.

A killed process loses no row that `Store.add` has returned from, and no row is added twice: a sweep resumes
by asking `Store.keys` what it has.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from jscc.wire.timing import HopRecord
from services.orchestrator.results import tables
from services.orchestrator.results.database import Database
from services.orchestrator.results.faults import StoreError, StoreLockedError
from services.orchestrator.results.rows import Event, ImageKey, Key, MethodInfo, Picture, Reference, ReferenceKey, Row

DATABASE = "results.sqlite"
"""File name of a run's database."""
_ORDER = ", ".join(dict.fromkeys(("method", "snr_db", "image", "draw", *Key._fields)))
_REFERENCE_ORDER = ", ".join(dict.fromkeys(("curve", "rho", "snr_db", *ReferenceKey._fields)))


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
    """The database of one run. Every call that writes commits; one thread at a time may use it.

    A missing file, and its folder, are made by the first call that writes: open the store first, check everything
    against what it holds, then write. A file that cannot be written is read from a copy.

    Args:
        path: the file.
        sweep: whether a sweep writes its results here: there may be one at a time, and it goes on in a database only
            if that says of every row which pixels it is of. Its calls wait no longer for a lock than an event loop
            can spare; give what must not fail to `database.when_free`.

    Raises:
        StoreError: the file cannot be used, here or in any call: it is no database, of a later version, damaged,
            locked, or its disk is full; one sentence that names the file and says what is kept and how to go on.
    """

    def __init__(self, path: Path, *, sweep: bool = False) -> None:
        """Open the file if it is there."""
        self.path, self._database = path, Database(path, sweep)
        self._unwritten: list[Event] = []

    def __enter__(self) -> Self:
        """Return the open store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file and end a sweep's hold of it; a second time does nothing."""
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._database.writing() as database:
            database.executemany("INSERT INTO events VALUES (?, ?)", self._unwritten)
            yield database
        self._unwritten.clear()

    def _named(self, kind: type[Any], names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
        with self._undamaged(f"one of {', '.join(names)}"):
            return tables.named(kind, names, values)

    @contextmanager
    def _undamaged(self, what: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise StoreError(
                f"{self.path} is damaged: {what} cannot be read ({error}): move it away or use another folder"
            ) from error

    def add(self, row: Row, pictures: Collection[Picture] = ()) -> bool:
        """Commit a row and pictures of it, unless a row with its key is there; pictures that are there stay.

        Returns:
            True if the row is new.

        Raises:
            StoreError: also for a value of the wrong type, or NaN where one is needed; names the column.
        """
        with self._writing() as database:
            number = _insert(database, "results", row, tables.ROW_COLUMNS, Key._fields)
            if number is not None:
                marks = _marks(2 + len(tables.HOP_COLUMNS))
                hops = [(number, at, *tables.cells(hop, tables.HOP_COLUMNS)) for at, hop in enumerate(row.hops)]
                database.executemany(f"INSERT INTO hops VALUES ({marks})", hops)
            for picture in pictures:
                _add_picture(database, picture)
        return number is not None

    def keys(self) -> set[Key]:
        """What has been done."""
        found = self._database.select(f"SELECT {', '.join(Key._fields)} FROM results")
        return {Key(**self._named(Key, Key._fields, values)) for values in found}

    def rows(self) -> list[Row]:
        """Every row, ordered by method, SNR, image and draw, whatever the order in which they came."""
        names = ", ".join(tables.HOP_COLUMNS)
        hops: dict[int, list[HopRecord]] = {}
        for number, *values in self._database.select(
            f"SELECT transmission, {names} FROM hops ORDER BY transmission, position"
        ):
            hops.setdefault(number, []).append(HopRecord(*values))
        found = self._database.select(f"SELECT id, {', '.join(tables.ROW_COLUMNS)} FROM results ORDER BY {_ORDER}")
        return [
            Row(**self._named(Row, tables.ROW_COLUMNS, values), hops=tuple(hops.get(number, ())))
            for number, *values in found
        ]

    def add_reference(self, reference: Reference, pictures: Collection[Picture] = ()) -> bool:
        """Commit a scored reference and pictures of it, unless it is there; all metrics replace PSNR alone.

        Returns:
            True if it was written.

        Raises:
            StoreError: see `add_references`.
        """
        return self.add_references([reference], pictures) == 1

    def add_references(self, references: Sequence[Reference], pictures: Collection[Picture] = ()) -> int:
        """Commit scored references and pictures of them, all or none; those that are there stay, see `add_reference`.

        Returns:
            How many were written.

        Raises:
            StoreError: also for a value of the wrong type; names the column.
        """
        names, key = Reference._fields, ReferenceKey._fields
        update = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
        conflict = f"UPDATE SET {update} WHERE computed.ssim IS NULL AND excluded.ssim IS NOT NULL"
        with self._writing() as database:
            added = [_insert(database, "computed", item, names, key, conflict) for item in references]
            for picture in pictures:
                _add_picture(database, picture)
        return sum(number is not None for number in added)

    def references(self) -> list[Reference]:
        """Every reference, ordered by curve, rho, SNR and image."""
        names = Reference._fields
        found = self._database.select(f"SELECT {', '.join(names)} FROM computed ORDER BY {_REFERENCE_ORDER}")
        return [Reference(**self._named(Reference, names, values)) for values in found]

    def pictures(self) -> list[Picture]:
        """Every picture: originals, then what transmissions and references made of them, in the order of these."""
        image, row, reference = ImageKey._fields, Key._fields, ReferenceKey._fields
        queries: list[tuple[type[Any], Sequence[str], str, str]] = [
            (ImageKey, image, "originals", ", ".join(image)),
            (Key, row, "pictures JOIN results ON id = transmission", _ORDER),
            (ReferenceKey, reference, "computed_pictures JOIN computed ON id = reference", _REFERENCE_ORDER),
        ]
        return [
            Picture(kind(**self._named(kind, names, values)), png)
            for kind, names, source, order in queries
            for png, *values in self._database.select(f"SELECT png, {', '.join(names)} FROM {source} ORDER BY {order}")
        ]

    def set_setting(self, key: str, value: object) -> None:
        """Keep a setting of the run, in place of an older value.

        Raises:
            TypeError: `value` cannot be written as JSON.
        """
        replace = "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        values = (key, json.dumps(value, ensure_ascii=False))
        with self._writing() as database:
            database.execute(f"INSERT INTO settings VALUES (?, ?) {replace}", values)

    def settings(self) -> dict[str, Any]:
        """Every setting, in the order of its first writing."""
        found = self._database.select("SELECT key, value FROM settings ORDER BY rowid")
        return {key: self._setting(key, text) for key, text in found}

    def _setting(self, key: str, text: str) -> Any:
        with self._undamaged(f"the setting '{key}'"):
            return json.loads(text)

    def add_event(self, text: str) -> None:
        """Keep what happened, with the time of this call; if the file is locked, with the next call that writes."""
        self._unwritten.append(Event(datetime.now(UTC).isoformat(timespec="seconds"), text))
        with suppress(StoreLockedError), self._writing():
            return

    def events(self) -> list[Event]:
        """Every event, oldest first."""
        return [Event(*values) for values in self._database.select("SELECT time, text FROM events ORDER BY rowid")]

    def set_method(self, info: MethodInfo) -> None:
        """Keep what is known of a method, in place of an older description of the same name."""
        values = tables.cells(info, MethodInfo._fields)
        with self._writing() as database:
            database.execute(f"INSERT OR REPLACE INTO methods VALUES ({_marks(len(values))})", values)

    def methods(self) -> list[MethodInfo]:
        """Every method that was swept, by name."""
        names = MethodInfo._fields
        found = self._database.select(f"SELECT {', '.join(names)} FROM methods ORDER BY name")
        return [MethodInfo(**self._named(MethodInfo, names, values)) for values in found]


def read(store: Store) -> Results:
    """Read everything that a report is made of."""
    methods = {info.name: info for info in store.methods()}
    rows, references, pictures = store.rows(), store.references(), store.pictures()
    return Results(rows, references, methods, pictures, store.settings(), store.events())


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _insert(
    database: sqlite3.Connection,
    table: str,
    record: object,
    names: Sequence[str],
    key: Sequence[str],
    conflict: str = "NOTHING",
) -> int | None:
    """Insert a record; return its number, or None if one with its key stays in its place."""
    # Not INSERT OR IGNORE: that would also drop a row with a missing value without a word.
    values = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({_marks(len(names))})"
    query = f"{values} ON CONFLICT ({', '.join(key)}) DO {conflict} RETURNING id"
    found = database.execute(query, tables.cells(record, names)).fetchall()
    return int(found[0][0]) if found else None


def _add_picture(database: sqlite3.Connection, picture: Picture) -> None:
    of = picture.of
    if isinstance(of, ImageKey):
        database.execute("INSERT INTO originals VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (*of, picture.png))
        return
    source, table = ("results", "pictures") if isinstance(of, Key) else ("computed", "computed_pictures")
    where = " AND ".join(f"{name} = ?" for name in of._fields)
    found = database.execute(f"SELECT id FROM {source} WHERE {where}", tables.cells(of, of._fields)).fetchone()
    if found is None:
        raise StoreError(f"a picture of what is not there: {of}")
    database.execute(f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT DO NOTHING", (*found, picture.png))
