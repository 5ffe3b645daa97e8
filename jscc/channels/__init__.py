"""Channels: what air adds to symbols, as differentiable maths that the trainer and the channel service share.

Every module of this folder is a channel; the folder is the list. A channel's module defines `Options`, a frozen
dataclass of what a request may choose, and a class of the module's name (`awgn.Awgn`) that is built of the SNRs [B] in
dB and the options. It is split into `draw` (all randomness) and `apply` (maths alone); see CONTRIBUTING.md.
Listing the channels imports none of them, and no torch.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from jscc import config

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from jscc.draws import Draws
    from jscc.signals import ChannelState


@dataclass(frozen=True)
class Realisation:
    """What a channel drew for a batch.

    Attributes:
        noise: [B, k] standard normal numbers; [B, 0] where nothing is added.
        gain: complex64 [B, blocks] with E|h|^2 = 1; None where nothing fades.
    """

    noise: "Tensor"
    gain: "Tensor | None" = None

    @property
    def digest(self) -> str:
        """16 hex digits over gains and noise: equal digests mean that two messages met the same air."""
        import torch

        parts = (self.noise,) if self.gain is None else (torch.view_as_real(self.gain), self.noise)
        hashed = hashlib.blake2b(digest_size=8)
        for part in parts:
            hashed.update(part.detach().cpu().contiguous().numpy().tobytes())
        return hashed.hexdigest()


@dataclass(frozen=True)
class Truth:
    """What really happened to the symbols, as only an emulator knows it.

    Attributes:
        noise_power: [B] float32, noise variance per real symbol relative to unit signal power; 0 for no noise.
        gains: complex64 [B, ceil(k / 2)], that of every complex symbol (s[2i], s[2i + 1]); None where nothing fades. A
            receiver gets them only where it is said to be a genie.
    """

    noise_power: "Tensor"
    gains: "Tensor | None" = None

    def faded(self, s: "Tensor") -> "Tensor":
        """Return what arrives of s [B, k] but for the noise; an odd last real is a complex symbol by itself."""
        if self.gains is None:
            return s
        import torch
        from torch.nn import functional

        pairs = functional.pad(s, (0, s.shape[1] % 2))
        faded = torch.complex(pairs[:, 0::2], pairs[:, 1::2]) * self.gains
        return torch.view_as_real(faded).flatten(1)[:, : s.shape[1]]

    def told_gains(self, count: int) -> "Tensor | None":
        """Return the gains as a genie tells them to the receiver of `count` reals; None where nothing fades.

        Of the gain of an odd last real its real part is all that arrives, and all that is told.
        """
        if self.gains is None or count % 2 == 0:
            return self.gains
        import torch

        gains = self.gains.clone()
        gains[:, -1] = torch.complex(gains.real[:, -1], torch.zeros_like(gains.real[:, -1]))
        return gains

    def state(self) -> "ChannelState":
        """Return the state of a receiver that knows the noise power alone, and equalises nothing."""
        from jscc.signals import ChannelState

        return ChannelState(self.noise_power)


class Channel(Protocol):
    """What every channel is.

    Attributes:
        fades: whether it has gains other than 1.
    """

    fades: ClassVar[bool]

    def draw(self, shape: "torch.Size", draws: "Draws") -> Realisation:
        """Draw everything random for symbols of shape [B, k], from draws and options, whatever the SNR."""

    def apply(self, s: "Tensor", realisation: Realisation) -> "tuple[Tensor, Truth]":
        """Send s [B, k] through a realisation; return y [B, k] and what happened. Differentiable, nothing random."""


class UnknownChannelError(LookupError):
    """A channel that this build does not have."""


class MissingExtraError(ValueError):
    """A channel of which this installation lacks a part; the message says how to install it."""


@dataclass(frozen=True)
class ChannelType:
    """One kind of channel.

    Attributes:
        name: module name, the name on the wire.
        options_type: frozen dataclass of what a request may choose.
        channel_type: the channel, built of the SNRs [B] in dB and the options.
    """

    name: str
    options_type: type[Any]
    channel_type: type[Any]

    @property
    def fades(self) -> bool:
        """Whether it has gains other than 1."""
        fades: bool = self.channel_type.fades
        return fades

    def make(self, snr_db: "Tensor", options: Any = None) -> Channel:
        """Return the channel of these SNRs [B] in dB; options None for the defaults.

        Raises:
            ValueError: an SNR or an option is out of its range.
        """
        channel: Channel = self.channel_type(snr_db, self.options_type() if options is None else options)
        return channel


def names() -> list[str]:
    """Return the names of all channels, sorted: the modules of this folder."""
    return list(_modules(tuple(__path__)))


@cache
def _modules(folders: tuple[str, ...]) -> tuple[str, ...]:
    """List the folders once: a channel service asks with every message, and the answer takes 0.2 ms."""
    return tuple(sorted(it.name for it in pkgutil.iter_modules(folders) if not it.name.startswith("_")))


def load(name: str) -> ChannelType:
    """Import one kind of channel.

    Raises:
        UnknownChannelError: no module of this name; the message lists those that exist.
    """
    if name not in names():
        raise UnknownChannelError(f"channel: unknown channel {config.shown(name)} (known: {', '.join(names())})")
    module = importlib.import_module(f"{__name__}.{name}")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    return ChannelType(name, module.Options, getattr(module, class_name))


def make(name: str, snr_db: "Tensor", options: Mapping[str, Any]) -> Channel:
    """Return the channel of a name, of SNRs [B] in dB and of options by name.

    Raises:
        UnknownChannelError: there is no such channel.
        ValueError: an SNR is out of its range, or an option unknown, of a wrong kind or out of its range.
    """
    kind = load(name)
    return kind.make(snr_db, config.from_mapping(kind.options_type, options, f"channel {name}"))
