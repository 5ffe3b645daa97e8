"""The transmission methods: every module of this folder whose name has no leading underscore is one.

A method's module defines `Config`, `SendOptions`, `ReceiveOptions`, `Transmitter` and `Receiver`, all of the types in
`_contract`; see CONTRIBUTING.md. Listing the methods imports none of them, and no torch.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jscc import config
from jscc.options import OptionValue

if TYPE_CHECKING:
    from jscc.models._contract import ReceiveOptions, SendOptions, SomeConfig, SomeReceiver, SomeTransmitter


@dataclass(frozen=True)
class Study:
    """Transmissions that show what a method's options do, beside those with the defaults.

    Attributes:
        options: the options, of either half, that are not left at their defaults, by name; empty to send the defaults
            at other SNRs.
        snr_db: SNRs in dB, -30..60 each, at most 100.
        images: how many images of the data set, evenly spread; None for all.
    """

    options: Mapping[str, OptionValue]
    snr_db: tuple[float, ...]
    images: int | None = None


@dataclass(frozen=True)
class Method:
    """One transmission method.

    Attributes:
        name: module name, the name on the wire.
        config_type: what is fixed when a checkpoint is trained.
        send_options_type: what a request may choose and both ends must agree on.
        receive_options_type: what a request may choose and only the receiver does.
        transmitter_type: image to symbols.
        receiver_type: symbols to image.
    """

    name: str
    config_type: "type[SomeConfig]"
    send_options_type: "type[SendOptions]"
    receive_options_type: "type[ReceiveOptions]"
    transmitter_type: "type[SomeTransmitter]"
    receiver_type: "type[SomeReceiver]"

    @property
    def transmitter_method(self) -> str:
        """Name of the method whose transmitter this one listens to; its own unless it is only another receiver."""
        return self.transmitter_type.__module__.rpartition(".")[2]

    def options(self, values: Mapping[str, OptionValue], where: str) -> "tuple[SendOptions, ReceiveOptions]":
        """Build the options of both halves from values by name.

        Args:
            values: of either half's options, in any order; the others keep their defaults.
            where: what to name in an error.

        Raises:
            ValueError: an unknown option, one of another kind or out of its range; names it.
        """
        send, receive = (
            {field.name for field in dataclasses.fields(kind)}
            for kind in (self.send_options_type, self.receive_options_type)
        )
        for name in values:
            if name not in send | receive:
                known = ", ".join(sorted(send | receive)) or "none"
                raise ValueError(f"{where}: unknown key '{name}' (known: {known})")
        return (
            config.from_mapping(self.send_options_type, _named(values, send), where),
            config.from_mapping(self.receive_options_type, _named(values, receive), where),
        )


def _named(values: Mapping[str, OptionValue], names: set[str]) -> dict[str, OptionValue]:
    return {name: value for name, value in values.items() if name in names}


class UnknownMethodError(LookupError):
    """A method that this build does not have, or that a service does not serve."""


def names() -> list[str]:
    """Return the names of all methods, sorted: the modules of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Method:
    """Import one method.

    Raises:
        UnknownMethodError: no module of this name; the message lists those that exist.
    """
    if name not in names():
        raise UnknownMethodError(f"method: unknown method {config.shown(name)} (known: {', '.join(names())})")
    module = importlib.import_module(f"{__name__}.{name}")
    return Method(
        name=name,
        config_type=module.Config,
        send_options_type=module.SendOptions,
        receive_options_type=module.ReceiveOptions,
        transmitter_type=module.Transmitter,
        receiver_type=module.Receiver,
    )
