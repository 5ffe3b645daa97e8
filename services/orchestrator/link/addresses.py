"""Addresses that a user gives: checked for host and port before anything is waited for."""

import ipaddress
import re
from dataclasses import dataclass

MAX_HOST = 253
"""Characters of a host name (RFC 1035, 2.3.4)."""

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class Addresses:
    """Where the services are, host:port each.

    Attributes:
        encoder: address of the encoder.
        channel: address of the channel.
        decoders: one or more addresses; each served name goes to the first decoder that has it.
    """

    encoder: str
    channel: str
    decoders: tuple[str, ...]

    @property
    def named(self) -> list[tuple[str, str]]:
        """Hop and address of every service, encoder and channel first."""
        return [("encoder", self.encoder), ("channel", self.channel), *(("decoder", item) for item in self.decoders)]


class AddressError(ValueError):
    """What a user gave as an address is none."""


def given_addresses(encoder: str | None, channel: str | None, decoder: str | None) -> Addresses | None:
    """Return the addresses that a user gave, or None where none were given.

    Raises:
        AddressError: some were given, but not all three, or one is not of the form host:port.
    """
    given = {"--encoder": encoder, "--channel": channel, "--decoder": decoder}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise AddressError(f"{missing[0]}: give all of --encoder, --channel and --decoder, or none")
    encoder, channel = check_address("--encoder", encoder or ""), check_address("--channel", channel or "")
    decoders = tuple(check_address("--decoder", item) for item in (decoder or "").split(","))
    return Addresses(encoder, channel, decoders)


def check_address(name: str, text: str) -> str:
    """Return an address host:port without spaces around it; IPv6 hosts stand in brackets.

    Args:
        name: what to name in an error, such as the option.
        text: the address.

    Raises:
        AddressError: the host is none, or the port is not in 1..65535.
    """
    try:
        split_address(text.strip())
    except ValueError as error:
        raise AddressError(
            f"{name}: {text[:100]!r} is no address: {error}; expected host:port, such as 127.0.0.1:50051"
        ) from None
    return text.strip()


def split_address(text: str) -> tuple[str, int]:
    """Return host, without brackets, and port of an address.

    Raises:
        ValueError: the host is none, or the port is not in 1..65535; says which.
    """
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        raise ValueError("it has no port")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("the port is not in 1..65535")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if ":" in host:
        raise ValueError("it has a scheme" if "//" in host else "an IPv6 host stands in brackets, [::1]:50051")
    if re.fullmatch(r"[0-9.]+", host):
        return str(ipaddress.IPv4Address(host)), int(port)
    labels = host.removesuffix(".").split(".")
    if len(host) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host is no name" if host else "it has no host")
    return host, int(port)
