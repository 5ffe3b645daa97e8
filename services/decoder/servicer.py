"""The decoder: symbols to image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jscc.config import shown
from jscc.serving import tensors
from jscc.serving.host import NOMINAL_SIZE_PX, Host, Hosted
from jscc.signals import ChannelState, Layout, Side
from jscc.wire import codec, convert
from jscc.wire.errors import CheckpointMismatchError
from jscc.wire.service import Pipeline, Service
from jscc.wire.v1 import decoder_pb2 as pb
from jscc.wire.v1 import symbols_pb2

MAX_MAGNITUDE = 1e4
"""Largest received symbol or gain; unit power at the lowest SNR stays far below, faded or not."""


@dataclass(frozen=True)
class _Order:
    """One image to decode: which receiver, its options, and what it works with; y is [1, k], of the layout's frame."""

    hosted: Hosted
    options: Any
    y: torch.Tensor
    size_px: tuple[int, int]
    state: ChannelState
    layout: Layout


class DecoderServicer:
    """Handlers of the decoder service.

    Attributes:
        decode: the RPC Decode.
    """

    def __init__(self, host: Host, settings: dict[str, str]) -> None:
        """Serve the receivers of `host`; `settings` are only described."""
        self._host, self._settings = host, settings
        self.decode = Pipeline(pb.DecodeRequest, self._parse, self._compute, self._answer)

    def _parse(self, request: pb.DecodeRequest, symbols: codec.Array) -> _Order:
        """Check a request.

        Raises:
            ValueError: a field is missing or out of its range.
            UnknownMethodError: the method is not served.
            CheckpointMismatchError: the symbols are of another checkpoint.
        """
        convert.require(request, "context", "size", "state")
        convert.check_context(request.context)
        hosted = self._pick(request.context)
        options = convert.options_from_wire(hosted.method.receive_options_type, request.options)
        size_px = tensors.size_from_wire(request.size)
        layout = hosted.layout(*size_px, tensors.grid_from_wire(request.grid))
        y, gains = tensors.received_from_wire(symbols)
        if float(np.abs(symbols).max()) > MAX_MAGNITUDE:
            raise ValueError(f"symbols: a magnitude above {MAX_MAGNITUDE:g}")
        state = tensors.state_from_wire(request.state, self._host.device, gains)
        return _Order(hosted, options, y.to(self._host.device), size_px, state, layout)

    def _compute(self, orders: list[_Order]) -> list[tuple[_Order, torch.Tensor, str]]:
        """Return every order's picture, uint8 [H, W, 3], and what of it is lost."""
        with self._host.computing():
            pictures = []
            for order in orders:
                receive, size_px = order.hosted.receiver.receive, order.size_px
                x_hat, lost = receive(order.y, order.state, order.layout, size_px, order.options)
                pixels = (x_hat[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
                pictures.append((order, pixels, lost[0]))
        self._host.synchronise()
        return pictures

    def _answer(self, picture: tuple[_Order, torch.Tensor, str]) -> tuple[pb.DecodeResponse, codec.Array]:
        order, pixels, lost = picture
        digest, options = order.hosted.card.digest, convert.options_in_force(order.options)
        return pb.DecodeResponse(checkpoint_digest=digest, options=options, lost=lost), pixels.cpu().numpy()

    def warm_up(self) -> None:
        """Decode a frame of nothing, and the symbols of one black image, with every receiver."""
        height_px, width_px = NOMINAL_SIZE_PX
        for hosted in self._host.hosted:
            layout = hosted.layout(*NOMINAL_SIZE_PX)
            request = pb.DecodeRequest(
                context=symbols_pb2.RequestContext(
                    method=hosted.card.name,
                    checkpoint_digest=hosted.card.transmitter_digest,
                    request_id="warm-up",
                ),
                size=symbols_pb2.ImageSize(height_px=height_px, width_px=width_px),
                state=symbols_pb2.ChannelState(noise_power=1.0),
            )
            self.decode.rehearse(request, np.zeros((1, layout.channel_uses), dtype=np.float32))
            self._rehearse_networks(hosted)

    def _rehearse_networks(self, hosted: Hosted) -> None:
        """Let a receiver work as it does where a header has arrived, which that of nothing does not."""
        layout, x = hosted.layout(*NOMINAL_SIZE_PX), torch.zeros(1, 3, *NOMINAL_SIZE_PX, device=self._host.device)
        codes, y = x.new_zeros(1, layout.code_count), x.new_zeros(1, layout.slots)
        side = Side.told(x, x.new_zeros(1), 0, codes, layout.code_bits)
        with self._host.computing():
            hosted.receiver(y, side, ChannelState(x.new_ones(1)), hosted.method.receive_options_type())

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
            sender = f"{shown(context.transmitter)} " if context.transmitter else ""
            digest = shown(context.checkpoint_digest)
            raise CheckpointMismatchError(
                f"checkpoint_digest: the symbols are of {sender}{digest}, '{hosted.card.name}' here decodes those of "
                f"'{hosted.method.transmitter_method}' '{hosted.card.transmitter_digest}'"
            )
        return hosted
