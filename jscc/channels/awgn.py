"""Additive white Gaussian noise, behind an amplifier that may clip."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from jscc.channels import Realisation, Truth, _snr
from jscc.channels._amplifier import AmplifierOptions, amplified
from jscc.draws import Draws
from jscc.signals import noise_variance


@dataclass(frozen=True)
class Options(AmplifierOptions):
    """A request may limit the peaks of what is sent."""


@dataclass(frozen=True)
class Awgn:
    """y = s + n with n ~ N(0, 10^(-snr_db / 10)) per real symbol, s as the amplifier leaves it.

    Attributes:
        snr_db: [B] signal-to-noise ratio per real symbol of unit power, -30..60 dB.
        options: the limit of the peaks.
    """

    fades: ClassVar[bool] = False
    snr_db: Tensor
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: snr_db is outside its range or not a number.
        """
        _snr.check(self.snr_db)

    def draw(self, shape: torch.Size, draws: Draws) -> Realisation:
        """Draw standard normal noise of the symbols' shape."""
        return Realisation(draws.randn(*shape))

    def apply(self, s: Tensor, realisation: Realisation) -> tuple[Tensor, Truth]:
        """Add the noise to s [B, k], amplified; return y [B, k] and the noise power [B], which counts no clipping."""
        noise_power = noise_variance(self.snr_db)
        return amplified(s, self.options.papr_db) + noise_power.sqrt()[:, None] * realisation.noise.to(s.device), Truth(
            noise_power
        )
