"""The decoder: symbols to image."""

import time

import numpy as np
import torch

from jscc.serving import tensors
from jscc.serving.host import NOMINAL_SIZE_PX, Host, Hosted
from jscc.wire import codec, convert
from jscc.wire.errors import CheckpointMismatchError
from jscc.wire.server import Service
from jscc.wire.v1 import decoder_pb2 as pb
from jscc.wire.v1 import symbols_pb2

MAX_MAGNITUDE = 1e4
"""Largest received symbol; unit power at the lowest SNR stays far below."""


class DecoderServicer:
    """Handlers of the decoder service."""

    def __init__(self, host: Host, settings: dict[str, str]) -> None:
        """Serve the receivers of `host`; `settings` are only described."""
        self._host, self._settings = host, settings

    def decode(self, raw: bytes, hop: codec.Hop) -> bytes:
        """Answer DecodeRequest bytes with DecodeResponse bytes.

        Raises:
            ValueError: a field is out of its range.
            UnknownMethodError: the method is not served.
            CheckpointMismatchError: the symbols are of another checkpoint.
        """
        request, symbols = codec.decode(pb.DecodeRequest, raw)
        convert.require(request, "context", "side", "state")
        convert.check_context(request.context)
        hosted = self._pick(request.context)
        options = convert.options_from_wire(hosted.method.receive_options_type, request.options)
        side = tensors.side_from_wire(request.side, self._host.device)
        state = tensors.state_from_wire(request.state, self._host.device)
        y = tensors.symbols_from_wire(symbols).to(self._host.device)
        if float(y.abs().max()) > MAX_MAGNITUDE:
            raise ValueError(f"symbols: a magnitude above {MAX_MAGNITUDE:g}")
        hop.lap("deserialize", time.perf_counter_ns())
        with self._host.computing():
            x_hat = hosted.receiver(y, side, state, options)
            pixels = (x_hat[0].float() * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        self._host.synchronise()
        hop.lap("compute", time.perf_counter_ns())
        answer = pb.DecodeResponse(checkpoint_digest=hosted.card.digest, options=convert.options_in_force(options))
        return codec.encode_timed(answer, pixels.cpu().numpy(), hop, time.perf_counter_ns)

    def warm_up(self) -> None:
        """Decode the symbols of one grey image with every receiver."""
        for hosted in self._host.hosted:
            layout = hosted.config.layout(*NOMINAL_SIZE_PX, hosted.method.send_options_type())
            height_px, width_px = NOMINAL_SIZE_PX
            request = pb.DecodeRequest(
                context=symbols_pb2.RequestContext(
                    method=hosted.card.name,
                    checkpoint_digest=hosted.card.transmitter_digest,
                    request_id="warm-up",
                ),
                side=symbols_pb2.SideInformation(
                    height_px=height_px,
                    width_px=width_px,
                    codes=[0] * layout.code_count,
                    code_bits=layout.code_bits,
                ),
                state=symbols_pb2.ChannelState(noise_power=1.0),
            )
            raw = codec.encode(request, np.zeros((1, layout.channel_uses), dtype=np.float32))
            self.decode(raw, codec.Hop.start(time.perf_counter_ns(), len(raw)))

    async def describe(self, raw: bytes) -> pb.DecoderServiceDescribeResponse:
        """Say what is served here."""
        return pb.DecoderServiceDescribeResponse(description=self._host.describe("decoder", self._settings))

    def service(self) -> Service:
        """Return the service to run."""
        return Service(
            "jscc.wire.v1.DecoderService",
            compute={"Decode": self.decode},
            direct={"Describe": self.describe},
            warm_up=self.warm_up,
            health_names=self._host.names,
        )

    def _pick(self, context: symbols_pb2.RequestContext) -> Hosted:
        hosted = self._host.find(context.method)
        if context.checkpoint_digest != hosted.card.transmitter_digest:
            sender = f"'{context.transmitter}' " if context.transmitter else ""
            raise CheckpointMismatchError(
                f"checkpoint_digest: the symbols are of {sender}'{context.checkpoint_digest}', '{hosted.card.name}' "
                f"here decodes those of '{hosted.method.transmitter_method}' '{hosted.card.transmitter_digest}'"
            )
        return hosted
