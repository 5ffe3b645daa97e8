"""Air: one condition under which images cross a link, and how it is written.

    awgn    rayleigh    rayleigh:coherence=128,pilots=4    rayleigh:coherence=1,csi=perfect

A channel with its options, and beside it what both ends know of the frame: what the transmitter is told of the fading,
blocks, pilots, and what the receiver knows of the gains. What is not written follows from the channel.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from jscc.grid import MAX_COHERENCE, MAX_MOVING_PILOTS, MAX_PILOTS, PLAIN, Grid
from jscc.options import ChosenOptions, OptionValue

CSIS = ("pilots", "perfect", "none")
"""What a receiver knows of the gains: it estimates them from pilots; a genie tells them; nothing."""
STEADY = ("awgn", "noiseless")
"""Channels that are known not to fade before they are loaded."""
_PILOTS_OF_A_FRAME = 64
_BLOCK_PER_PILOT = 16
"""Complex symbols of a block for each pilot: best of 16, 32 and 64 for blocks of 128 at 10 dB."""
_TURNS_OF_A_BLOCK = 0.1
"""How far gains may move within a block that a receiver takes for itself, in wavelengths."""
_LEAST_MOVING_BLOCK = 4
_DISTANCES = (2, 64)
"""The least and the most complex symbols from pilot to pilot where a receiver knows how gains move."""


@dataclass(frozen=True)
class AirSpec:
    """One condition under which images are sent.

    Attributes:
        channel: name of the channel.
        options: its options that are not at their defaults.
        grid: how the symbols of a frame lie in the air.
        csi: what the receiver knows of the gains, one of CSIS.
    """

    channel: str = "awgn"
    options: ChosenOptions = field(default_factory=ChosenOptions)
    grid: Grid = PLAIN
    csi: str = "none"

    def asked(self) -> dict[str, OptionValue]:
        """Return what has to be asked for to get this: options of the channel, and of the frame what they imply not."""
        grid, chosen = self.grid, dict[str, Any]()
        expected = (grid.row_length, grid.expected_doppler, grid.expected_spread)
        there = FrameChoice(grid.fading, self.csi, *expected, grid.coherence, grid.pilots, grid.interleaved)
        for name, value in there._asdict().items():  # in this order: what follows may follow from it
            implied = filled(self.channel not in STEADY, self.options, FrameChoice(**chosen))
            if getattr(implied, name) != value:
                chosen[name] = value
        return {**self.options, **chosen}

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        return _written(self)


@lru_cache
def _written(air: AirSpec) -> str:
    asked = ",".join(f"{name}={_text(value)}" for name, value in air.asked().items())
    return f"{air.channel}:{asked}" if asked else air.channel


AWGN = AirSpec()
"""White noise alone, and a plain frame: what is meant where nothing is said."""


class FrameChoice(NamedTuple):
    """What is asked of a frame; None where it follows from the channel, and from what stands before it here."""

    told: str | None = None
    csi: str | None = None
    row_length: int | None = None
    expected_doppler: float | None = None
    expected_spread: float | None = None
    block: int | None = None
    pilots: int | None = None
    interleaved: bool | None = None


def filled(fades: bool, options: Mapping[str, OptionValue], frame: FrameChoice) -> FrameChoice:
    """Return a frame with nothing left to follow.

    Args:
        fades: whether the channel has gains.
        options: the channel's, of which `coherence` and `doppler` say how long a gain lasts.
        frame: what is asked for.
    """
    coherence, doppler = int(_number(options, "coherence")), _number(options, "doppler")
    told, csi, row_length, expected_doppler, expected_spread, block, pilots, interleaved = frame
    if told is None:
        told = "none" if not fades else "fast" if coherence or doppler else "block"
    if csi is None:
        csi = "pilots" if fades or pilots else "none"
    if expected_doppler is None:
        expected_doppler = doppler if csi == "pilots" else 0.0
    if block is None:
        block = _distance(expected_doppler) if expected_doppler else _moving_block(doppler) if doppler else coherence
    if pilots is None:
        pilots = _pilots(block, expected_doppler) if csi == "pilots" else 0
    expected = (row_length or 1, expected_doppler, expected_spread or 0.0)
    return FrameChoice(told, csi, *expected, block, pilots, interleaved is not False)


def _number(options: Mapping[str, OptionValue], name: str) -> float:
    value = options.get(name, 0)
    return value if isinstance(value, int | float) else 0  # text: of a channel of another build, which a row may name


def _moving_block(doppler: float) -> int:
    return int(min(max(_LEAST_MOVING_BLOCK, round(_TURNS_OF_A_BLOCK / doppler)), MAX_COHERENCE))


def _distance(expected_doppler: float) -> int:
    """Return how far apart pilots are where a receiver knows how gains move.

    The noise that an estimate lets through grows with the distance, and what pilots take of the uses falls with it.
    """
    least, most = _DISTANCES
    return round(min(max(least, 1 / math.sqrt(expected_doppler)), most))


def _pilots(block: int, expected_doppler: float) -> int:
    if not block:
        return _PILOTS_OF_A_FRAME
    if expected_doppler:
        return min(max(1, block // _distance(expected_doppler)), MAX_MOVING_PILOTS)
    return min(max(1, block // _BLOCK_PER_PILOT), MAX_PILOTS)


def _text(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
