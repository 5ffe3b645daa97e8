"""Clustered delay lines of 3GPP TR 38.901 under OFDM: rays from given directions; see docs/fading.md."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from jscc.channels import _exact, _ofdm, _tr38901
from jscc.draws import Draws

Options = _ofdm.Options
_OFFSETS = (0.0447, 0.1413, 0.2492, 0.3715, 0.5129, 0.6797, 0.8844, 1.1481, 1.5195, 2.1551)
"""Of the rays of a cluster to either side, in units of the cluster's spread: TR 38.901, table 7.5-3."""
_RAYS = 2 * len(_OFFSETS)
_ROWS = 1024


@dataclass(frozen=True)
class Cdl(_ofdm.OfdmChannel):
    """CDL-A to CDL-E between one vertical antenna without direction at either end, seen by a receiver that moves level.

    Its direction is drawn, as are the phases of the rays and which angles of azimuth and zenith belong together.
    Polarisation does not matter between such antennas, and neither do the directions of departure.

    Source: 3GPP TR 38.901, 7.7.1 and 7.5, steps 7 to 11.
    """

    kind: ClassVar[str] = "cdl"
    options: Options = field(default_factory=Options)

    def _paths(self, profile: _tr38901.Profile, images: int, rows: int, draws: Draws) -> Tensor:
        """Draw the phase of the line of sight, the way of the receiver, the rays' phases and their coupling.

        All are always drawn, and as many as the delay line has paths: a line of sight leaves its rays unused.
        """
        paths = len(profile.powers)
        turns, way = draws.rand(images, 1), 2 * math.pi * draws.rand(images, 1, 1).double()
        phase = 2 * math.pi * draws.rand(images, paths, _RAYS).double()
        coupling = draws.rand(images, paths, _RAYS).argsort(dim=2)
        azimuth, zenith = _angles(profile, "aoa", "cASA", way), _angles(profile, "zoa", "cZSA", way)
        coupled = zenith.expand(images, -1, -1).gather(2, coupling)
        doppler = self.options.doppler * coupled.sin() * (azimuth - way).cos()
        taps = _sums(torch.polar(torch.ones_like(phase), phase), doppler, rows) / math.sqrt(_RAYS)
        if profile.has_line_of_sight:
            towards = self.options.doppler * float(zenith[0, 0].sin()) * (azimuth[0, 0] - way[:, 0]).cos()
            taps[:, 0] = _ofdm.line_of_sight(turns, towards, rows)
        return taps * profile.powers.sqrt().to(taps.device)[:, None]


def _angles(profile: _tr38901.Profile, name: str, spread: str, like: Tensor) -> Tensor:
    """Return the angles of arrival float64 [paths, rays] in radians; those of a line of sight have no spread."""
    offsets = torch.tensor([sign * offset for offset in _OFFSETS for sign in (1, -1)], dtype=torch.float64)
    middle = torch.tensor(profile.table[name], dtype=torch.float64)[:, None]
    spreads = torch.full_like(middle, profile.table[spread])
    if profile.has_line_of_sight:
        spreads[0] = 0
    return torch.deg2rad(middle + spreads * offsets).to(like.device)


def _sums(phasors: Tensor, frequency: Tensor, rows: int) -> Tensor:
    """Return the sums of the rays [B, paths, rays] of every path at every OFDM symbol: complex128 [B, paths, rows]."""
    parts = []
    for some in torch.split(torch.arange(rows, device=phasors.device), _ROWS):  # so that long frames take little memory
        waves = _exact.phasors(some, frequency.flatten()).view(len(some), *frequency.shape)
        parts.append(_exact.in_steps(waves * phasors).sum(3).permute(1, 2, 0))
    return torch.cat(parts, dim=2)
