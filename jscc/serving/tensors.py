"""Between the messages' small parts and the library's tensors. Both ends check what arrives here."""

import math

import numpy as np
import torch
from torch.nn import functional

from jscc.framing.frame import Frame
from jscc.grid import PLAIN, Grid
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
        pilot_uses=frame.pilot_uses,
    )


def grid_to_wire(grid: Grid) -> pb.Grid:
    """Write how the symbols of a frame lie in the air; every field of that of air that does not fade is left out."""
    fading = "" if grid.fading == PLAIN.fading else grid.fading
    return pb.Grid(
        fading=fading,
        coherence=grid.coherence,
        pilots=grid.pilots,
        in_order=not grid.interleaved,
        row_length=0 if grid.row_length == PLAIN.row_length else grid.row_length,
        expected_doppler=grid.expected_doppler,
        expected_spread=grid.expected_spread,
    )


def grid_from_wire(grid: pb.Grid) -> Grid:
    """Read how the symbols of a frame lie in the air.

    Raises:
        CodecError: a field is out of its range, or a block all pilots; names it.
    """
    try:
        return Grid(
            grid.fading or PLAIN.fading,
            grid.coherence,
            grid.pilots,
            not grid.in_order,
            grid.row_length or PLAIN.row_length,
            grid.expected_doppler,
            grid.expected_spread,
        )
    except ValueError as error:
        raise CodecError(f"grid: {error}") from None


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
    return _rows_of(symbols, 1, "[1, k]")


def received_from_wire(symbols: Array) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the symbols of one image as float32 [1, k], and complex64 gains [1, ceil(k / 2)] where there are any.

    Raises:
        CodecError: another element type or shape.
    """
    rows = _rows_of(symbols, 2, "[1, k], or [2, k] with gains")
    if len(rows) == 1:
        return rows, None
    pairs = functional.pad(rows[1:], (0, rows.shape[1] % 2)).view(1, -1, 2)
    return rows[:1], torch.view_as_complex(pairs)


def received_to_wire(y: torch.Tensor, gains: torch.Tensor | None) -> Array:
    """Write what arrives of one image [1, k]: its symbols, and in a second row its gains where a genie tells them."""
    if gains is None:
        return y.numpy()
    told = torch.view_as_real(gains).flatten(1)[:, : y.shape[1]]
    return torch.cat([y, told]).numpy()


def _rows_of(symbols: Array, most: int, expected: str) -> torch.Tensor:
    if symbols.dtype != np.float32 or symbols.ndim != 2 or symbols.shape[0] > most:
        raise CodecError(f"symbols: {symbols.dtype} {list(symbols.shape)}, expected float32 {expected}")
    return torch.from_numpy(symbols.copy())


def state_from_wire(state: pb.ChannelState, device: str, gains: torch.Tensor | None = None) -> ChannelState:
    """Read the channel state of one image; gains [1, ceil(k / 2)] are those that a genie tells.

    Raises:
        CodecError: the noise power is missing or no power.
    """
    if not state.HasField("noise_power"):
        raise CodecError("state.noise_power: missing in ChannelState")
    if not 0 <= state.noise_power < float("inf"):
        raise CodecError(f"state.noise_power: {state.noise_power} must be a number of at least 0")
    noise_power = torch.tensor([state.noise_power], dtype=torch.float32, device=device)
    return ChannelState(noise_power, None if gains is None else gains.to(device))
