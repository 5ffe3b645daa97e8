"""Mappings become dataclasses; what does not fit is refused with the place and the key."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jscc import config


@dataclass(frozen=True)
class Inner:
    depth: int = 1

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, got {self.depth}")


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.5
    count: int = 3
    fast: bool = False
    sizes: tuple[int, ...] = (1, 2)
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    inners: tuple[Inner, ...] = ()
    free: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    derived: int = field(init=False, default=7)


def build(**values: Any) -> Outer:
    return config.from_mapping(Outer, {"name": "x", **values}, "file.toml")


def test_defaults_stay_and_given_values_win() -> None:
    assert build() == Outer("x")
    assert build(rate=0.25, count=0, fast=True) == Outer("x", rate=0.25, count=0, fast=True)


def test_nested_tables_lists_and_optional_values() -> None:
    got = build(
        sizes=[3, 4, 5],
        limit=None,
        inner={"depth": 4},
        inners=[{"depth": 2}, {}],
        free={"anything": [1, "two"]},
        weights={"a": 1},
    )
    assert got.sizes == (3, 4, 5)
    assert got.limit is None
    assert got.inner == Inner(4)
    assert got.inners == (Inner(2), Inner(1))
    assert got.free == {"anything": [1, "two"]}
    assert got.weights == {"a": 1.0}
    assert build(limit=2).limit == 2.0


def test_a_whole_number_becomes_the_float_that_is_due() -> None:
    rate = build(rate=2).rate
    assert rate == 2.0
    assert type(rate) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1}, r"^file\.toml: unknown key 'rat' \(known: .*count.*rate.*\)$"),
        ({"derived": 1}, r"^file\.toml: unknown key 'derived'"),
        ({"count": True}, r"^file\.toml: count: expected a whole number, got true$"),
        ({"count": 1.0}, r"^file\.toml: count: expected a whole number, got 1\.0$"),
        ({"count": "1"}, r"^file\.toml: count: expected a whole number, got '1'$"),
        ({"count": None}, r"^file\.toml: count: expected a whole number, got nothing$"),
        ({"rate": True}, r"^file\.toml: rate: expected a number, got true$"),
        ({"rate": "fast"}, r"^file\.toml: rate: expected a number, got 'fast'$"),
        ({"fast": 1}, r"^file\.toml: fast: expected true or false, got 1$"),
        ({"name": 3}, r"^file\.toml: name: expected text, got 3$"),
        ({"sizes": 3}, r"^file\.toml: sizes: expected a list, got 3$"),
        ({"sizes": "34"}, r"^file\.toml: sizes: expected a list, got '34'$"),
        ({"sizes": [3, 4.5]}, r"^file\.toml: sizes: expected a whole number, got 4\.5$"),
        ({"limit": "none"}, r"^file\.toml: limit: expected a number, got 'none'$"),
        ({"inner": 3}, r"^file\.toml: inner: expected a table, got 3$"),
        ({"inner": {"dept": 3}}, r"^file\.toml: inner: unknown key 'dept' \(known: depth\)$"),
        ({"inner": {"depth": 0}}, r"^file\.toml: inner: depth must be at least 1, got 0$"),
        ({"inners": [{}, {"depth": 0}]}, r"^file\.toml: inners: depth must be at least 1, got 0$"),
        ({"free": 3}, r"^file\.toml: free: expected a table, got 3$"),
        ({"weights": {"a": "b"}}, r"^file\.toml: weights: expected a number, got 'b'$"),
    ],
)
def test_what_does_not_fit_is_refused_with_place_and_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**values)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"^file\.toml: missing key 'name'$"):
        config.from_mapping(Outer, {}, "file.toml")


def test_a_class_without_fields_says_that_it_knows_none() -> None:
    @dataclass(frozen=True)
    class Nothing:
        pass

    assert config.from_mapping(Nothing, {}, "options") == Nothing()
    with pytest.raises(ValueError, match=r"^options: unknown key 'steps' \(known: none\)$"):
        config.from_mapping(Nothing, {"steps": 3}, "options")


def test_load_toml(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "x"\nsizes = [1, 2]\n[inner]\ndepth = 3\n', encoding="utf-8")
    assert config.load_toml(path) == {"name": "x", "sizes": [1, 2], "inner": {"depth": 3}}


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.toml: no such file$"):
        config.load_toml(tmp_path / "gone.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = \n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.toml: .*line 1"):
        config.load_toml(broken)
    with pytest.raises(ValueError, match=rf"^{tmp_path}: cannot be read \(Is a directory\)$"):
        config.load_toml(tmp_path)


@pytest.mark.parametrize("text", ["\xff", "x = " + "9" * 5000, "x = " + "[" * 100_000])
def test_what_toml_cannot_hold_is_refused_with_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"odd\.toml: "):
        config.load_toml(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 10**400}, r"^file\.toml: rate: expected a number, got 1000"),
        ({"name": ["x" * 1000]}, r"^file\.toml: name: expected text, got \['xxx"),
        ({"sizes": {"a": 1}}, r"^file\.toml: sizes: expected a list, got \{'a': 1\}$"),
        ({"x" * 1000: 1}, r"^file\.toml: unknown key 'xxx"),
    ],
)
def test_a_refusal_repeats_at_most_a_part_of_what_it_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        build(**values)
    assert len(str(refusal.value)) < 300
