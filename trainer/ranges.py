"""Limits of a recipe's values, stated beside their types and checked in one place.

crop_px: Annotated[int, Range(16, 4096)] = 128
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`; no nan, which is in no range.

    Attributes:
        least: the smallest, or what all are above of.
        most: the largest, or what all are below of.
        above: whether least itself is left out.
        below: whether most itself is left out.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Return whether a number is in the range."""
        high_enough = self.least < value if self.above else self.least <= value
        return high_enough and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """Say the range in words."""
        least, most = (f"{end:g}" if isinstance(end, float) else str(end) for end in (self.least, self.most))
        if not self.above and not self.below:
            return f"from {least} to {most}"
        low, high = "above" if self.above else "at least", "below" if self.below else "at most"
        return f"{low} {least} and {high} {most}"


@dataclass(frozen=True)
class OneOf:
    """Some words."""

    words: tuple[str, ...]

    def __contains__(self, value: str) -> bool:
        """Return whether it is one of the words."""
        return value in self.words

    def __str__(self) -> str:
        """Say the words."""
        return f"one of {', '.join(self.words)}"


def check(settings: Any) -> None:
    """Check a dataclass whose types are annotated with limits; they hold for every value of a tuple or a dict.

    Raises:
        ValueError: a value is beyond its limits; names the key and the limits.
    """
    for name, limits in limits_of(type(settings)).items():
        for key, value in _values(name, getattr(settings, name)):
            if value not in limits:
                raise ValueError(f"{key}: must be {limits}, got {value!r}")


def limits_of(kind: type[Any]) -> dict[str, Range | OneOf]:
    """Return the limits of a dataclass by key."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def _values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"{name}: {key}", item) for key, item in value.items())
    elif isinstance(value, tuple):
        yield from ((name, item) for item in value)
    else:
        yield name, value
