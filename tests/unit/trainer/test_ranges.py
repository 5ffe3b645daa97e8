"""Limits of a recipe's values: every number has some, and they are kept."""

import dataclasses
import math
from typing import Any, get_type_hints

import pytest
from factories import REPOSITORY

from trainer import settings
from trainer.ranges import OneOf, Range, check, limits_of

TABLES = [
    settings.DataSettings,
    settings.AirSettings,
    settings.StageSettings,
    settings.LossSettings,
    settings.OptimiserSettings,
    settings.RunSettings,
]


@pytest.mark.parametrize("table", TABLES)
def test_every_number_has_limits(table: type[Any]) -> None:
    numbers = {name for name, hint in get_type_hints(table).items() if "int" in str(hint) or "float" in str(hint)}
    assert numbers
    assert numbers <= limits_of(table).keys()


@pytest.mark.parametrize("table", TABLES)
def test_no_number_may_be_infinite_or_none(table: type[Any]) -> None:
    for limits in limits_of(table).values():
        if isinstance(limits, Range):
            assert not any(value in limits for value in (math.inf, -math.inf, math.nan))
            assert math.isfinite(limits.least)
            assert math.isfinite(limits.most)


def test_every_key_stands_in_the_documentation() -> None:
    text = (REPOSITORY / "docs" / "training.md").read_text()
    keys = [field.name for table in TABLES for field in dataclasses.fields(table)]
    assert [key for key in keys if f"`{key}`" not in text] == []


class TestRange:
    def test_ends(self) -> None:
        assert [value in Range(1, 3) for value in (0, 1, 3, 4)] == [False, True, True, False]
        assert [value in Range(0, 1, above=True, below=True) for value in (0, 0.5, 1)] == [False, True, False]

    def test_words(self) -> None:
        assert str(Range(16, 4096)) == "from 16 to 4096"
        assert str(Range(0, 2**63 - 1)) == "from 0 to 9223372036854775807"
        assert str(Range(0, 1, below=True)) == "at least 0 and below 1"
        assert str(Range(0, 10**6, above=True)) == "above 0 and at most 1000000"
        assert str(OneOf(("a", "b"))) == "one of a, b"

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("weights", (1.0, 0.0), "weights: must be above 0"),
            ("crop_px", 7, "crop_px: must be from 16 to 4096, got 7"),
        ],
    )
    def test_values_of_tuples_are_checked_too(self, name: str, value: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            settings.DataSettings(folders=("a", "b"), **{name: value})

    def test_values_of_tables_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"lr_scale: head: must be from 0 to 1000, got -1\.0"):
            check(settings.OptimiserSettings(lr_scale={"head": -1.0}))
