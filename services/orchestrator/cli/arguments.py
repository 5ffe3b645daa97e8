"""Arguments that several commands share, and what their texts mean."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from jscc.air import AWGN, AirSpec
from jscc.config import shown
from services.orchestrator.link.airs import air_of, airs_of
from services.orchestrator.link.job import check_seed, check_snr_db

MAX_WAIT_S = 3600

EncoderAddress = Annotated[str | None, typer.Option("--encoder", help="host:port of an encoder that runs already")]
ChannelAddress = Annotated[str | None, typer.Option("--channel", help="host:port of a channel that runs already")]
DecoderAddress = Annotated[
    str | None, typer.Option("--decoder", help="host:port of a decoder, or several separated by commas")
]
ChannelModel = Annotated[str, typer.Option("--channel-model", help="name of the channel, such as awgn or noiseless")]
ChannelOptions = Annotated[
    list[str] | None,
    typer.Option("--channel-option", help="an option of the channel or the frame as name=value; may be repeated"),
]
ToldSnr = Annotated[
    float | None, typer.Option("--told-snr-db", help="what the transmitter is told instead of the truth, in dB")
]
MethodOptions = Annotated[
    list[str] | None, typer.Option("--option", help="an option of the method as name=value; may be repeated")
]
WaitSeconds = Annotated[
    float | None,
    typer.Option("--wait-s", help="how long services may take to serve, 1..3600 s; left out: 30, local ones 300"),
]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to standard output instead of tables")]


def numbers(name: str, text: str) -> tuple[float, ...]:
    """Return the numbers that commas separate.

    Raises:
        ValueError: one is none; says what it should have been.
    """
    return tuple(number(name, item) for item in text.split(","))


def number(name: str, text: str) -> float:
    """Return a number.

    Raises:
        ValueError: it is none; says what it should have been.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: {shown(text)} is no number") from None


def snr_db(text: str | float) -> float:
    """Return an SNR in dB.

    Raises:
        ValueError: it is no number or outside -30..60 dB.
    """
    value = number("snr_db", text) if isinstance(text, str) else text
    check_snr_db("snr_db", value)
    return value


def airs(several: list[str] | None, channel: str, options: Mapping[str, Any]) -> tuple[AirSpec, ...]:
    """Return what images are to cross: several channels, or one with its options.

    Raises:
        ValueError: both are given, or one is not there or out of its range; says which.
        UnknownChannelError: there is no such channel.
    """
    if several is None:
        return (air_of(channel, options),)
    if options or channel != AWGN.channel:
        raise ValueError("channels: give --channels or --channel-model and --channel-option, not both")
    return airs_of(several)


def wait_s(value: float | None) -> float | None:
    """Return a time to wait in seconds; None where none was given.

    Raises:
        ValueError: it is outside 1..3600 s.
    """
    if value is not None and not 1 <= value <= MAX_WAIT_S:
        raise ValueError(f"wait_s: {value:g} is outside 1..{MAX_WAIT_S} s")
    return value


def within_percent(value: float) -> float:
    """Return how well windows have to agree, in per cent.

    Raises:
        ValueError: it is outside 0.1..100 %.
    """
    if not 0.1 <= value <= 100:
        raise ValueError(f"within_percent: {value:g} is outside 0.1..100 %")
    return value


def seed(text: str | int) -> int:
    """Return a root seed.

    Raises:
        ValueError: it is no whole number or outside 0..2^63 - 1.
    """
    if isinstance(text, str) and not re.fullmatch(r"[+-]?[0-9]{1,100}", text.strip()):
        raise ValueError(f"seed: {shown(text)} is no whole number; expected one of 0..2^63 - 1")
    check_seed(int(text))
    return int(text)
