"""The link as its user sees it: three kinds of services, routes from methods to them, one image through all."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jscc.wire import codec, convert
from jscc.wire.client import Client, HopTimes
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2
from jscc.wire.v1 import symbols_pb2 as pb

DEFAULT_TIMEOUT_S = 600.0
"""Deadline of a hop: an image of 4096x4096 px takes a slow CPU minutes."""


class RouteError(LookupError):
    """A method for which the link has no complete route."""


@dataclass(frozen=True)
class Addresses:
    """Where the services are, host:port each.

    Attributes:
        encoder: address of the encoder.
        channel: address of the channel.
        decoders: one or more addresses; each method goes to the first decoder that serves it.
    """

    encoder: str
    channel: str
    decoders: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """The way of one method through the link.

    Attributes:
        method: name of the receiver's method, which is what users ask for.
        transmitter_method: name of the method that the encoder runs.
        checkpoint_digest: of the checkpoint that makes the symbols.
        rho: bandwidth ratio.
        decoder: connection to the decoder that serves the method.
    """

    method: str
    transmitter_method: str
    checkpoint_digest: str
    rho: float
    decoder: Client


@dataclass(frozen=True)
class Air:
    """The channel that a job asks for.

    Attributes:
        model: awgn or noiseless.
        snr_db: what the transmitter is told, and the SNR of awgn.
    """

    model: str
    snr_db: float

    def to_wire(self) -> dict[str, Any]:
        """Return the field of a TransmitRequest.

        Raises:
            ValueError: there is no such model.
        """
        if self.model == "awgn":
            return {"awgn": pb.Awgn(snr_db=self.snr_db)}
        if self.model == "noiseless":
            return {"noiseless": pb.Noiseless()}
        raise ValueError(f"channel: unknown model '{self.model}' (known: awgn, noiseless)")


@dataclass(frozen=True)
class Job:
    """One image to send.

    Attributes:
        request_id: for the services' logs.
        method: name of the method.
        air: the channel.
        seed: of the noise.
        options: the method's options by name.
        timeout_s: deadline of each hop.
    """

    request_id: str
    method: str
    air: Air
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True)
class Delivery:
    """What came out of the link.

    Attributes:
        pixels: uint8 [H, W, 3], the received image.
        route: the way that it took.
        channel_uses: real symbols sent.
        header_bits: side information.
        noise_digest: of the realisation.
        hops: times of encoder, channel and decoder.
    """

    pixels: codec.Array
    route: Route
    channel_uses: int
    header_bits: int
    noise_digest: str
    hops: dict[str, HopTimes]


class Link:
    """Connections to the services."""

    def __init__(self, addresses: Addresses) -> None:
        """Connect lazily; `discover` finds out what is served."""
        self._encoder = Client("encoder", addresses.encoder)
        self._channel = Client("channel", addresses.channel)
        self._decoders = [Client("decoder", address) for address in addresses.decoders]
        self.routes: dict[str, Route] = {}
        self.descriptions: list[pb.ServiceDescription] = []

    async def __aenter__(self) -> "Link":
        """Return the link."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await asyncio.gather(*(client.close() for client in self._clients()))

    def _clients(self) -> list[Client]:
        return [self._encoder, self._channel, *self._decoders]

    async def wait_until_serving(self, timeout_s: float) -> None:
        """Wait until every service reports SERVING.

        Raises:
            LinkError: one does not within timeout_s seconds.
        """
        await asyncio.gather(*(client.wait_until_serving(timeout_s) for client in self._clients()))

    async def discover(self, timeout_s: float = 10.0) -> None:
        """Ask every service what it serves, and match receivers with the transmitter whose symbols they understand.

        Raises:
            LinkError: a service does not answer.
        """
        encoder = await self._encoder.call(
            "Describe",
            encoder_pb2.EncoderServiceDescribeRequest(),
            encoder_pb2.EncoderServiceDescribeResponse,
            timeout_s,
        )
        channel = await self._channel.call(
            "Describe",
            channel_pb2.ChannelServiceDescribeRequest(),
            channel_pb2.ChannelServiceDescribeResponse,
            timeout_s,
        )
        decoders = [
            await client.call(
                "Describe",
                decoder_pb2.DecoderServiceDescribeRequest(),
                decoder_pb2.DecoderServiceDescribeResponse,
                timeout_s,
            )
            for client in self._decoders
        ]
        self.descriptions = [encoder.description, channel.description, *(answer.description for answer in decoders)]
        transmitters = {served.checkpoint_digest: served for served in encoder.description.methods}
        self.routes = {}
        for client, answer in zip(self._decoders, decoders, strict=True):
            for served in answer.description.methods:
                transmitter = transmitters.get(served.transmitter_digest)
                if transmitter is not None:
                    self.routes.setdefault(served.name, _route(transmitter, served, client))

    def route(self, method: str) -> Route:
        """Return the route of a method, or of the default method when the name is empty.

        Raises:
            RouteError: no decoder serves it, or the encoder lacks the checkpoint that its symbols need.
        """
        name = method or self.default_method()
        if name in self.routes:
            return self.routes[name]
        served = [(item.name, item) for answer in self.descriptions[2:] for item in answer.methods]
        wanted = {item.transmitter_digest for served_name, item in served if served_name == name}
        if wanted:
            here = ", ".join(f"{item.name} {item.checkpoint_digest}" for item in self.descriptions[0].methods)
            raise RouteError(f"method: '{name}' decodes symbols of {', '.join(wanted)}; the encoder has {here}")
        raise RouteError(f"method: '{name}' is not served by this link (served: {', '.join(self.routes) or 'none'})")

    def default_method(self) -> str:
        """Return the method that an empty name means: the one that spends most symbols, then by name."""
        if not self.routes:
            raise RouteError("method: the link has no complete route")
        return min(self.routes.values(), key=lambda route: (-route.rho, route.method)).method

    async def send(self, job: Job, pixels: codec.Array) -> Delivery:
        """Send one image.

        Args:
            job: method, channel, seed, options.
            pixels: uint8 [H, W, 3].

        Raises:
            RouteError: the method is not served.
            LinkError: a hop failed.
        """
        route = self.route(job.method)
        context = pb.RequestContext(
            request_id=job.request_id,
            method=route.transmitter_method,
            checkpoint_digest=route.checkpoint_digest,
            seed=job.seed,
        )
        options = convert.options_to_wire(job.options)
        encode = encoder_pb2.EncodeRequest(context=context, snr_db=job.air.snr_db)
        if route.transmitter_method == route.method:  # else the options are those of another receiver
            encode = encoder_pb2.EncodeRequest(context=context, snr_db=job.air.snr_db, options=options)
        sent, s, encoder_times = await self._encoder.exchange(
            "Encode", (encode, pixels), encoder_pb2.EncodeResponse, job.timeout_s
        )
        transmit = channel_pb2.TransmitRequest(context=context, **job.air.to_wire())
        arrived, y, channel_times = await self._channel.exchange(
            "Transmit", (transmit, s), channel_pb2.TransmitResponse, job.timeout_s
        )
        context.method = route.method
        decode = decoder_pb2.DecodeRequest(context=context, side=sent.side, state=arrived.state, options=options)
        _, received, decoder_times = await route.decoder.exchange(
            "Decode", (decode, y), decoder_pb2.DecodeResponse, job.timeout_s
        )
        times = {"encoder": encoder_times, "channel": channel_times, "decoder": decoder_times}
        return Delivery(received, route, arrived.channel_uses, sent.header_bits, arrived.noise_digest, times)


def _route(transmitter: pb.ServedMethod, receiver: pb.ServedMethod, decoder: Client) -> Route:
    return Route(
        method=receiver.name,
        transmitter_method=transmitter.name,
        checkpoint_digest=transmitter.checkpoint_digest,
        rho=transmitter.rho,
        decoder=decoder,
    )
