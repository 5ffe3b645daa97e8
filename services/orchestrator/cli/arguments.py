"""Arguments that several commands share, and what their texts mean."""

import ast
from typing import Annotated, Any

import typer

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


def number(text: str) -> float:
    """Return a number.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"snr_db: '{text}' is no number") from None


def option(text: str) -> tuple[str, Any]:
    """Return the name and the value of an option name=value: a switch, a number, else text.

    Raises:
        ValueError: it has another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"option: '{text}' is not of the form name=value")
    if value in ("true", "false"):
        return name, value == "true"
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
