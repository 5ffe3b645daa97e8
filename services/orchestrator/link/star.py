"""The link as its user sees it: three kinds of services, and one image through all of them."""

import asyncio
from dataclasses import dataclass

from jscc.images import pixel_digest
from jscc.options import ChosenOptions
from jscc.serving import tensors
from jscc.wire import codec, convert
from jscc.wire.client import Client
from jscc.wire.timing import HopRecord
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.frames import Encoded, FrameMemory
from services.orchestrator.link.job import Job
from services.orchestrator.link.routes import RouteTable, match
from services.orchestrator.link.waiting import Step


@dataclass(frozen=True)
class Delivery:
    """What came out of the link.

    Attributes:
        pixels: uint8 [H, W, 3], the received image.
        method: served name of the method that was used.
        options: the method's options that were not left at their defaults, by name.
        transmitter_digest: of the checkpoint that made the symbols, as the encoder said.
        receiver_digest: of the checkpoint that decoded, as the decoder said.
        ledger: what the symbols were spent on, as the encoder said.
        lost: what was lost, as the decoder said: "header", "payload" or "".
        noise_digest: of the realisation.
        hops: records of encoder, channel and decoder.
        is_old_frame: whether the symbols had been encoded for another draw; nothing tells the time of that.
    """

    pixels: codec.Array
    method: str
    options: ChosenOptions
    transmitter_digest: str
    receiver_digest: str
    ledger: pb.Ledger
    lost: str
    noise_digest: str
    hops: tuple[HopRecord, ...]
    is_old_frame: bool = False


class Star:
    """Connections to the services.

    Attributes:
        addresses: where they are.
        table: the routes, once discovered.
        descriptions: what the services say of themselves: encoder, channel, then every decoder.
    """

    def __init__(self, addresses: Addresses) -> None:
        """Connect lazily; `discover` finds out what is served."""
        self.addresses = addresses
        self._encoder = Client("encoder", addresses.encoder)
        self._channel = Client("channel", addresses.channel)
        self._decoders = [Client("decoder", address) for address in addresses.decoders]
        self.table = RouteTable()
        self.descriptions: list[pb.ServiceDescription] = []

    async def __aenter__(self) -> "Star":
        """Return the link."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await asyncio.gather(*(client.close() for client in self._clients()))

    def _clients(self) -> list[Client]:
        return [self._encoder, self._channel, *self._decoders]

    async def wait_until_serving(self, timeout_s: float) -> None:
        """Wait until every service reports SERVING to these connections, which pause after a failure.

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

    async def send(
        self, job: Job, pixels: codec.Array, step: Step | None = None, frames: FrameMemory | None = None
    ) -> Delivery:
        """Send one image.

        Args:
            job: method, channel, seed, options.
            pixels: uint8 [H, W, 3].
            step: told which service is at work.
            frames: where the frame is looked for, but for the first draw, and kept; None to encode in any case.

        Raises:
            RouteError: the method is not served.
            ValueError: the method has no such option.
            LinkError: a hop failed.
        """
        route, step = self.table.find(job.method), step or Step()
        context = pb.RequestContext(
            request_id=job.request_id,
            method=route.transmitter.name,
            checkpoint_digest=route.transmitter.checkpoint_digest,
            seed=job.seed,
            transmitter=route.transmitter.name,
        )
        send_options, receive_options = map(convert.options_to_wire, route.split(job.options))
        grid = tensors.grid_to_wire(job.air.grid)
        encode = encoder_pb2.EncodeRequest(
            context=context, told_snr_db=job.told_snr_db, options=send_options, grid=grid
        )
        step.what = f"the encoder at {self._encoder.address} to encode"
        sent, is_old = await self._encoded(job, encode, pixels, frames)
        transmit = channel_pb2.TransmitRequest(
            context=context, channel=_channel(job), with_gains=job.air.csi == "perfect"
        )
        step.what = f"the channel at {self._channel.address} to transmit"
        arrived, y, channel_hop = await self._channel.exchange(
            "Transmit", (transmit, sent.symbols), channel_pb2.TransmitResponse, job.timeout_s
        )
        context.method = route.name
        decode = decoder_pb2.DecodeRequest(
            context=context, size=_size(pixels), state=arrived.state, options=receive_options, grid=grid
        )
        step.what = f"the decoder at {route.decoder.address} to decode"
        decoded, received, decoder_hop = await route.decoder.exchange(
            "Decode", (decode, y), decoder_pb2.DecodeResponse, job.timeout_s
        )
        return Delivery(
            pixels=received,
            method=route.name,
            options=route.chosen(job.options),
            transmitter_digest=sent.answer.checkpoint_digest,
            receiver_digest=decoded.checkpoint_digest,
            ledger=sent.answer.ledger,
            lost=decoded.lost,
            noise_digest=arrived.noise_digest,
            hops=(sent.hop, channel_hop, decoder_hop),
            is_old_frame=is_old,
        )

    async def _encoded(
        self, job: Job, request: encoder_pb2.EncodeRequest, pixels: codec.Array, frames: FrameMemory | None
    ) -> tuple[Encoded, bool]:
        """Return a frame, and whether it had been encoded for another draw."""

        async def encode() -> Encoded:
            answer = await self._encoder.exchange(
                "Encode", (request, pixels), encoder_pb2.EncodeResponse, job.timeout_s
            )
            return Encoded(*answer)

        if frames is None:
            return await encode(), False
        asked = encoder_pb2.EncodeRequest()
        asked.CopyFrom(request)
        asked.context.ClearField("request_id")
        asked.context.ClearField("seed")  # of the air: a transmitter draws nothing
        key = asked.SerializeToString(deterministic=True), pixel_digest(pixels)
        return await frames.frame(key, encode, may_be_old=job.draw > 0)


def _size(pixels: codec.Array) -> pb.ImageSize:
    return pb.ImageSize(height_px=pixels.shape[0], width_px=pixels.shape[1])


def _channel(job: Job) -> pb.ChannelModel:
    options = convert.options_to_wire(job.air.options)
    return pb.ChannelModel(name=job.air.channel, snr_db=job.snr_db, options=options)
