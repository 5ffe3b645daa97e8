"""The results of a sweep in one SQLite file: a row per transmission, committed as soon as it is there.

A killed process loses no row that `Store.add` has returned from, and no row is added twice: a sweep resumes
by asking `Store.keys` what it has.
"""

import csv
import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_type_hints

HOPS = ("encoder", "channel", "decoder")
STAGES = ("network", "queue", "deserialize", "compute", "serialize")

_SQL_TYPES: Mapping[Any, str] = {
    str: "TEXT NOT NULL",
    int: "INTEGER NOT NULL",
    bool: "INTEGER NOT NULL",
    float: "REAL NOT NULL",
    float | None: "REAL",
}


class Key(NamedTuple):
    """What tells one transmission from every other; the fields are those of `Row`."""

    dataset: str
    image: str
    method: str
    checkpoint: str
    channel: str
    snr_db: float
    draw: int
    seed: int
    options: str


@dataclass(frozen=True)
class HopTiming:
    """Where the time of one hop went, in milliseconds, and the bytes of its request and its answer."""

    network_ms: float
    queue_ms: float
    deserialize_ms: float
    compute_ms: float
    serialize_ms: float
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class Row:
    """One finished transmission.

    Attributes:
        dataset: name of the data set that was really used.
        checkpoint: digest of the weights; "" for a method without any.
        draw: which noise realisation, from 0.
        seed: of the noise, derived from the root seed, image, SNR and draw; 0 to 2**63 - 1.
        rho: real symbols sent per source value, k / (3 H W).
        channel_uses: real symbols sent, k.
        header_bits: side information sent next to the symbols.
        psnr_db, ssim, ms_ssim, lpips: quality; None (NULL) where not measured. Of LPIPS, less is better.
        total_ms: the orchestrator's clock from loading the image to the last score.
        load_ms, codec_ms, score_ms: its own work: reading the image, packing and unpacking messages, scoring.
        options: decode options as JSON text; "" for none.
        started: ISO 8601.
        warm_up: True if the latencies are not to be counted.

    Raises:
        ValueError: if `hops` does not have exactly `HOPS`.
    """

    dataset: str
    image: str
    method: str
    checkpoint: str
    channel: str
    snr_db: float
    draw: int
    seed: int
    rho: float
    channel_uses: int
    header_bits: int
    noise_digest: str
    psnr_db: float | None
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None
    total_ms: float
    hops: Mapping[str, HopTiming]
    load_ms: float
    codec_ms: float
    score_ms: float
    options: str
    started: str
    warm_up: bool

    def __post_init__(self) -> None:
        """Refuse a missing or an unknown hop."""
        if set(self.hops) != set(HOPS):
            raise ValueError(f"hops: need {', '.join(HOPS)}, not {', '.join(self.hops) or 'nothing'}")

    @property
    def key(self) -> Key:
        """The primary key of the row."""
        return Key(*(getattr(self, name) for name in Key._fields))

    def parts_ms(self) -> dict[str, float]:
        """Every part of `total_ms` by its column name, in the order of the columns."""
        parts: dict[str, float] = {}
        for hop in HOPS:
            parts |= {f"{hop}_{stage}_ms": getattr(self.hops[hop], f"{stage}_ms") for stage in STAGES}
        return parts | {"load_ms": self.load_ms, "codec_ms": self.codec_ms, "score_ms": self.score_ms}


class Event(NamedTuple):
    """Something that happened to a run: `time` is ISO 8601 in UTC."""

    time: str
    text: str


PictureKind = Literal["original", "received"]


class Picture(NamedTuple):
    """A picture for the strip of visual comparison; method and SNR of an original mean nothing."""

    image: str
    method: str
    snr_db: float
    kind: PictureKind
    png: bytes


def _column_types() -> dict[str, str]:
    hop_types = get_type_hints(HopTiming)
    columns: dict[str, str] = {}
    for name, kind in get_type_hints(Row).items():
        if name == "hops":
            columns |= {f"{hop}_{part}": _SQL_TYPES[t] for hop in HOPS for part, t in hop_types.items()}
        else:
            columns[name] = _SQL_TYPES[kind]
    return columns


_COLUMN_TYPES = _column_types()
COLUMNS = tuple(_COLUMN_TYPES)
_ORDER = ", ".join(dict.fromkeys(("method", "snr_db", "image", "draw", *Key._fields)))
_SCHEMA = {
    "results": "CREATE TABLE results (\n  "
    + ",\n  ".join(f"{name} {kind}" for name, kind in _COLUMN_TYPES.items())
    + f",\n  PRIMARY KEY ({', '.join(Key._fields)})\n) STRICT",
    "settings": "CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "events": "CREATE TABLE events (time TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    "pictures": "CREATE TABLE pictures (image TEXT NOT NULL, method TEXT NOT NULL, snr_db REAL NOT NULL,"
    " kind TEXT NOT NULL, png BLOB NOT NULL, PRIMARY KEY (image, method, snr_db, kind)) STRICT",
}


def _flat(row: Row) -> list[object]:
    values: list[object] = [getattr(row, field.name) for field in fields(row)]
    hops_at = COLUMNS.index("encoder_network_ms")
    values[hops_at : hops_at + 1] = [value for hop in HOPS for value in astuple(row.hops[hop])]
    return values


def _row(values: Collection[Any]) -> Row:
    flat = dict(zip(COLUMNS, values, strict=True))
    parts = [field.name for field in fields(HopTiming)]
    hops = {hop: HopTiming(**{part: flat.pop(f"{hop}_{part}") for part in parts}) for hop in HOPS}
    return Row(**flat | {"hops": hops, "warm_up": bool(flat["warm_up"])})


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
        if found and found != _SCHEMA:
            tables = ", ".join(n for n in found | _SCHEMA if found.get(n) != _SCHEMA.get(n))
            raise ValueError(f"{self.path} has another schema than this version's (see: {tables})")
        if not found:
            self._database.executescript(f"BEGIN IMMEDIATE; {'; '.join(_SCHEMA.values())}; COMMIT")
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
        return self._insert("results", _flat(row), Key._fields)

    def keys(self) -> set[Key]:
        """What has been done."""
        return {Key(*values) for values in self._select(", ".join(Key._fields), "results")}

    def rows(self) -> list[Row]:
        """Every row, ordered by method, SNR, image and draw, whatever the order in which they came."""
        return [_row(values) for values in self._select(", ".join(COLUMNS), "results", _ORDER)]

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
