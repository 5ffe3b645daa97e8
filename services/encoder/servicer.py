"""The encoder: image to symbols."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jscc.config import shown
from jscc.framing.frame import Frame
from jscc.grid import Grid
from jscc.limits import MAX_MESSAGE_BYTES, MAX_SIDE_PX, MAX_SNR_DB, MIN_SNR_DB
from jscc.serving import tensors
from jscc.serving.host import NOMINAL_SIZE_PX, Host, Hosted
from jscc.wire import codec, convert
from jscc.wire.errors import CheckpointMismatchError, TooLargeError
from jscc.wire.service import Pipeline, Service
from jscc.wire.v1 import encoder_pb2 as pb
from jscc.wire.v1 import symbols_pb2

_SYMBOL_BYTES = 4


@dataclass(frozen=True)
class _Order:
    """One image to encode: which transmitter, its options, x [1, 3, H, W], the told SNR [1] and the frame's grid."""

    hosted: Hosted
    options: Any
    x: torch.Tensor
    snr_db: torch.Tensor
    grid: Grid


class EncoderServicer:
    """Handlers of the encoder service.

    Attributes:
        encode: the RPC Encode.
    """

    def __init__(self, host: Host, settings: dict[str, str]) -> None:
        """Serve the transmitters of `host`; `settings` are only described."""
        self._host, self._settings = host, settings
        self.encode = Pipeline(pb.EncodeRequest, self._parse, self._compute, self._answer)

    def _parse(self, request: pb.EncodeRequest, image: codec.Array) -> _Order:
        """Check a request.

        Raises:
            ValueError: a field is missing or out of its range.
            UnknownMethodError: the method is not served.
            CheckpointMismatchError: the wanted checkpoint is not here.
        """
        convert.require(request, "context", "told_snr_db")
        convert.check_context(request.context)
        hosted = self._pick(request.context)
        options = convert.options_from_wire(hosted.method.send_options_type, request.options)
        if not MIN_SNR_DB <= request.told_snr_db <= MAX_SNR_DB:
            raise ValueError(f"told_snr_db: {request.told_snr_db} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")
        snr_db = torch.tensor([request.told_snr_db], dtype=torch.float32, device=self._host.device)
        x, grid = _to_tensor(image), tensors.grid_from_wire(request.grid)
        _check_frame(hosted.layout(x.shape[-2], x.shape[-1], grid).channel_uses)
        return _Order(hosted, options, x.to(self._host.device), snr_db, grid)

    def _compute(self, orders: list[_Order]) -> list[tuple[_Order, Frame]]:
        with self._host.computing():
            coded = [
                (order, order.hosted.transmitter.send(order.x, order.snr_db, order.options, order.grid))
                for order in orders
            ]
        self._host.synchronise()
        return coded

    def _answer(self, coded: tuple[_Order, Frame]) -> tuple[pb.EncodeResponse, codec.Array]:
        order, frame = coded
        answer = pb.EncodeResponse(
            checkpoint_digest=order.hosted.card.digest,
            ledger=tensors.ledger_to_wire(frame),
            options=convert.options_in_force(order.options),
        )
        return answer, frame.symbols.float().cpu().numpy()

    def warm_up(self) -> None:
        """Send one grey image through every transmitter."""
        image = np.full((*NOMINAL_SIZE_PX, 3), 128, dtype=np.uint8)
        for hosted in self._host.hosted:
            context = symbols_pb2.RequestContext(
                method=hosted.card.name, checkpoint_digest=hosted.card.digest, request_id="warm-up"
            )
            self.encode.rehearse(pb.EncodeRequest(context=context, told_snr_db=0.0), image)

    async def describe(self, raw: bytes) -> pb.EncoderServiceDescribeResponse:
        """Say what is served here."""
        return pb.EncoderServiceDescribeResponse(description=self._host.describe("encoder", self._settings))

    def service(self) -> Service:
        """Return the service to run."""
        return Service(
            "jscc.wire.v1.EncoderService",
            compute={"Encode": self.encode},
            direct={"Describe": self.describe},
            warm_up=self.warm_up,
            health_names=self._host.names,
        )

    def _pick(self, context: symbols_pb2.RequestContext) -> Hosted:
        hosted = self._host.find(context.method)
        if context.checkpoint_digest not in ("", hosted.card.digest):
            raise CheckpointMismatchError(
                f"checkpoint_digest: '{hosted.card.name}' is wanted as {shown(context.checkpoint_digest)}, "
                f"here it is {hosted.card.digest}"
            )
        return hosted


def _check_frame(channel_uses: int) -> None:
    """Refuse a frame that no message holds: pilots can make one much longer than its method's symbols."""
    size_bytes = channel_uses * _SYMBOL_BYTES
    if size_bytes > MAX_MESSAGE_BYTES:
        raise TooLargeError(
            f"grid: {channel_uses} channel uses with pilots are {size_bytes} bytes, the limit is {MAX_MESSAGE_BYTES}"
        )


def _to_tensor(image: codec.Array) -> torch.Tensor:
    """Return uint8 [H, W, 3] as float32 [1, 3, H, W] in [0, 1], channels last in memory."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise codec.CodecError(f"image: {image.dtype} {list(image.shape)}, expected uint8 [height, width, 3]")
    if max(image.shape) > MAX_SIDE_PX:
        raise TooLargeError(f"image: {image.shape[1]}x{image.shape[0]} px, the limit is {MAX_SIDE_PX} px a side")
    return torch.from_numpy(image.astype(np.float32) / 255)[None].permute(0, 3, 1, 2)
