"""The channel: what air adds to symbols."""

import time

import numpy as np
import torch

from jscc import channels
from jscc.draws import Draws
from jscc.serving import tensors
from jscc.signals import noise_generator
from jscc.wire import codec, convert
from jscc.wire.describe import description
from jscc.wire.server import Service
from jscc.wire.v1 import channel_pb2 as pb
from jscc.wire.v1 import symbols_pb2

MAX_POWER = 1.01
"""Mean power of a message's symbols is at most 1; the rest is rounding."""


class ChannelServicer:
    """Handlers of the channel service."""

    def __init__(self, settings: dict[str, str]) -> None:
        """Serve every channel model; `settings` are only described."""
        self._settings = settings

    def transmit(self, raw: bytes, hop: codec.Hop) -> bytes:
        """Answer TransmitRequest bytes with TransmitResponse bytes.

        Raises:
            ValueError: a field is missing or out of its range.
            UnknownChannelError: there is no such channel.
        """
        request, symbols = codec.decode(pb.TransmitRequest, raw)
        s = tensors.symbols_from_wire(symbols)
        signal_power = float(s.double().square().mean())
        if signal_power > MAX_POWER:
            raise ValueError(f"symbols: mean power {signal_power:.4g}, the limit is 1")
        convert.require(request, "context", "channel")
        convert.require(request.channel, "snr_db")
        convert.check_context(request.context)
        kind = channels.load(request.channel.name)
        options = convert.options_from_wire(kind.options_type, request.channel.options)
        channel = kind.make(torch.tensor([request.channel.snr_db], dtype=torch.float32), options)
        hop.lap("deserialize", time.perf_counter_ns())
        draws = Draws(noise_generator(request.context.seed))
        with torch.inference_mode():
            realisation = channel.draw(s.shape, draws)
            y, truth = channel.apply(s, realisation)
            added_power = float((y - s).square().mean())
        answer = pb.TransmitResponse(
            channel=symbols_pb2.ChannelModel(
                name=kind.name, snr_db=request.channel.snr_db, options=convert.options_in_force(options)
            ),
            state=symbols_pb2.ChannelState(noise_power=float(truth.noise_power[0])),
            noise_digest=realisation.digest,
            signal_power=signal_power,
            noise_power=added_power,
            channel_uses=s.shape[1],
        )
        hop.lap("compute", time.perf_counter_ns())
        return codec.encode_timed(answer, y.numpy(), hop, time.perf_counter_ns)

    def warm_up(self) -> None:
        """Send one message through every channel model."""
        for name in channels.names():
            request = pb.TransmitRequest(
                context=symbols_pb2.RequestContext(request_id="warm-up"),
                channel=symbols_pb2.ChannelModel(name=name, snr_db=0.0),
            )
            raw = codec.encode(request, np.ones((1, 1024), dtype=np.float32))
            self.transmit(raw, codec.Hop.start(time.perf_counter_ns(), len(raw)))

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
