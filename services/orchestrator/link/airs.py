"""Air as it is asked for, checked: by the command line and by the API. Of awgn and noiseless it loads no torch."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jscc import channels, config
from jscc.air import CSIS, STEADY, AirSpec, FrameChoice, filled
from jscc.grid import FADINGS, MAX_COHERENCE, Grid
from jscc.options import ChosenOptions
from services.orchestrator.option_text import option

MAX_AIRS = 20


@dataclass(frozen=True)
class _FrameOptions:
    """What a request may choose of a frame, by the names that stand beside those of the channel."""

    told: str | None = None
    csi: str | None = None
    row_length: int | None = None
    expected_doppler: float | None = None
    expected_spread: float | None = None
    block: int | None = None
    pilots: int | None = None
    interleaved: bool | None = None

    def __post_init__(self) -> None:
        for name, known in (("told", FADINGS), ("csi", CSIS)):
            value = getattr(self, name)
            if value not in (None, *known):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {config.shown(value)}")
        if self.block is not None and not 0 <= self.block <= MAX_COHERENCE:
            raise ValueError(f"block must be in 0..{MAX_COHERENCE}, 0 for the whole frame, got {self.block}")


def airs_of(texts: Iterable[str]) -> tuple[AirSpec, ...]:
    """Return the air that texts name, several in a text behind commas or semicolons.

    Behind a comma, what has no "=" is another channel, and what has one is an option of the channel before.

    Raises:
        ValueError: a text has another form, an option is not there or out of its range, an air is named twice, or they
            are more than MAX_AIRS; says which.
        UnknownChannelError: there is no such channel.
    """
    wanted: list[list[str]] = []
    for token in (token.strip() for text in texts for part in text.split(";") for token in part.split(",")):
        name, colon, first = token.partition(":")
        if colon and "=" not in name:
            wanted.append([name, first])
        elif "=" not in token:
            wanted.append([token])
        elif wanted:
            wanted[-1].append(token)
        else:
            raise ValueError(f"channels: expected a channel's name first, got {config.shown(token)}")
    if not 1 <= len(wanted) <= MAX_AIRS:
        raise ValueError(f"channels: expected 1 to {MAX_AIRS}, got {len(wanted)}")
    airs = tuple(air_of(name, _chosen(name, options)) for name, *options in wanted)
    for number, air in enumerate(airs):
        if air in airs[:number]:
            raise ValueError(f"channels: {air} is there twice")
    return airs


def _chosen(name: str, texts: Iterable[str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for key, value in map(option, texts):
        if key in chosen:
            raise ValueError(f"channel {name[:100]}: {key[:100]} is given twice")
        chosen[key] = value
    return chosen


def air_of(channel: str, asked: Mapping[str, Any]) -> AirSpec:
    """Return the air of a channel and of options by name, the channel's and the frame's.

    Raises:
        ValueError: an option is not there, of a wrong kind or out of its range, or does not go with another; names it.
        UnknownChannelError: there is no such channel.
    """
    frame_names = FrameChoice._fields
    own = {name: value for name, value in asked.items() if name not in frame_names}
    fades, options = _channel_of(channel, own)
    where = f"channel {channel}"
    wanted = config.from_mapping(_FrameOptions, {name: asked[name] for name in asked if name in frame_names}, where)
    frame = FrameChoice(*(getattr(wanted, name) for name in frame_names))
    whole = filled(channel, fades, options, frame)
    _check(where, fades, frame, whole)
    assert whole.told is not None  # as of all of a frame that is filled
    expected = (whole.row_length or 1, whole.expected_doppler or 0.0, whole.expected_spread or 0.0)
    try:
        grid = Grid(whole.told, whole.block or 0, whole.pilots or 0, whole.interleaved is not False, *expected)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return AirSpec(channel, options, grid, str(whole.csi))


def _channel_of(name: str, asked: Mapping[str, Any]) -> tuple[bool, ChosenOptions]:
    """Return whether a channel fades, and its options that are not at their defaults."""
    if name in STEADY and not asked:  # right, and known without torch
        return False, ChosenOptions()
    kind = channels.load(name)
    known = {field.name for field in dataclasses.fields(kind.options_type)}
    for key in asked:
        if key not in known:
            own, frame = (", ".join(sorted(names)) or "none" for names in (known, FrameChoice._fields))
            raise ValueError(f"channel {name}: unknown key '{key[:100]}' (known: {own}; of the frame: {frame})")
    options, defaults = config.from_mapping(kind.options_type, asked, f"channel {name}"), kind.options_type()
    values = ((key, getattr(options, key)) for key in known)
    return kind.fades, ChosenOptions({key: value for key, value in values if value != getattr(defaults, key)})


def _check(where: str, fades: bool, asked: FrameChoice, whole: FrameChoice) -> None:
    """Check that what a receiver knows of the gains can be known.

    Raises:
        ValueError: it cannot; says how it could.
    """
    if whole.csi == "perfect" and not fades:
        raise ValueError(f"{where}: csi=perfect has no gains to tell, the channel does not fade; leave csi out")
    if whole.csi == "none" and asked.pilots:
        raise ValueError(f"{where}: csi=none, and pilots={asked.pilots} that tell the gains; leave one of them out")
    if whole.csi != "pilots":
        return
    if whole.block == 1:
        raise ValueError(f"{where}: a block of 1 complex symbol has no room for pilots; give csi=perfect or csi=none")
    if not whole.pilots:
        raise ValueError(f"{where}: csi=pilots needs at least one; give pilots, csi=perfect or csi=none")
