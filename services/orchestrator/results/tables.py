"""The tables of a run's database, and the cells of its rows.

The columns come from the fields of the classes in `rows`, so the two cannot drift apart. What changes them is a new
version: count `VERSION` up, and write its migration where a database of before is to have more than empty columns.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from jscc.options import ChosenOptions, OptionValue
from jscc.wire.timing import HopRecord
from services.orchestrator.results.rows import ImageKey, Key, MethodInfo, Reference, ReferenceKey, Row

VERSION = 5
"""`PRAGMA user_version` of the tables below."""

T = TypeVar("T")

_SQL_TYPES: Mapping[Any, str] = {
    str: "TEXT NOT NULL",
    int: "INTEGER NOT NULL",
    bool: "INTEGER NOT NULL",
    float: "REAL NOT NULL",
    float | None: "REAL",
    str | None: "TEXT",
    ChosenOptions: "TEXT NOT NULL",
    Mapping[str, OptionValue]: "TEXT NOT NULL",
    Mapping[str, tuple[float, ...]]: "TEXT NOT NULL",
}


def _columns(of: type[Any]) -> dict[str, Any]:
    return {name: kind for name, kind in get_type_hints(of).items() if name != "hops"}


def _create(table: str, columns: Mapping[str, str], constraint: str) -> str:
    lines = ",\n  ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {table} (\n  {lines},\n  {constraint}\n) STRICT"


def _typed(of: type[Any]) -> dict[str, str]:
    return {name: _SQL_TYPES[kind] for name, kind in _columns(of).items()}


def _unique(names: Collection[str]) -> str:
    return f"UNIQUE ({', '.join(names)})"


_ID = {"id": "INTEGER PRIMARY KEY"}
_PNG = {"png": "BLOB NOT NULL"}
_OF_ROW = "INTEGER NOT NULL REFERENCES results (id) ON DELETE CASCADE"
_OF_REFERENCE = "INTEGER NOT NULL REFERENCES computed (id) ON DELETE CASCADE"
SCHEMA = {
    "results": _create("results", _ID | _typed(Row), _unique(Key._fields)),
    "hops": _create(
        "hops",
        {"transmission": _OF_ROW, "position": "INTEGER NOT NULL"} | _typed(HopRecord),
        "PRIMARY KEY (transmission, position)",
    ),
    "settings": "CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "events": "CREATE TABLE events (time TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    "computed": _create("computed", _ID | _typed(Reference), _unique(ReferenceKey._fields)),
    "methods": _create("methods", _typed(MethodInfo), "PRIMARY KEY (name)"),
    "originals": _create("originals", _typed(ImageKey) | _PNG, f"PRIMARY KEY ({', '.join(ImageKey._fields)})"),
    "pictures": _create("pictures", {"transmission": _OF_ROW} | _PNG, "PRIMARY KEY (transmission)"),
    "computed_pictures": _create("computed_pictures", {"reference": _OF_REFERENCE} | _PNG, "PRIMARY KEY (reference)"),
}
"""The statement that makes each table; `computed` holds the references, whose name SQL keeps for itself."""
ROW_COLUMNS = tuple(_columns(Row))
HOP_COLUMNS = tuple(field.name for field in fields(HopRecord))


def cell(value: Any) -> Any:
    """Return a value as its cell holds it: mappings as JSON text with sorted names, "" for an empty one."""
    if isinstance(value, Mapping):
        return json.dumps(dict(value), sort_keys=True, ensure_ascii=False) if value else ""
    return value


def cells(record: object, names: Sequence[str]) -> list[Any]:
    """Return the cells of some fields of a record."""
    return [cell(getattr(record, name)) for name in names]


def named(kind: type[Any], names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Return the values of cells by name, as the fields of a class have them.

    Raises:
        ValueError: a cell that should hold options does not.
    """
    types = get_type_hints(kind)
    readers = [_READERS.get(types[name]) for name in names]
    return {
        name: reader(value) if reader else value for name, reader, value in zip(names, readers, values, strict=True)
    }


def _mapping(text: str) -> dict[str, Any]:
    found = json.loads(text or "{}")
    if not isinstance(found, dict):
        raise ValueError(f"'{text[:40]}' is no table of names and values")
    return found


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    bool: bool,
    ChosenOptions: lambda text: ChosenOptions(_mapping(text)),
    Mapping[str, OptionValue]: _mapping,
    Mapping[str, tuple[float, ...]]: lambda text: {name: tuple(values) for name, values in _mapping(text).items()},
}
