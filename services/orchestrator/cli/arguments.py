"""Arguments that several commands share, and what their texts mean."""

import re
from typing import Annotated

import typer

from jscc.config import check_option, shown
from services.orchestrator.link.job import check_seed, check_snr_db

MAX_WAIT_S = 3600

EncoderAddress = Annotated[str | None, typer.Option("--encoder", help="host:port of an encoder that runs already")]
ChannelAddress = Annotated[str | None, typer.Option("--channel", help="host:port of a channel that runs already")]
DecoderAddress = Annotated[
    str | None, typer.Option("--decoder", help="host:port of a decoder, or several separated by commas")
]
ChannelModel = Annotated[str, typer.Option("--channel-model", help="name of the channel, such as awgn or noiseless")]
ChannelOptions = Annotated[
    list[str] | None, typer.Option("--channel-option", help="an option of the channel as name=value; may be repeated")
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


def wait_s(value: float | None) -> float | None:
    """Return a time to wait in seconds; None where none was given.

    Raises:
        ValueError: it is outside 1..3600 s.
    """
    if value is not None and not 1 <= value <= MAX_WAIT_S:
        raise ValueError(f"wait_s: {value:g} is outside 1..{MAX_WAIT_S} s")
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


def option(text: str) -> tuple[str, bool | int | float | str]:
    """Return the name and the value of an option name=value: true or false, a number, else text.

    Text in quotation marks is text, whatever it looks like.

    Raises:
        ValueError: it has another form, or the value is a list, not finite or beyond 64 bits; names the option.
    """
    name, equals, written = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"option: {shown(text)} is not of the form name=value")
    value = _value(written.strip())
    if isinstance(value, str) and written.strip()[:1] in ("[", "(", "{"):
        raise ValueError(f"option {name}: expected one number, true, false or text, got {written[:100]}")
    check_option(name, value)
    return name, value


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?[0-9]{1,100}", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
