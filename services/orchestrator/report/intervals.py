"""Means with their standard errors, 95 % intervals of means and of shares; nothing here knows what is measured."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
_HALVINGS = 60
"""Of a quarter turn: its place is then as exact as a float can say."""


class Mean(NamedTuple):
    """A mean and how sure it is; without a second value all but the mean is NaN.

    Attributes:
        mean: of the values.
        error: standard error, the values' deviation over the root of their number.
        low, high: ends of the interval of CONFIDENCE by Student's t.
        number: of values.
    """

    mean: float
    error: float
    low: float
    high: float
    number: int


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of independent values, at least one."""
    count, mean = len(values), float(np.mean(values))
    if count < 2 or not math.isfinite(mean):  # runs of before have an infinite PSNR
        return Mean(mean, math.nan, math.nan, math.nan, count)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    half = student_factor(count - 1) * error
    return Mean(mean, error, mean - half, mean + half, count)


@lru_cache
def student_factor(degrees: int) -> float:
    """Return what Student's t of 1 or more degrees of freedom exceeds, up or down, with 1 - CONFIDENCE."""
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, degrees) < CONFIDENCE else (low, angle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _within(angle: float, degrees: int) -> float:
    """Return the probability that |t| is below sqrt(degrees) tan(angle).

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4.
    """
    square, odd = math.cos(angle) ** 2, degrees % 2
    term = total = math.cos(angle) if odd else 1.0
    for power in range(2 + odd, degrees - 1, 2):
        term *= square * (power - 1) / power
        total += term
    if not odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + (math.sin(angle) * total if degrees > 1 else 0.0))


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Return the interval of CONFIDENCE of a probability that `count` of `of` > 0 independent trials met.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Amer. Stat. Assoc.,
    1927; it holds for few trials and for none met.
    """
    z, share = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), count / of
    centre = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2)) / (1 + z**2 / of)
    return centre - half if count else 0.0, centre + half if count < of else 1.0  # without the noise of floats
