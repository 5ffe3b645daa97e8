"""Air: one condition under which images cross a link, and how it is written.

    awgn    rayleigh    rayleigh:coherence=128,pilots=4    rayleigh:coherence=1,csi=perfect

A channel with its options, and beside it what both ends know of the frame: what the transmitter is told of the fading,
blocks, pilots, and what the receiver knows of the gains. What is not written follows from the channel.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from jscc import ofdm
from jscc.grid import MAX_COHERENCE, MAX_MOVING_PILOTS, MAX_PILOTS, PLAIN, Grid
from jscc.options import ChosenOptions, OptionValue

T = TypeVar("T")

CSIS = ("pilots", "perfect", "none")
"""What a receiver knows of the gains: it estimates them from pilots; a genie tells them; nothing."""
STEADY = ("awgn", "noiseless")
"""Channels that are known not to fade before they are loaded."""
_PILOTS_OF_A_FRAME = 64
_BLOCK_PER_PILOT = 16
"""Complex symbols of a block for each pilot: best of 16, 32 and 64 for blocks of 128 at 10 dB."""
_TURNS_OF_A_BLOCK = 0.1
"""How far gains may move within a block that a receiver takes for itself, in wavelengths."""
_SPREADS_OF_A_BLOCK = 0.02
"""The same from subcarrier to subcarrier: of a block, over the inverse of the delay spread."""
_SPREADS_OF_MANY = 8.0
"""Bandwidth over the inverse of the delay spread, from which on a frame has many gains."""
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
            implied = filled(self.channel, self.channel not in STEADY, self.options, FrameChoice(**chosen))
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


def filled(channel: str, fades: bool, options: Mapping[str, OptionValue], frame: FrameChoice) -> FrameChoice:
    """Return a frame with nothing left to follow.

    Args:
        channel: its name.
        fades: whether it has gains.
        options: its own, which say how long a gain lasts, and of what is like it.
        frame: what is asked for.
    """
    moves, coherence = _moves(channel, options), int(_number(options, "coherence"))
    is_many = coherence or moves.is_fast
    told = _or(frame.told, "none" if not fades else "fast" if is_many else "block")
    csi = _or(frame.csi, "pilots" if fades or frame.pilots else "none")
    expected = _expected(frame, moves if csi == "pilots" else _Moves())
    block = _or(frame.block, coherence or _distance(expected) or _still_block(moves))
    pilots = _or(frame.pilots, _pilots(block, _distance(expected)) if csi == "pilots" else 0)
    return FrameChoice(told, csi, *expected, block, pilots, frame.interleaved is not False)


class _Moves(NamedTuple):
    """How gains move: see `Grid.row_length`, `Grid.expected_doppler` and `Grid.expected_spread`."""

    row_length: int = 1
    doppler: float = 0.0
    spread: float = 0.0

    @property
    def is_fast(self) -> bool:
        """Whether gains differ many times within a frame: in time, or across the bandwidth."""
        return self.doppler > 0 if self.row_length == 1 else self.row_length * self.spread > _SPREADS_OF_MANY


def _moves(channel: str, options: Mapping[str, OptionValue]) -> _Moves:
    if channel not in ofdm.CHANNELS:
        return _Moves(doppler=_number(options, "doppler"))
    link = ofdm.Ofdm.of(options)
    return _Moves(link.subcarriers, link.doppler, link.spread)


def _expected(frame: FrameChoice, moves: _Moves) -> _Moves:
    return _Moves(
        _or(frame.row_length, moves.row_length),
        _or(frame.expected_doppler, moves.doppler),
        _or(frame.expected_spread, moves.spread),
    )


def _or(asked: T | None, implied: T) -> T:
    return implied if asked is None else asked


def _number(options: Mapping[str, OptionValue], name: str) -> float:
    value = options.get(name, 0)
    return value if isinstance(value, int | float) else 0  # text: of a channel of another build, which a row may name


def _still_block(moves: _Moves) -> int:
    """Return the block that a receiver takes for itself, of gains that move; 0, all of a frame, where they do not."""
    if not moves.doppler and not moves.spread:
        return 0
    most = _TURNS_OF_A_BLOCK / moves.doppler if moves.row_length == 1 else _SPREADS_OF_A_BLOCK / (moves.spread or 1)
    return int(min(max(_LEAST_MOVING_BLOCK, round(most)), MAX_COHERENCE))


def _distance(expected: _Moves) -> int:
    """Return how far apart pilots are where a receiver knows how gains move; 0 where it does not.

    The noise that an estimate lets through grows with the distance, and what pilots take of the uses falls with it.
    Over subcarriers it has no factor in common with their number: then pilots of other instants lie on others of them.
    """
    if not expected.doppler and not expected.spread:
        return 0
    least, most = _DISTANCES
    best = 1 / math.sqrt(expected.doppler) if expected.row_length == 1 else most
    if expected.spread:
        best = min(best, 2 / math.sqrt(expected.spread))
    distance = round(min(max(least, best), most))
    while distance > least and math.gcd(distance, expected.row_length) > 1:
        distance -= 1
    return distance


def _pilots(block: int, distance: int) -> int:
    if not block:
        return _PILOTS_OF_A_FRAME
    return min(max(1, block // (distance or _BLOCK_PER_PILOT)), MAX_MOVING_PILOTS if distance else MAX_PILOTS)


def _text(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
