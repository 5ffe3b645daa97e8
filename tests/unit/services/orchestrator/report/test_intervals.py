"""Intervals against a statistics package and against tables."""

import math

import pytest
from scipy import stats

from services.orchestrator.report.intervals import mean_of, share_interval, student_factor


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 23, 24, 99, 1000])
def test_students_factor_is_that_of_scipy(degrees: int) -> None:
    assert student_factor(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_a_mean_has_its_standard_error_and_interval() -> None:
    """Values 1, 2, 3, 4: deviation sqrt(5 / 3), standard error sqrt(5 / 12), t of 3 degrees of freedom 3.182."""
    found = mean_of([1.0, 2.0, 3.0, 4.0])
    assert (found.mean, found.error, found.number) == (2.5, pytest.approx(math.sqrt(5 / 12)), 4)
    assert (found.low, found.high) == pytest.approx((2.5 - 3.1824 * 0.645497, 2.5 + 3.1824 * 0.645497), abs=1e-4)


@pytest.mark.parametrize("values", [[3.0], [math.inf, 1.0]])
def test_what_has_no_deviation_has_no_interval(values: list[float]) -> None:
    found = mean_of(values)
    assert found.mean == values[0]
    assert all(math.isnan(value) for value in (found.error, found.low, found.high))


@pytest.mark.parametrize(("count", "of"), [(0, 24), (1, 24), (2, 3), (24, 24), (13, 250)])
def test_shares_have_wilsons_interval(count: int, of: int) -> None:
    found = share_interval(count, of)
    assert found == pytest.approx(tuple(stats.binomtest(count, of).proportion_ci(method="wilson")))
    assert (found[0] == 0, found[1] == 1) == (count == 0, count == of)
