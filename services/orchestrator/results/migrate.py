"""Databases of earlier versions: what each version's tables become in the next, in one transaction or not at all."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from services.orchestrator.results.faults import StoreError
from services.orchestrator.results.tables import SCHEMA, VERSION

_FIRST_TABLES = frozenset(("results", "settings", "events", "pictures", "computed", "methods"))
_PAID = 3
"""The version from which on the header is in the channel uses."""
_FIRST_HOPS = ("encoder", "channel", "decoder")
_SCORES = "psnr_db, ssim, ms_ssim, lpips"
_FIRST_RESULTS = (
    "id, dataset, image, image_digest, method, transmitter_checkpoint, checkpoint, channel, channel_options, snr_db,"
    f" told_snr_db, draw, seed, options, rho, channel_uses, header_bits, noise_digest, {_SCORES}, total_ns, load_ns,"
    " score_ns, started, warm_up"
)
_PLAIN_AIR = {
    "fading": "'none'",
    "block": "0",
    "pilots": "0",
    "interleaved": "1",
    "csi": "'none'",
    "row_length": "1",
    "expected_doppler": "0.0",
    "expected_spread": "0.0",
}
"""What rows of versions without a column were sent under, as SQL has it."""
_FIRST_REFERENCES = f"dataset, image, curve, snr_db, rho, bits, delivered, {_SCORES}"
_WHITE_NOISE = {"channel": "'awgn'", "channel_options": "''", "told_above_db": "0.0", "draw": "0"}
"""What references of versions before 4 were computed for, likewise."""
_FIRST_METHODS = (
    "name, method, checkpoint, transmitter_checkpoint, transmitter_parameters, receiver_parameters, rho, options,"
    " learned"
)


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables of an empty database, or bring those of an earlier version to this one.

    Raises:
        StoreError: it is of a later version or has other tables; it is left unchanged.
        sqlite3.Error: it cannot be read or written.
    """
    if _version(database) == VERSION:
        _check(database, path)
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        _upgrade(database, path)
        _check(database, path)
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def check_resumable(database: sqlite3.Connection, path: Path) -> None:
    """Check that a sweep can go on in a database, of this version or before it is brought to this one.

    Raises:
        StoreError: its rows do not say which pixels they are of, so that nobody can tell whether they are finished, or
            their headers crossed no air, so that they are of another link.
    """
    version, tables = _version(database), set(_tables(database))
    known = "WHERE image_digest = ''" if version else ""
    for table in {"results", "computed"} & tables:
        if database.execute(f"SELECT 1 FROM {table} {known} LIMIT 1").fetchone():
            raise StoreError(
                f"{path} was begun by a version that kept no digests of the images: it can be reported but not resumed;"
                " use another folder"
            )
    paid = "WHERE header_uses IS NULL" if version >= _PAID else ""
    if "results" in tables and database.execute(f"SELECT 1 FROM results {paid} LIMIT 1").fetchone():
        raise StoreError(
            f"{path} was begun by a version whose headers crossed no air: it can be reported but not resumed;"
            " use another folder"
        )


def _version(database: sqlite3.Connection) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version


def _tables(database: sqlite3.Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return dict(database.execute(query))


def _check(database: sqlite3.Connection, path: Path) -> None:
    found = _tables(database)
    differing = sorted(name for name in found.keys() | SCHEMA.keys() if found.get(name) != SCHEMA.get(name))
    if differing:
        raise StoreError(f"{path} has another schema than this version's (see: {', '.join(differing)}): use another")


def _upgrade(database: sqlite3.Connection, path: Path) -> None:
    version, found = _version(database), _tables(database)
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a later version (its schema is {version}, this one knows {VERSION}): update"
            " JSCC-Link or use another folder"
        )
    if not found:
        for statement in SCHEMA.values():
            database.execute(statement)
        return
    try:
        for step in range(version, VERSION):
            _STEPS.get(step, _nothing)(database, found)
        _add_columns(database)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_ERROR":
            raise
        raise StoreError(f"{path} has another schema than any version's ({error}): use another folder") from error


def _nothing(_: sqlite3.Connection, __: Mapping[str, str]) -> None:
    """Nothing but new columns."""


def _add_columns(database: sqlite3.Connection) -> None:
    """Add the columns that are new, empty. Tables name each other, so if one differs all are made anew."""
    found = _tables(database)
    if found == SCHEMA or found.keys() != SCHEMA.keys():
        return
    columns = {table: ", ".join(_columns(database, table)) for table in SCHEMA}
    for table in columns:
        database.execute(f"ALTER TABLE {table} RENAME TO before_{table}")
    for statement in SCHEMA.values():
        database.execute(statement)
    for table, names in columns.items():
        database.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM before_{table} ORDER BY rowid")
    for table in reversed(columns):  # what refers to others first
        database.execute(f"DROP TABLE before_{table}")


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]


def _from_0(database: sqlite3.Connection, found: Mapping[str, str]) -> None:
    """Of three hops with milliseconds in the table of transmissions, to a table of hops; pictures get their keys."""
    if not found.keys() <= _FIRST_TABLES:
        return  # no database of ours; the check after this names the tables
    old = found.keys() - {"settings", "events"}
    for table in old:
        database.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for table, statement in SCHEMA.items():
        if table in old or table not in found:
            database.execute(statement)
    for table, copy in _COPIES.items():
        if table in old:  # the very first databases had fewer
            copy(database)
    for table in old:
        database.execute(f"DROP TABLE old_{table}")


def _copy_methods(database: sqlite3.Connection) -> None:
    database.execute(
        f"INSERT INTO methods ({_FIRST_METHODS}, label, family) SELECT {_FIRST_METHODS}, '', '' FROM old_methods"
        " ORDER BY rowid"
    )


def _copy_references(database: sqlite3.Connection) -> None:
    database.execute(
        f"INSERT INTO computed (id, image_digest, {_FIRST_REFERENCES}, {', '.join(_WHITE_NOISE)})"
        f" SELECT rowid, '', {_FIRST_REFERENCES}, {', '.join(_WHITE_NOISE.values())} FROM old_computed ORDER BY rowid"
    )


def _copy_results(database: sqlite3.Connection) -> None:
    """Copy transmissions: the transmitter was told the channel's SNR; its checkpoint is known of methods on record."""
    of_method = "SELECT m.transmitter_checkpoint FROM methods m WHERE m.name = r.method AND m.checkpoint = r.checkpoint"
    transmitter = f"coalesce(({of_method}), '')"
    database.execute(
        f"INSERT INTO results ({_FIRST_RESULTS}, {', '.join(_PLAIN_AIR)})"
        f" SELECT rowid, dataset, image, '', method, {transmitter}, checkpoint, channel, '', snr_db,"
        f" snr_db, draw, seed, options, rho, channel_uses, header_bits, noise_digest, {_SCORES}, {_ns('total')},"
        f" {_ns('load')}, {_ns('score')}, started, warm_up,"
        f" {', '.join(_PLAIN_AIR.values())} FROM old_results r ORDER BY rowid"
    )
    stages = ("network", "queue", "deserialize", "compute", "serialize")
    sizes = [f"{hop}_bytes_in + {hop}_bytes_out + 1" for hop in _FIRST_HOPS]
    for position, hop in enumerate(_FIRST_HOPS):
        times = ", ".join(_ns(f"{hop}_{stage}") for stage in stages)
        before, until = (f"{_ns('codec')} * ({' + '.join(('0', *sizes[:end]))})" for end in (position, position + 1))
        every = f"({' + '.join(sizes)})"
        # Packing and unpacking was known of all hops together: each gets its share of the bytes.
        codec = f"{until} / {every} - {before} / {every}"
        database.execute(
            f"INSERT INTO hops SELECT rowid, {position}, '{hop}', {times}, {codec}, {hop}_bytes_in, {hop}_bytes_out"
            " FROM old_results"
        )


def _ns(name: str) -> str:
    return f"CAST(round({name}_ms * 1e6) AS INTEGER)"


def _copy_pictures(database: sqlite3.Connection) -> None:
    """Say what pictures are of: the first transmission without options, or the reference with the highest rate."""
    database.execute(
        "INSERT INTO originals SELECT dataset, image, '', png FROM old_pictures JOIN (SELECT min(id), dataset, image"
        " FROM results GROUP BY image) USING (image) WHERE kind = 'original'"
    )
    database.execute(
        "INSERT INTO pictures SELECT min(r.id), p.png FROM old_pictures p JOIN results r USING (image, method, snr_db)"
        " WHERE kind = 'received' AND r.options = '' AND r.draw = 0 GROUP BY p.rowid"
    )
    database.execute(
        "INSERT INTO computed_pictures SELECT id, png FROM (SELECT c.id, max(c.rho), p.png FROM old_pictures p"
        " JOIN computed c ON c.curve = p.method AND c.image = p.image AND c.snr_db = p.snr_db"
        " WHERE kind = 'received' GROUP BY p.rowid)"
    )


_COPIES = {
    "methods": _copy_methods,  # before the results, which look their transmitters up
    "results": _copy_results,
    "computed": _copy_references,
    "pictures": _copy_pictures,
}


def _from_1(database: sqlite3.Connection, _: Mapping[str, str]) -> None:
    """JPEG and AVIF got better settings; what was computed with the former ones keeps its scores under their names."""
    for curve in ("jpeg_adaptive", "jpeg_fixed", "avif_adaptive"):
        former = curve.replace("_", "_420_")
        database.execute("UPDATE computed SET curve = ? WHERE curve = ?", (former, curve))


def _add_air(database: sqlite3.Connection, _: Mapping[str, str]) -> None:
    """Rows tell their frame: nothing had pilots, no receiver expected gains to move; references are of white noise."""
    for table, columns in (("results", _PLAIN_AIR), ("computed", _WHITE_NOISE)):
        there = _columns(database, table)
        for name, value in columns.items():
            if name not in there:
                kind = "INTEGER" if value.isdigit() else "TEXT" if "'" in value else "REAL"
                database.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} NOT NULL DEFAULT {value}")


_STEPS: Mapping[int, Callable[[sqlite3.Connection, Mapping[str, str]], None]] = {
    0: _from_0,
    1: _from_1,
    3: _add_air,
    4: _add_air,
}
"""By the version that a step starts from; one that only adds empty columns needs none.

`_from_0` makes the tables of `SCHEMA` at once, as the steps after it only fill what is in it already.
"""
