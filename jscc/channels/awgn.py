"""Additive white Gaussian noise."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from jscc.limits import MAX_SNR_DB, MIN_SNR_DB
from jscc.signals import ChannelState, noise_variance


@dataclass(frozen=True)
class Awgn:
    """y = s + n with n ~ N(0, 10^(-snr_db / 10)) per real symbol.

    Attributes:
        snr_db: [B] signal-to-noise ratio per real symbol of unit power, -30..60 dB.
    """

    snr_db: Tensor

    def __post_init__(self) -> None:
        """Check the range of values on the CPU; reading them from another device would wait for all its work.

        Raises:
            ValueError: snr_db is outside its range or not a number.
        """
        if self.snr_db.device.type != "cpu":
            return
        if not bool(((self.snr_db >= MIN_SNR_DB) & (self.snr_db <= MAX_SNR_DB)).all()):
            raise ValueError(f"snr_db: {self.snr_db.tolist()} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")

    def draw(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Draw a realisation: standard normal noise of the symbols' shape, on the generator's device."""
        return torch.randn(shape, generator=generator, device=generator.device)

    def apply(self, s: Tensor, realisation: Tensor) -> tuple[Tensor, ChannelState]:
        """Add the noise to s [B, k]; return y [B, k] and the state with the noise power [B]."""
        noise_power = noise_variance(self.snr_db)
        return s + noise_power.sqrt()[:, None] * realisation, ChannelState(noise_power)


def digest(realisation: Tensor) -> str:
    """Return a 16-digit digest of a realisation: equal digests mean that two messages met the same noise."""
    raw = realisation.detach().cpu().contiguous().numpy().tobytes()
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
