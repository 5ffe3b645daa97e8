"""The channel: what air adds to symbols."""

import time

import numpy as np
import torch

from jscc import channels
from jscc.channels import Channel
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
            ValueError: a field is out of its range or no channel is chosen.
        """
        request, symbols = codec.decode(pb.TransmitRequest, raw)
        s = tensors.symbols_from_wire(symbols)
        signal_power = float(s.double().square().mean())
        if signal_power > MAX_POWER:
            raise ValueError(f"symbols: mean power {signal_power:.4g}, the limit is 1")
        channel = _model(request)
        convert.check_context(request.context)
        hop.lap("deserialize", time.perf_counter_ns())
        draws = Draws(noise_generator(request.context.seed))
        with torch.inference_mode():
            realisation = channel.draw(s.shape, draws)
            y, truth = channel.apply(s, realisation)
            added_power = float((y - s).square().mean())
        answer = pb.TransmitResponse(
            state=symbols_pb2.ChannelState(noise_power=float(truth.noise_power[0])),
            noise_digest=realisation.digest,
            signal_power=signal_power,
            noise_power=added_power,
            channel_uses=s.shape[1],
        )
        chosen = request.WhichOneof("channel")
        assert chosen is not None
        getattr(answer, chosen).CopyFrom(getattr(request, chosen))
        hop.lap("compute", time.perf_counter_ns())
        return codec.encode_timed(answer, y.numpy(), hop, time.perf_counter_ns)

    def warm_up(self) -> None:
        """Send one message through every channel model."""
        for request in (
            pb.TransmitRequest(awgn=symbols_pb2.Awgn(snr_db=0)),
            pb.TransmitRequest(noiseless=symbols_pb2.Noiseless()),
        ):
            raw = codec.encode(request, np.ones((1, 1024), dtype=np.float32))
            self.transmit(raw, codec.Hop.start(time.perf_counter_ns(), len(raw)))

    async def describe(self, raw: bytes) -> pb.ChannelServiceDescribeResponse:
        """Say what is served here."""
        answer = description("channel", self._settings)
        answer.device, answer.precision = "cpu", "float32"
        answer.channels.extend(CHANNELS)
        return pb.ChannelServiceDescribeResponse(description=answer)

    def service(self) -> Service:
        """Return the service to run."""
        return Service(
            "jscc.wire.v1.ChannelService",
            compute={"Transmit": self.transmit},
            direct={"Describe": self.describe},
            warm_up=self.warm_up,
            health_names=CHANNELS,
        )


CHANNELS = tuple(field.name for field in pb.TransmitRequest.DESCRIPTOR.oneofs_by_name["channel"].fields)


def _model(request: pb.TransmitRequest) -> Channel:
    name = request.WhichOneof("channel")
    if name is None:
        raise ValueError(f"channel: none chosen (known: {', '.join(CHANNELS)})")
    return channels.make(name, torch.tensor([request.awgn.snr_db], dtype=torch.float32), {})
