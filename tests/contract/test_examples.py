"""Property tests try the same examples in every run, whatever else is loaded and however busy the machine is."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

ODD = 7_340_033
"""First of a thousand numbers, words and so on that nothing else in the project has."""


def draw_examples() -> list[tuple[int, float, str, bytes]]:
    drawn = []

    @settings(max_examples=400)
    @given(st.integers(), st.floats(), st.text(), st.binary())
    def draw(whole: int, real: float, text: str, raw: bytes) -> None:
        drawn.append((whole, real, text, raw))

    draw()
    return drawn


@pytest.fixture
def odd_module(tmp_path: Path) -> Iterator[list[int]]:
    """Load a module of this project's kind with constants of its own; return them."""
    numbers = list(range(ODD, ODD + 200))
    path = tmp_path / "odd.py"
    path.write_text("\n".join(f"x = {n}; x = {n}.5; x = 'odd {n}'; x = b'odd {n}'" for n in numbers))
    spec = importlib.util.spec_from_file_location("odd_constants", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["odd_constants"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["odd_constants"])
    yield numbers
    del sys.modules["odd_constants"]


@pytest.mark.slow
def test_examples_do_not_depend_on_what_is_loaded(request: pytest.FixtureRequest) -> None:
    before = draw_examples()
    assert len(before) == 400
    numbers = request.getfixturevalue("odd_module")
    after = draw_examples()
    assert repr(after) == repr(before)  # of NaNs too
    assert not {whole for whole, *_ in after} & set(numbers)


def test_no_constant_comes_from_a_local_module() -> None:
    """By now the suite has loaded many that have some."""
    assert len(providers._get_local_constants()) == 0


def test_examples_depend_on_no_clock_and_on_no_earlier_run() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert settings.default.derandomize
    assert settings.default.database is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
