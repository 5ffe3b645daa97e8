"""An OFDM link without interference between subcarriers: every symbol meets the frequency response at its place.

    H(c, m) = sum over paths p of a_p(m) e^(-2 pi j tau_p c),    E|H|^2 = sum of E|a_p|^2 = 1

with c the subcarrier, m the OFDM symbol and tau_p the delay over one cycle of the subcarriers' spacing. `jscc.ofdm` has
the grid. Paths do not change within an OFDM symbol, and the cyclic prefix is taken for long enough.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from jscc.channels import Realisation, Truth, _exact, _fading, _snr, _tr38901
from jscc.draws import Draws
from jscc.grid import MAX_ROW
from jscc.ofdm import Ofdm

_LIMITS = {
    "delay_spread_ns": (0, 10_000),
    "carrier_ghz": (0.5, 100),
    "speed_m_s": (0, 500),
    "subcarriers": (12, MAX_ROW),
    "spacing_khz": (1, 960),
}
_MOST_CYCLES = 0.5
_CHUNK = 2**22


@dataclass(frozen=True)
class Options(Ofdm):
    """What a request may choose; ranges beside the attributes of `Ofdm`.

    Attributes:
        model: letter of the delay line, A to C without and D and E with a line of sight.
    """

    model: str = "A"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: an option is outside its range, or gains change too much from symbol to symbol.
        """
        if self.model not in _tr38901.MODELS:
            raise ValueError(f"model must be one of {', '.join(_tr38901.MODELS)}, got {self.model[:100]!r}")
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be in {least}..{most}, got {getattr(self, name)}")
        if self.doppler > _MOST_CYCLES:
            raise ValueError(
                f"speed_m_s: {self.speed_m_s:g} m/s at {self.carrier_ghz:g} GHz are {self.doppler:.2f} cycles from one "
                f"OFDM symbol to the next, the limit is {_MOST_CYCLES:g}; choose a larger spacing_khz"
            )
        if self.spread > _MOST_CYCLES:
            raise ValueError(
                f"delay_spread_ns: {self.delay_spread_ns:g} ns are {self.spread:.2f} cycles of {self.spacing_khz:g} "
                f"kHz, the limit is {_MOST_CYCLES:g}; choose a smaller spacing_khz"
            )


@dataclass(frozen=True)
class OfdmChannel:
    """y = H x + n on every subcarrier, n ~ N(0, 10^(-snr_db / 10)) per real symbol; what is received is not equalised.

    Attributes:
        snr_db: [B] mean signal-to-noise ratio per real symbol of unit power, -30..60 dB.
        options: the delay line and the link.
    """

    fades: ClassVar[bool] = True
    kind: ClassVar[str]
    snr_db: Tensor
    options: Options

    def __post_init__(self) -> None:
        """Check range and installation.

        Raises:
            ValueError: snr_db is outside its range or not a number.
            MissingExtraError: the extra `radio` is not installed.
        """
        _snr.check(self.snr_db)
        _tr38901.check(self.kind)

    def draw(self, shape: torch.Size, draws: Draws) -> Realisation:
        """Draw the paths, then standard normal noise: no gain depends on the number of symbols."""
        symbols = -(-shape[1] // 2)
        rows = -(-symbols // self.options.subcarriers)
        profile = _tr38901.profile(self.kind.upper(), self.options.model)
        gains = self._response(self._paths(profile, shape[0], rows, draws), profile.delays)
        return Realisation(draws.randn(*shape), gains[:, :symbols])

    def apply(self, s: Tensor, realisation: Realisation) -> tuple[Tensor, Truth]:
        """Return y [B, k] of s [B, k], and the noise power [B] with the gains."""
        return _fading.arrived(s, _fading.gains_of(realisation), self.snr_db, realisation.noise)

    def _paths(self, profile: _tr38901.Profile, images: int, rows: int, draws: Draws) -> Tensor:
        """Draw what the paths are at every OFDM symbol: complex128 [B, paths, rows], whose powers add up to 1."""
        raise NotImplementedError

    def _response(self, paths: Tensor, delays: Tensor) -> Tensor:
        """Return the gains complex64 [B, rows * N] of paths [B, paths, rows], of delays [paths] over the spread."""
        subcarriers = torch.arange(self.options.subcarriers, device=paths.device)
        waves = _exact.phasors(subcarriers, -self.options.spread * delays.to(paths.device)).mT
        size = max(1, _CHUNK // (len(paths) * self.options.subcarriers))
        parts = [(part.mT @ waves).to(torch.complex64) for part in torch.split(_exact.in_steps(paths), size, dim=2)]
        return torch.cat(parts, dim=1).flatten(1)


def line_of_sight(turns: Tensor, doppler: Tensor | float, rows: int) -> Tensor:
    """Return a wave of power 1 at every OFDM symbol, complex128 [B, rows].

    Args:
        turns: [B, 1] its phase at the first.
        doppler: its frequency in cycles from one to the next, one for all or [B, 1].
        rows: how many.
    """
    angle = 2 * math.pi * ((turns.double() + doppler * torch.arange(rows, device=turns.device)) % 1)
    return torch.polar(torch.ones_like(angle), angle)
