"""How long a sweep takes, from what one transmission of each kind has cost."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from services.orchestrator.results.rows import Row
from services.orchestrator.sweep.plan import Kind

ENCODER = "encoder"
_NS_PER_S = 1e9


class Line(NamedTuple):
    """Work that is left: what, how many pieces of it, and how many seconds all of it takes."""

    what: str
    pieces: int
    left_s: float


class Estimate:
    """Counts down what is left, kind by kind."""

    def __init__(
        self,
        left: Mapping[Kind, int],
        repeats: Mapping[Kind, int] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with how many transmissions of each kind are left, and how many of these need no encoding.

        Args:
            left: by kind.
            repeats: likewise, of frames that another draw has had encoded by then.
            clock: gives seconds.
        """
        self._clock = clock
        self._left, self._repeats = Counter(left), Counter(repeats)
        self._cost_s: dict[Kind, tuple[float, float]] = {}
        self.restart()

    @property
    def kinds(self) -> list[Kind]:
        """The kinds, in the order in which they were given."""
        return list(self._left)

    def restart(self) -> None:
        """Compare with the clock from now on."""
        self._begun_s, self._predicted_s = self._clock(), 0.0

    def count(self, kind: Kind, cost_s: float, repeat_s: float | None = None, is_repeat: bool = False) -> None:
        """Take off one transmission; the first of a kind says what each of it costs, as it was alone.

        Args:
            kind: of which.
            cost_s: of it.
            repeat_s: what it would have cost without encoding; cost_s when None.
            is_repeat: whether it needed none.
        """
        self._left[kind] -= 1
        self._repeats[kind] -= is_repeat
        costs = self._cost_s.setdefault(kind, (cost_s, cost_s if repeat_s is None else repeat_s))
        self._predicted_s += costs[is_repeat]

    def lines(self) -> tuple[Line, ...]:
        """Say for every kind what is left of it."""
        return tuple(Line(str(kind), count, self._left_s(kind)) for kind, count in self._left.items() if count)

    def _left_s(self, kind: Kind) -> float:
        cost_s, repeat_s = self._cost_s.get(kind, (math.nan, math.nan))
        repeats = min(max(self._repeats[kind], 0), self._left[kind])
        return (self._left[kind] - repeats) * cost_s + repeats * repeat_s

    def left_s(self) -> float:
        """Return the seconds left, corrected by how the prediction has fared so far; NaN before there is one."""
        predicted_s = sum(line.left_s for line in self.lines())
        if not self._predicted_s:
            return predicted_s
        return predicted_s * (self._clock() - self._begun_s) / self._predicted_s


def without_encoder(row: Row) -> Row:
    """Return a transmission as if its frame had been there."""
    spent_ns = sum(hop.total_ns for hop in row.hops if hop.hop == ENCODER)
    rest = tuple(hop for hop in row.hops if hop.hop != ENCODER)
    return replace(row, hops=rest, total_ns=row.total_ns - spent_ns)


def transmission_s(row: Row, at_once: int) -> float:
    """Return by how many seconds one more transmission such as this, sent alone, prolongs a sweep.

    Several are under way at once, so the slowest service sets the pace, or the cores on which everything else,
    computing and scoring, takes turns.

    Args:
        row: of a transmission that had the link for itself.
        at_once: how many are worked on at once: those under way, or the cores if these are fewer.
    """
    busy_ns = Counter[str]()
    for hop in row.hops:  # a service that is passed twice is busy twice
        busy_ns[hop.hop] += hop.server_ns - hop.queue_ns
    alone_ns = row.total_ns - sum(hop.queue_ns for hop in row.hops)
    return max(*busy_ns.values(), alone_ns / at_once) / _NS_PER_S
