"""What channels that fade have in common: complex normal numbers, and what arrives of symbols that met gains."""

import math

import torch
from torch import Tensor

from jscc.channels import Realisation, Truth
from jscc.draws import Draws
from jscc.signals import noise_variance

_TOGETHER = 8


def complex_normal(images: int, count: int, draws: Draws) -> Tensor:
    """Draw complex64 [images, count], CN(0, 1).

    Torch makes normal numbers sixteen at a time and redoes an odd rest, so whole groups are drawn: then the first
    numbers of a frame are the same however many follow.
    """
    whole = draws.randn(images, -(-count // _TOGETHER) * _TOGETHER, 2)
    return torch.view_as_complex(whole)[:, :count] / math.sqrt(2)


def gains_of(realisation: Realisation) -> Tensor:
    """Return the gains of a realisation.

    Raises:
        ValueError: it is of a channel that does not fade.
    """
    if realisation.gain is None:
        raise ValueError("realisation: has no gain, expected one that this channel drew")
    return realisation.gain


def arrived(s: Tensor, gains: Tensor, snr_db: Tensor, noise: Tensor) -> tuple[Tensor, Truth]:
    """Return y [B, k] of s [B, k] that meets gains [B, ceil(k / 2)] and standard normal noise [B, k]; and the truth."""
    noise_power = noise_variance(snr_db)
    truth = Truth(noise_power, gains.to(s.device))
    return truth.faded(s) + noise_power.sqrt()[:, None] * noise.to(s.device), truth
