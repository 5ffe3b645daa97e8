"""Additive white Gaussian noise."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from jscc.channels import Realisation, Truth
from jscc.draws import Draws
from jscc.limits import MAX_SNR_DB, MIN_SNR_DB
from jscc.signals import noise_variance


@dataclass(frozen=True)
class Options:
    """A request has nothing to choose."""


@dataclass(frozen=True)
class Awgn:
    """y = s + n with n ~ N(0, 10^(-snr_db / 10)) per real symbol.

    Attributes:
        snr_db: [B] signal-to-noise ratio per real symbol of unit power, -30..60 dB.
        options: nothing to choose.
    """

    snr_db: Tensor
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        """Check the range of values on the CPU; reading them from another device would wait for all its work.

        Raises:
            ValueError: snr_db is outside its range or not a number.
        """
        if self.snr_db.device.type != "cpu":
            return
        if not bool(((self.snr_db >= MIN_SNR_DB) & (self.snr_db <= MAX_SNR_DB)).all()):
            raise ValueError(f"snr_db: {self.snr_db.tolist()} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")

    def draw(self, shape: torch.Size, draws: Draws) -> Realisation:
        """Draw standard normal noise of the symbols' shape."""
        return Realisation(draws.randn(*shape))

    def apply(self, s: Tensor, realisation: Realisation) -> tuple[Tensor, Truth]:
        """Add the noise to s [B, k]; return y [B, k] and the noise power [B]."""
        noise_power = noise_variance(self.snr_db)
        return s + noise_power.sqrt()[:, None] * realisation.noise.to(s.device), Truth(noise_power)
