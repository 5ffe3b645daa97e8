"""Sums of waves whose rounding is exact, so that gains and their digest are the same to the last bit in any order."""

import math

import torch
from torch import Tensor

_AMPLITUDE_STEPS = 2.0**19
_PHASOR_STEPS = 2.0**22


def phasors(places: Tensor, frequency: Tensor) -> Tensor:
    """Return what waves of a frequency [m], in cycles, are at places [n]: complex128 [n, m], in whole steps."""
    angle = 2 * math.pi * (places[:, None] * frequency % 1)
    return in_steps(torch.polar(torch.ones_like(angle), angle), _PHASOR_STEPS)


def in_steps(z: Tensor, steps: float = _AMPLITUDE_STEPS) -> Tensor:
    """Round complex128 to whole steps, so that sums of products of amplitudes and phasors are exact.

    They are whole numbers of 2^-41, and float64 holds these below 2^12: the magnitudes of a sum have to add up to no
    more. So the number of threads and the order do not matter. The rounding is a millionth of a gain.
    """
    return torch.view_as_complex((torch.view_as_real(z) * steps).round() / steps)
