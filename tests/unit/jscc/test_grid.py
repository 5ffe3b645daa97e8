"""The grid of a frame: what pilots take, against counting, and what is refused."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jscc.framing import pilots
from jscc.grid import PLAIN, Grid

grids = st.builds(
    lambda coherence, pilots: Grid("fast", coherence, min(pilots, coherence - 1) if coherence else pilots),
    st.integers(0, 40).filter(lambda coherence: coherence != 1),
    st.integers(1, 8),
)


@given(grid=grids, pairs=st.integers(1, 500))
def test_pilots_are_as_many_as_lie_in_the_frame(grid: Grid, pairs: int) -> None:
    where = pilots.places(grid, 2 * pairs)
    assert grid.pilot_uses(2 * pairs) == 2 * len(where.pilots)
    assert sorted(where.pilots.tolist() + where.others.tolist()) == list(range(pairs))


@given(grid=grids, others=st.integers(1, 2000))
def test_a_frame_is_the_shortest_that_holds_the_others(grid: Grid, others: int) -> None:
    uses = grid.uses_for(others)
    assert uses % 2 == 0
    assert 0 <= uses - grid.pilot_uses(uses) - others <= 1
    assert (uses - 2) - grid.pilot_uses(uses - 2) < others or uses - 2 - grid.pilot_uses(uses - 2) == others - 1


@given(grid=grids, pairs=st.integers(1, 500))
def test_the_pilots_of_a_whole_block_are_evenly_spread(grid: Grid, pairs: int) -> None:
    where = pilots.places(grid, 2 * pairs)
    block = grid.coherence or pairs
    first = [place for place in where.pilots.tolist() if place < block]
    gaps = [after - before for before, after in itertools.pairwise(first)]
    if pairs >= block >= grid.pilots:
        assert all(block // grid.pilots <= gap <= -(-block // grid.pilots) for gap in gaps)


def test_without_pilots_nothing_is_taken() -> None:
    assert (PLAIN.pilot_uses(1001), PLAIN.uses_for(1001), PLAIN.even(1001)) == (0, 1001, 1001)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fading": "slow"}, "fading must be one of none, fast, block, got 'slow'"),
        ({"coherence": -1}, r"coherence must be in 0\.\.16777216, got -1"),
        ({"pilots": 1025}, r"pilots must be in 0\.\.1024, got 1025"),
        ({"row_length": 0}, r"row_length must be in 1\.\.4096, got 0"),
        ({"expected_doppler": -0.1}, r"expected_doppler must be in 0\.\.0\.5, got -0\.1"),
        ({"expected_spread": math.nan}, r"expected_spread must be in 0\.\.0\.5, got nan"),
        (
            {"pilots": 4, "expected_doppler": 0.1},
            r"expected_doppler and expected_spread want blocks of 2\.\.1024 complex symbols and 1\.\.64 pilots in "
            "each, got 0 and 4; 0 of both wants nothing",
        ),
        (
            {"coherence": 2, "pilots": 1, "row_length": 1025, "expected_doppler": 0.01},
            "row_length: a row of 1025 has more than 512 blocks of 2 complex symbols; choose a larger block",
        ),
        (
            {"coherence": 1000, "pilots": 1, "row_length": 4093, "expected_spread": 0.01},
            "row_length: blocks of 1000 lie alike in rows of 4093 after 4093000 complex symbols, the limit is 262144; "
            "choose a block that has more factors in common with it",
        ),
        ({"coherence": 4, "pilots": 4}, "pilots: 4 of a block of 4 complex symbols leave nothing"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_by_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Grid(**fields)  # type: ignore[arg-type]
