"""Between the messages' small parts and the library's tensors. Both ends check what arrives here."""

import math

import numpy as np
import torch

from jscc.framing.frame import Frame
from jscc.limits import MAX_SIDE_PX
from jscc.signals import ChannelState
from jscc.wire.codec import Array, CodecError
from jscc.wire.v1 import symbols_pb2 as pb


def ledger_to_wire(frame: Frame) -> pb.Ledger:
    """Write what the symbols of one image, [1, k], are spent on."""
    power = frame.symbols.float().square()
    return pb.Ledger(
        channel_uses=frame.symbols.shape[1],
        header_uses=int(frame.header_uses[0]),
        header_bits=int(frame.header_bits[0]),
        header_share=float(frame.header_share[0]),
        peak_to_average_db=10 * math.log10(float(power.max() / power.mean())),
    )


def size_from_wire(size: pb.ImageSize) -> tuple[int, int]:
    """Read height and width of an image.

    Raises:
        CodecError: one is out of its range; names it.
    """
    for name in ("height_px", "width_px"):
        value = getattr(size, name)
        if not 1 <= value <= MAX_SIDE_PX:
            raise CodecError(f"size.{name}: {value} is outside 1..{MAX_SIDE_PX}")
    return size.height_px, size.width_px


def symbols_from_wire(symbols: Array) -> torch.Tensor:
    """Return the symbols of one image as float32 [1, k] in memory of their own.

    Raises:
        CodecError: another element type or shape.
    """
    if symbols.dtype != np.float32 or symbols.ndim != 2 or symbols.shape[0] != 1:
        raise CodecError(f"symbols: {symbols.dtype} {list(symbols.shape)}, expected float32 [1, k]")
    return torch.from_numpy(symbols.copy())


def state_from_wire(state: pb.ChannelState, device: str) -> ChannelState:
    """Read the channel state of one image.

    Raises:
        CodecError: the noise power is missing or no power.
    """
    if not state.HasField("noise_power"):
        raise CodecError("state.noise_power: missing in ChannelState")
    if not 0 <= state.noise_power < float("inf"):
        raise CodecError(f"state.noise_power: {state.noise_power} must be a number of at least 0")
    return ChannelState(torch.tensor([state.noise_power], dtype=torch.float32, device=device))
