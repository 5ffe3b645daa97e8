"""Typed settings from mappings: one checker for the TOML files of the trainer and the options on the wire."""

import dataclasses
import math
import sys
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

MAX_SHOWN = 100
"""Characters of a refused value that an error repeats."""

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from a mapping, refusing what does not fit.

    Nested dataclasses are built from nested mappings, lists become tuples, an int is accepted where a float is due.

    Args:
        cls: a dataclass type; range checks belong into its __post_init__ (raise ValueError naming the field).
        values: the mapping, such as a TOML table.
        where: what to name in an error, such as the file and the table.

    Raises:
        ValueError: an unknown key, a missing key, a wrong type or a value out of range; names `where` and the key.
    """
    values = _checked(values, Mapping, "a table", where)
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise ValueError(f"{where}: unknown key '{str(key)[:MAX_SHOWN]}' (known: {known})")
    arguments = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    missing = [name for name, field in fields.items() if name not in values and _required(field)]
    if missing:
        raise ValueError(f"{where}: missing key '{missing[0]}'")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def check_option(name: str, value: Any) -> None:
    """Check that a method's or a channel's option is of a kind that travels.

    Raises:
        ValueError: it is no number, truth or text, a whole number beyond 64 bits, not finite, or no Unicode; names it.
    """
    named = f"option {name[:MAX_SHOWN]}"
    if type(value) not in _KINDS:
        raise ValueError(f"{named}: expected a number, true or false, or text, got {shown(value)}")
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise ValueError(f"{named}: {shown(value)} is outside -2^63..2^63 - 1")
    if type(value) is float and not math.isfinite(value):
        raise ValueError(f"{named}: expected a finite number, got {value}")
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        raise ValueError(f"option {name[:MAX_SHOWN]!a}: expected Unicode text, got {shown(value)}") from None


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ValueError: the file cannot be read or is not TOML; names the file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no TOML: byte {error.start} is no UTF-8") from error
    except (ValueError, RecursionError) as error:  # no text, no TOML, a number of thousands of digits, a nest of lists
        raise ValueError(f"{path}: {error}") from error


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, _checked(value, Mapping, "a table", where), where)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(get_args(hint)[0], value, where)
    if origin is tuple:
        return tuple(
            _convert(get_args(hint)[0], item, where) for item in _checked(value, list | tuple, "a list", where)
        )
    if origin is dict:
        table = _checked(value, Mapping, "a table", where)
        return {key: _convert(get_args(hint)[1], item, where) for key, item in table.items()}
    return _scalar(hint, value, where)


def _checked(value: Any, kind: Any, name: str, where: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{where}: expected {name}, got {shown(value)}")
    return value


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{where}: expected {_KINDS.get(hint, str(hint))}, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """Write a value as a person would, at most MAX_SHOWN characters of it."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
