"""Routes: which receiver hears which transmitter, told by the digest of the checkpoint that makes the symbols."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jscc.options import ChosenOptions
from jscc.rates import of_highest_rate
from jscc.wire import convert
from jscc.wire.client import Client
from jscc.wire.v1 import symbols_pb2 as pb


class RouteError(LookupError):
    """A name for which the link has no complete route."""


@dataclass(frozen=True)
class Route:
    """The way of one served name through the link.

    Attributes:
        transmitter: what the encoder said of the half that makes the symbols.
        receiver: what the decoder said of the half that understands them.
        decoder: connection to that decoder.
    """

    transmitter: pb.ServedMethod
    receiver: pb.ServedMethod
    decoder: Client

    @property
    def name(self) -> str:
        """The served name, which users ask for: the receiver's."""
        return self.receiver.name

    @property
    def digest(self) -> str:
        """Digest of the receiver's checkpoint, which names that of its transmitter too."""
        return self.receiver.checkpoint_digest

    @property
    def rho(self) -> float:
        """Bandwidth ratio for sizes that need no padding."""
        return self.transmitter.rho

    @property
    def is_whole(self) -> bool:
        """Whether both halves are of one checkpoint; if not, the method is only another receiver."""
        return self.transmitter.checkpoint_digest == self.receiver.checkpoint_digest

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option of either half with its default."""
        options = convert.plain_options(self.transmitter.send_options)
        return options | convert.plain_options(self.receiver.receive_options)

    def split(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the options that are the transmitter's and those that are the receiver's.

        Raises:
            ValueError: the method has no such option; names it and those that there are.
        """
        for name in options:
            if name not in self.defaults:
                known = ", ".join(sorted(self.defaults)) or "none"
                raise ValueError(f"options: '{self.name}' has no option '{name[:100]}' (known: {known})")
        halves = (self.transmitter.send_options, self.receiver.receive_options)
        send, receive = ({name: value for name, value in options.items() if name in half} for half in halves)
        return send, receive

    def chosen(self, options: Mapping[str, Any]) -> ChosenOptions:
        """Return the options that are not at their defaults."""
        defaults = self.defaults
        return ChosenOptions({name: it for name, it in options.items() if not _equal(it, defaults.get(name))})


@dataclass
class RouteTable:
    """Every route of a link.

    Attributes:
        routes: by served name.
        unmatched: why a served receiver has no route, one sentence, by served name.
    """

    routes: dict[str, Route] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Route:
        """Return the route of a served name, or of the default when it is empty.

        Raises:
            RouteError: no decoder serves it, or the encoder lacks the checkpoint whose symbols it needs.
        """
        name = name or self.default()
        if name in self.routes:
            return self.routes[name]
        if name in self.unmatched:
            raise RouteError(f"method: {self.unmatched[name]}")
        served = ", ".join(sorted(self.routes)) or "none"
        raise RouteError(f"method: '{name[:100]}' is not served by this link (served: {served})")

    def default(self) -> str:
        """Return the served name that an empty one means.

        Of those of the highest rate it is the one whose checkpoint measured best on Kodak, then the first by name.

        Raises:
            RouteError: there is no route at all.
        """
        if not self.routes:
            raise RouteError(f"method: the link has no complete route: {'; '.join(self.unmatched.values()) or 'empty'}")
        candidates = of_highest_rate(self.routes.values())
        return min(candidates, key=lambda route: (-route.receiver.kodak_psnr_db, route.name)).name


def match(encoder: pb.ServiceDescription, decoders: Iterable[tuple[Client, pb.ServiceDescription]]) -> RouteTable:
    """Match every receiver with the transmitter whose symbols it understands; the first decoder of a name gets it.

    Args:
        encoder: what the encoder serves.
        decoders: connection and description of each decoder.

    Raises:
        RouteError: the link has receivers, and none of them understands what the encoder sends; names both sides.
    """
    transmitters = {served.checkpoint_digest: served for served in encoder.methods}
    table = RouteTable()
    for client, description in decoders:
        for receiver in description.methods:
            transmitter = transmitters.get(receiver.transmitter_digest)
            if transmitter is not None:
                table.routes.setdefault(receiver.name, Route(transmitter, receiver, client))
            else:
                table.unmatched.setdefault(receiver.name, _mismatch(client.address, receiver, encoder.methods))
    table.unmatched = {name: why for name, why in table.unmatched.items() if name not in table.routes}
    if table.unmatched and not table.routes:
        raise RouteError(f"method: {'; '.join(table.unmatched.values())}")
    return table


def _mismatch(address: str, receiver: pb.ServedMethod, sent: Sequence[pb.ServedMethod]) -> str:
    here = ", ".join(f"'{item.name}' {item.checkpoint_digest}" for item in sent) or "nothing"
    return (
        f"decoder at {address} serves '{receiver.name}', which needs the symbols of '{receiver.transmitter_method}' "
        f"{receiver.transmitter_digest}; the encoder serves {here}"
    )


def _equal(value: object, default: object) -> bool:
    numbers = type(value) in (int, float) and type(default) in (int, float)
    return value == default and (numbers or type(value) is type(default))
