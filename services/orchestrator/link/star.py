"""The link as its user sees it: three kinds of services, and one image through all of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jscc.wire import codec, convert
from jscc.wire.client import Client, HopTimes
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.routes import Route, RouteTable, match

DEFAULT_TIMEOUT_S = 600.0
"""Deadline of a hop: an image of 4096x4096 px takes a slow CPU minutes."""


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
        method: served name of the method; empty for the default.
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
        self.table = RouteTable()
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
            RouteError: no receiver understands what the encoder sends.
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
        described = zip(self._decoders, self.descriptions[2:], strict=True)
        self.table = match(encoder.description, described)

    async def send(self, job: Job, pixels: codec.Array) -> Delivery:
        """Send one image.

        Args:
            job: method, channel, seed, options.
            pixels: uint8 [H, W, 3].

        Raises:
            RouteError: the method is not served.
            LinkError: a hop failed.
        """
        route = self.table.find(job.method)
        context = pb.RequestContext(
            request_id=job.request_id,
            method=route.transmitter.name,
            checkpoint_digest=route.transmitter.checkpoint_digest,
            seed=job.seed,
            transmitter=route.transmitter.name,
        )
        options = convert.options_to_wire(job.options)
        encode = encoder_pb2.EncodeRequest(context=context, snr_db=job.air.snr_db)
        if route.is_whole:  # else the options are those of another receiver
            encode = encoder_pb2.EncodeRequest(context=context, snr_db=job.air.snr_db, options=options)
        sent, s, encoder_times = await self._encoder.exchange(
            "Encode", (encode, pixels), encoder_pb2.EncodeResponse, job.timeout_s
        )
        transmit = channel_pb2.TransmitRequest(context=context, **job.air.to_wire())
        arrived, y, channel_times = await self._channel.exchange(
            "Transmit", (transmit, s), channel_pb2.TransmitResponse, job.timeout_s
        )
        context.method = route.name
        decode = decoder_pb2.DecodeRequest(context=context, side=sent.side, state=arrived.state, options=options)
        _, received, decoder_times = await route.decoder.exchange(
            "Decode", (decode, y), decoder_pb2.DecodeResponse, job.timeout_s
        )
        times = {"encoder": encoder_times, "channel": channel_times, "decoder": decoder_times}
        return Delivery(received, route, arrived.channel_uses, sent.header_bits, arrived.noise_digest, times)
