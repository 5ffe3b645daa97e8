"""The channel: what air adds to symbols."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from jscc import channels
from jscc.channels import Channel
from jscc.draws import Draws
from jscc.limits import MAX_MESSAGE_BYTES
from jscc.serving import tensors
from jscc.signals import noise_generator
from jscc.wire import codec, convert
from jscc.wire.describe import description
from jscc.wire.errors import TooLargeError
from jscc.wire.service import Pipeline, Service
from jscc.wire.v1 import channel_pb2 as pb
from jscc.wire.v1 import symbols_pb2

_log = logging.getLogger(__name__)

MAX_POWER = 1.01
"""Mean power of a message's symbols is at most 1; the rest is rounding."""


@dataclass(frozen=True)
class _Order:
    """One message to send: s [1, k] of a measured power, the channel, the seed, and whether the gains are told."""

    s: torch.Tensor
    signal_power: float
    model: symbols_pb2.ChannelModel
    channel: Channel
    seed: int
    with_gains: bool


@dataclass(frozen=True)
class _Arrival:
    """What became of it: y [1, k], the gains that are told, and the answer without them."""

    y: torch.Tensor
    gains: torch.Tensor | None
    answer: pb.TransmitResponse


class ChannelServicer:
    """Handlers of the channel service.

    Attributes:
        transmit: the RPC Transmit.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        """Serve every channel model; `settings` are only described."""
        self._settings = settings
        self.transmit = Pipeline(pb.TransmitRequest, _parse, _compute, _answer)

    def warm_up(self) -> None:
        """Send one message through every channel model that this installation has all of."""
        for name in channels.names():
            request = pb.TransmitRequest(
                context=symbols_pb2.RequestContext(request_id="warm-up"),
                channel=symbols_pb2.ChannelModel(name=name, snr_db=0.0),
            )
            try:
                self.transmit.rehearse(request, np.ones((1, 1024), dtype=np.float32))
            except channels.MissingExtraError as error:
                _log.info("%s", error)

    async def describe(self, raw: bytes) -> pb.ChannelServiceDescribeResponse:
        """Say what is served here."""
        answer = description("channel", self._settings)
        answer.device, answer.precision = "cpu", "float32"
        answer.channels.extend(
            symbols_pb2.ServedChannel(name=name, options=convert.options_in_force(channels.load(name).options_type()))
            for name in channels.names()
        )
        return pb.ChannelServiceDescribeResponse(description=answer)

    def service(self) -> Service:
        """Return the service to run."""
        return Service(
            "jscc.wire.v1.ChannelService",
            compute={"Transmit": self.transmit},
            direct={"Describe": self.describe},
            warm_up=self.warm_up,
            health_names=tuple(channels.names()),
        )


def _parse(request: pb.TransmitRequest, symbols: codec.Array) -> _Order:
    """Check a request.

    Raises:
        ValueError: a field is missing or out of its range.
        UnknownChannelError: there is no such channel.
        TooLargeError: symbols and gains are too many for an answer.
    """
    s = tensors.symbols_from_wire(symbols)
    signal_power = float(torch.dot(s[0], s[0])) / s.shape[1]
    if signal_power > MAX_POWER:
        raise ValueError(f"symbols: mean power {signal_power:.4g}, the limit is 1")
    convert.require(request, "context", "channel")
    convert.require(request.channel, "snr_db")
    convert.check_context(request.context)
    kind, snr_db = channels.load(request.channel.name), request.channel.snr_db
    if request.with_gains:
        _check_gains(kind, s)
    options = convert.options_from_wire(kind.options_type, request.channel.options)
    in_force = symbols_pb2.ChannelModel(name=kind.name, snr_db=snr_db, options=convert.options_in_force(options))
    channel = kind.make(torch.tensor([snr_db], dtype=torch.float32), options)
    return _Order(s, signal_power, in_force, channel, request.context.seed, request.with_gains)


def _check_gains(kind: channels.ChannelType, s: torch.Tensor) -> None:
    """Refuse gains that are not there, and those that no message holds beside the symbols."""
    if not kind.fades:
        raise ValueError(f"with_gains: channel '{kind.name}' does not fade")
    size_bytes = 2 * s.nbytes
    if size_bytes > MAX_MESSAGE_BYTES:
        raise TooLargeError(f"with_gains: symbols and gains are {size_bytes} bytes, the limit is {MAX_MESSAGE_BYTES}")


def _compute(orders: list[_Order]) -> list[_Arrival]:
    with torch.inference_mode():
        return [_through_the_air(order) for order in orders]


def _through_the_air(order: _Order) -> _Arrival:
    realisation = order.channel.draw(order.s.shape, Draws(noise_generator(order.seed)))
    y, truth = order.channel.apply(order.s, realisation)
    answer = pb.TransmitResponse(
        channel=order.model,
        state=symbols_pb2.ChannelState(noise_power=float(truth.noise_power[0])),
        noise_digest=realisation.digest,
        signal_power=order.signal_power,
        noise_power=float((y - truth.faded(order.s)).square().mean()),
        channel_uses=order.s.shape[1],
    )
    return _Arrival(y, truth.told_gains(y.shape[1]) if order.with_gains else None, answer)


def _answer(arrival: _Arrival) -> tuple[pb.TransmitResponse, codec.Array]:
    return arrival.answer, tensors.received_to_wire(arrival.y, arrival.gains)
