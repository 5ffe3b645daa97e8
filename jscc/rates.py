"""Which bandwidth ratios count as one."""

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

SAME_RATE = 0.02
"""Rates that differ by less than this share are one: padding and headers make them differ a little."""


class Rated(Protocol):
    """Something of a rate."""

    @property
    def rho(self) -> float:
        """Real channel uses per source sample."""


RatedT = TypeVar("RatedT", bound=Rated)


def same_rate(rho: float, other: float) -> bool:
    """Whether two rates may be compared."""
    return math.isclose(rho, other, rel_tol=SAME_RATE)


def of_highest_rate(items: Iterable[RatedT]) -> list[RatedT]:
    """Return those whose rate may be compared with the highest."""
    every = list(items)
    highest = max((item.rho for item in every), default=0.0)
    return [item for item in every if same_rate(item.rho, highest)]
