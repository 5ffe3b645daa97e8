"""Tapped delay lines of 3GPP TR 38.901 under OFDM: independent taps with Jakes' spectrum; see docs/fading.md."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from jscc.channels import _fading, _jakes, _ofdm, _tr38901
from jscc.draws import Draws

Options = _ofdm.Options
_LINE_OF_SIGHT = 0.7
"""Its Doppler frequency over the highest one."""


@dataclass(frozen=True)
class Tdl(_ofdm.OfdmChannel):
    """TDL-A to TDL-E: every tap complex normal, a line of sight beside the first one of D and E.

    Source: 3GPP TR 38.901, 7.7.2.
    """

    kind: ClassVar[str] = "tdl"
    options: Options = field(default_factory=Options)

    def _paths(self, profile: _tr38901.Profile, images: int, rows: int, draws: Draws) -> Tensor:
        """Draw the phase of the line of sight and the taps, one after the other; the phase is always drawn."""
        turns = draws.rand(images, 1)
        scattered = len(profile.powers) - profile.has_line_of_sight
        amplitudes = _fading.complex_normal(images, scattered * _jakes.SINUSOIDS, draws)
        gains = _jakes.gains(amplitudes.reshape(-1, _jakes.SINUSOIDS), self.options.doppler, rows)
        taps = gains.view(images, scattered, rows).to(torch.complex128)
        if profile.has_line_of_sight:
            straight = _ofdm.line_of_sight(turns, _LINE_OF_SIGHT * self.options.doppler, rows)
            taps = torch.cat([straight[:, None], taps], dim=1)
        return taps * profile.powers.sqrt().to(taps.device)[:, None]
