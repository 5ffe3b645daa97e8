"""Between the messages' small parts and the library's tensors. Both ends check what arrives here."""

from collections.abc import Callable

import numpy as np
import torch

from jscc.limits import MAX_SIDE_PX
from jscc.signals import ChannelState, Layout, Side
from jscc.wire.codec import Array, CodecError
from jscc.wire.v1 import symbols_pb2 as pb

MAX_CODE_BITS = 16


def side_to_wire(side: Side) -> pb.SideInformation:
    """Write the side information of one image (codes [1, n])."""
    codes = [round(code) for code in side.codes[0].tolist()]
    return pb.SideInformation(height_px=side.height_px, width_px=side.width_px, codes=codes, code_bits=side.code_bits)


def side_from_wire(side: pb.SideInformation, device: str, layout_of: Callable[[int, int], Layout]) -> Side:
    """Read the side information of one image.

    Args:
        side: as it came.
        device: where the codes go.
        layout_of: what an image of this height and width costs. The codes are counted before any of them is looked at.

    Raises:
        CodecError: a size, the number of codes or a code is out of its range; names the field.
    """
    for name in ("height_px", "width_px"):
        value = getattr(side, name)
        if not 1 <= value <= MAX_SIDE_PX:
            raise CodecError(f"side.{name}: {value} is outside 1..{MAX_SIDE_PX}")
    if side.code_bits > MAX_CODE_BITS:
        raise CodecError(f"side.code_bits: {side.code_bits} is above {MAX_CODE_BITS}")
    layout = layout_of(side.height_px, side.width_px)
    if len(side.codes) != layout.code_count or (side.codes and side.code_bits != layout.code_bits):
        expected = f"{layout.code_count} of {layout.code_bits} bits for a {side.width_px}x{side.height_px} px image"
        raise CodecError(f"side.codes: {len(side.codes)} of {side.code_bits} bits, expected {expected}")
    if side.codes and max(side.codes) >= 2**side.code_bits:
        raise CodecError(f"side.codes: {max(side.codes)} does not fit {side.code_bits} bits")
    codes = torch.tensor([list(side.codes)], dtype=torch.float32, device=device)
    return Side(side.height_px, side.width_px, codes.reshape(1, -1), side.code_bits)


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
