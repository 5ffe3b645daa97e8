"""Gains of a receiver that moves among many reflections: complex Gaussian, with Jakes' spectrum.

Waves arrive from all around, so a gain is a sum of sinusoids of the frequencies f_d cos(angle), and two gains m symbols
apart have the correlation J0(2 pi f_d m). Here the angles are evenly spaced and the amplitudes are drawn: the gains are
jointly complex Gaussian, not only in the limit, and stationary. With a quarter of a step between the first angle and
the axis, their correlation is J0(z) - 2 J_2M(z) +- ..., z = 2 pi f_d m: of M = 1024 sinusoids, that of theory within
1e-9 up to 300 wavelengths; further apart, where theory has less than 0.02, it errs by at most 0.12. Nothing is
periodic in the frame, and no gain depends on how many there are.

Source: R. H. Clarke, "A statistical theory of mobile-radio reception", 1968; W. C. Jakes, "Microwave Mobile
Communications", 1974. The correlation is that of the trapezoidal rule for Bessel's integral.
"""

import math

import torch
from torch import Tensor

from jscc.channels import _exact

SINUSOIDS = 1024
_COLUMNS = 256
_ROWS = 1024


def frequencies(doppler: float, device: torch.device | None = None) -> Tensor:
    """Return the frequencies float64 [SINUSOIDS] in cycles per symbol, up to `doppler` to both sides."""
    number = torch.arange(SINUSOIDS, dtype=torch.float64, device=device)
    return doppler * torch.cos(2 * math.pi * (number + 0.25) / SINUSOIDS)


def gains(amplitudes: Tensor, doppler: float, count: int) -> Tensor:
    """Return the gains of `count` symbols one after the other.

    The phase of symbol row * _COLUMNS + column is that of its row and that of its column, so that all is one product
    of matrices, and a few thousand sines. The magnitudes of SINUSOIDS amplitudes add up to 2^10 at most, but for a
    probability that does not matter, so that the sums are exact.

    Args:
        amplitudes: complex64 [B, SINUSOIDS], CN(0, 1).
        doppler: normalised, cycles per symbol, 0..0.5.
        count: how many.

    Returns:
        complex64 [B, count], CN(0, 1).
    """
    frequency = frequencies(doppler, amplitudes.device)
    columns = _exact.phasors(torch.arange(_COLUMNS, device=amplitudes.device), frequency).mT
    starts = torch.arange(0, count, _COLUMNS, device=amplitudes.device)
    parts = [
        _exact.in_steps(amplitudes[:, None] * _exact.phasors(some, frequency)) @ columns
        for some in torch.split(starts, max(1, _ROWS // len(amplitudes)))  # so that long frames take little memory
    ]
    whole = torch.cat(parts, dim=1).flatten(1)[:, :count]
    return (whole / math.sqrt(SINUSOIDS)).to(torch.complex64)
