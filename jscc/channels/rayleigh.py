"""Flat fading: a complex gain on every pair of symbols, and white noise; docs/fading.md has the definitions."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from jscc.channels import Realisation, Truth, _fading, _jakes, _snr
from jscc.channels._amplifier import AmplifierOptions, amplified
from jscc.draws import Draws
from jscc.grid import MAX_COHERENCE

MAX_DOPPLER = 0.5
NO_LINE_OF_SIGHT = -30.0
MAX_K_FACTOR_DB = 60.0


@dataclass(frozen=True)
class Options(AmplifierOptions):
    """What a request may choose.

    Attributes:
        coherence: complex symbols that have one gain, each block its own: 1 is fast fading; 0 is one gain for the whole
            frame; up to 2^24.
        doppler: normalised Doppler frequency f_d T, cycles per complex symbol, of gains with Jakes' spectrum, up to
            0.5; 0 for blocks.
        k_factor_db: power of the line of sight over that of the scattered waves (Rician fading), up to 60 dB;
            NO_LINE_OF_SIGHT for none.
    """

    coherence: int = 0
    doppler: float = 0.0
    k_factor_db: float = NO_LINE_OF_SIGHT

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: an option is outside its range, or excludes another.
        """
        super().__post_init__()
        if not 0 <= self.coherence <= MAX_COHERENCE:
            raise ValueError(f"coherence must be in 0..{MAX_COHERENCE}, 0 for one gain per frame, got {self.coherence}")
        if not 0 <= self.doppler <= MAX_DOPPLER:
            raise ValueError(f"doppler must be in 0..{MAX_DOPPLER:g}, 0 for blocks of one gain, got {self.doppler}")
        if self.doppler and self.coherence:
            raise ValueError(
                f"doppler excludes coherence: give one of them, got doppler {self.doppler}, coherence {self.coherence}"
            )
        if not NO_LINE_OF_SIGHT <= self.k_factor_db <= MAX_K_FACTOR_DB:
            raise ValueError(
                f"k_factor_db must be in {NO_LINE_OF_SIGHT:g}..{MAX_K_FACTOR_DB:g}, {NO_LINE_OF_SIGHT:g} for no line "
                f"of sight, got {self.k_factor_db}"
            )


@dataclass(frozen=True)
class Rayleigh:
    """y = h x + n: consecutive reals are one complex symbol x, E|h|^2 = 1, n ~ N(0, 10^(-snr_db / 10)) per real symbol.

    What is received is not equalised. The last of an odd number of reals is a complex symbol with nothing beside it.

    Attributes:
        snr_db: [B] mean signal-to-noise ratio per real symbol of unit power, -30..60 dB.
        options: how the gains change and what they are, and the limit of the peaks.
    """

    fades: ClassVar[bool] = True
    snr_db: Tensor
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: snr_db is outside its range or not a number.
        """
        _snr.check(self.snr_db)

    def draw(self, shape: torch.Size, draws: Draws) -> Realisation:
        """Draw the phase of a line of sight, the gains one after the other and standard normal noise.

        In this order, so that no gain depends on the number of symbols: the images that methods of different rates send
        one by one meet the same fades, as far as each goes. The phase is always drawn: nothing else depends on it.
        """
        turns = draws.rand(shape[0], 1)
        scattered = self._scattered(shape[0], -(-shape[1] // 2), draws)
        return Realisation(draws.randn(*shape), self._with_line_of_sight(scattered, turns))

    def apply(self, s: Tensor, realisation: Realisation) -> tuple[Tensor, Truth]:
        """Return y [B, k] of s [B, k], amplified, and the noise power [B], which counts no clipping, with the gains."""
        gains = self._of_symbols(realisation, -(-s.shape[1] // 2))
        return _fading.arrived(amplified(s, self.options.papr_db), gains, self.snr_db, realisation.noise)

    def _block(self, symbols: int) -> int:
        """Return how many of a frame's complex symbols have one gain."""
        if self.options.doppler:
            return 1
        return max(1, min(self.options.coherence or symbols, symbols))

    def _scattered(self, images: int, symbols: int, draws: Draws) -> Tensor:
        """Draw what the scattered waves alone make: complex64 [B, blocks], CN(0, 1)."""
        if self.options.doppler:
            return _jakes.gains(_fading.complex_normal(images, _jakes.SINUSOIDS, draws), self.options.doppler, symbols)
        return _fading.complex_normal(images, -(-symbols // self._block(symbols)), draws)

    def _with_line_of_sight(self, scattered: Tensor, turns: Tensor) -> Tensor:
        """Add the wave that comes straight, of one phase [B, 1] in turns for each image, at the same mean power."""
        if self.options.k_factor_db == NO_LINE_OF_SIGHT:
            return scattered
        share = 1 / (1 + 10 ** (-self.options.k_factor_db / 10))
        straight = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
        return math.sqrt(share) * straight + math.sqrt(1 - share) * scattered

    def _of_symbols(self, realisation: Realisation, symbols: int) -> Tensor:
        """Return the gain of every complex symbol, [B, symbols]; errors as of `_fading.gains_of`."""
        return _fading.gains_of(realisation).repeat_interleave(self._block(symbols), dim=1)[:, :symbols]
