"""The transmission methods: every module of this folder whose name has no leading underscore is one.

A method's module defines `Config`, `Options`, `Transmitter` and `Receiver`; see CONTRIBUTING.md.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Study:
    """Transmissions that show what a method's options do, beside those with the defaults.

    A method's Config may define `studies() -> tuple[Study, ...]`; a full sweep sends them.

    Attributes:
        options: the options that are not left at their defaults, by name; empty to send the defaults at other SNRs.
        snr_db: SNRs in dB, -30..60 each, at most 100.
        images: how many images of the data set, evenly spread; None for all.
    """

    options: Mapping[str, int | float | bool | str]
    snr_db: tuple[float, ...]
    images: int | None = None


@dataclass(frozen=True)
class Method:
    """One transmission method.

    Attributes:
        name: module name, the name on the wire.
        config_type: frozen dataclass of what is fixed when a checkpoint is trained, with `layout(height_px, width_px)
            -> Layout`.
        options_type: frozen dataclass of what a request may choose.
        transmitter_type: `forward(x, snr_db, options) -> (s, side)`.
        receiver_type: `forward(y, side, state, options) -> x_hat`.
        transmitter_method: name of the method whose transmitter this one listens to; its own name unless the method
            is only another receiver.
        initialise: optional function `(transmitter, receiver, images) -> None` that the trainer calls before step 0.
    """

    name: str
    config_type: type[Any]
    options_type: type[Any]
    transmitter_type: type[nn.Module]
    receiver_type: type[nn.Module]
    transmitter_method: str
    initialise: Any


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
        raise UnknownMethodError(f"method: unknown method '{name}' (known: {', '.join(names())})")
    module = importlib.import_module(f"{__name__}.{name}")
    return Method(
        name=name,
        config_type=module.Config,
        options_type=module.Options,
        transmitter_type=module.Transmitter,
        receiver_type=module.Receiver,
        transmitter_method=module.Transmitter.__module__.rpartition(".")[2],
        initialise=getattr(module, "initialise", None),
    )
