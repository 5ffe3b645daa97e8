"""Rates that padding and headers make differ a little are one."""

from typing import NamedTuple

from jscc.rates import of_highest_rate, same_rate


class Method(NamedTuple):
    name: str
    rho: float


def test_a_header_on_top_is_no_other_rate() -> None:
    assert same_rate(0.25, 0.25 + 512 / (3 * 512 * 768))
    assert not same_rate(0.25, 0.2)


def test_those_of_the_highest_rate_are_all_that_may_be_compared_with_it() -> None:
    methods = [Method("a", 0.25), Method("b", 0.2504), Method("c", 0.0625), Method("d", 0.246)]
    assert [method.name for method in of_highest_rate(methods)] == ["a", "b", "d"]
    assert of_highest_rate([]) == []
