"""The table of limits in docs/security.md is what the code does, and has a row for every limit of what arrives."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

REPOSITORY = Path(__file__).parents[2]
UNITS = {"": 1, " KiB": 2**10, " MiB": 2**20}
ROW = re.compile(r"^\| [\w ]+ \| [^|]+ \| ([^|]+) \| `([\w.]+)` \|$", re.MULTILINE)
ROWS = {name: limit for limit, name in ROW.findall((REPOSITORY / "docs" / "security.md").read_text("utf-8"))}
LOOKED_AT = (
    "jscc/limits.py",
    "jscc/grid.py",
    "jscc/signals.py",
    "jscc/wire/*.py",
    "jscc/channels/*.py",
    "jscc/models/*.py",
    "services/*/servicer.py",
    "services/orchestrator/sweep/spec.py",
    "services/orchestrator/link/addresses.py",
    "services/orchestrator/link/airs.py",
    "services/orchestrator/link/job.py",
)
"""Where limits of what arrives stand."""


def stated(limit: str) -> float:
    """Return what a cell says: a number, perhaps with a unit of bytes, or a power of two, perhaps less one."""
    power = re.fullmatch(r"2\^(\d+)( - 1)?", limit)
    if power:
        return 2 ** int(power[1]) - bool(power[2])
    number, unit = re.fullmatch(r"([\d.]+)(.*)", limit).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def in_force(name: str) -> float:
    """Return the value of a constant, or the default of a setting."""
    module, _, attribute = name.rpartition(".")
    if module.rpartition(".")[2][0].isupper():
        module, _, kind = module.rpartition(".")
        settings: type[BaseSettings] = getattr(importlib.import_module(module), kind)
        default: Any = settings.model_fields[attribute].default
        return float(default)
    return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]


def limits() -> list[str]:
    """Return the dotted name of every limit in the code."""
    found = []
    for path in sorted(path for pattern in LOOKED_AT for path in REPOSITORY.glob(pattern)):
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for names in re.findall(r"^([A-Z][\w, ]*?)(?:: \w+)? = ", path.read_text("utf-8"), re.MULTILINE):
            found += [f"{module}.{name}" for name in names.split(", ") if name.startswith("MAX_")]
    return found


def test_every_limit_has_a_row() -> None:
    found = limits()
    assert "jscc.wire.bearer.MAX_TOKEN" in found  # two in a line
    assert [name for name in found if name not in ROWS] == []


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_is_in_force(name: str) -> None:
    assert stated(ROWS[name]) == in_force(name)
