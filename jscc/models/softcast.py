"""SoftCast: the classical analog scheme. A linear transform, linear gains, a linear receiver; nothing is learned.

The mean colour is taken off, and the whole image is transformed by the orthonormal DCT along rows, columns and colours
(brightness, red against blue, green against both). Each plane of the spectrum is cut into square chunks. All chunks'
energies are told, and the strongest chunks are sent until the channel uses are spent. Both ends derive order, gains and
weights from the told codes alone: the scale, the SNR that the gains are for, the mean colour, the energies.

Source: S. Jakubczak and D. Katabi, "A Cross-Layer Design for Scalable Mobile Video", MobiCom 2011.
Where it leaves the paper, and why:

- Power is water-filled for the SNR that the transmitter is told, the optimum of linear codes (K.-H. Lee and
  D. Petersen, "Optimal linear coding for vector channels", 1976). The paper's gains lambda^(-1/4) are its limit at high
  SNR. What is not worth power at this SNR gets none: such channel uses are idle, and counted.
- No Hadamard whitening of the symbols: it guards against lost packets and changes nothing under white noise.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from jscc import signals
from jscc.framing import bits, frame
from jscc.grid import PLAIN, Grid
from jscc.models import _contract, _linear
from jscc.models._contract import ReceiveOptions, SendOptions
from jscc.signals import ChannelState, Layout, Side

PADDING_PX = 16
CODE_BITS = 8
SCALE_LOG2 = (-2.0, 2.0)
ENERGY_LOG2 = (-20.0, 16.0)  # 8-bit rounding noise, to all energy of 4096x4096 px in one chunk of 16x16
_ENERGY_BITS = 6
_MOST = 2**_ENERGY_BITS - 1
_TOP = 2**CODE_BITS - 1
_FIRST_CODES = 4  # scale, three colours
_LEAST_USES = 1280
_USES_PER_CHUNK = 48
"""So that the header of an image of a few chunks fits its frame at any SNR."""
_ENERGY_FLOOR = 2 ** (ENERGY_LOG2[0] - 1)  # the logarithm of 0 has no gradient
_POWER_FLOOR = 1e-8


@dataclass(frozen=True)
class Config(_contract.Config[SendOptions]):
    """Fixed for a checkpoint, although nothing is trained.

    Attributes:
        rho: real channel uses per sample of the padded image, above 0, at most 1.
        chunk_size: side of a chunk in coefficients, 8..4096; the last of a spectrum may be smaller. 16 instead of 32
            gains 0.5 dB on Kodak at 10 dB, of which 0.2 dB are left where the header is paid in channel uses.
    """

    rho: float = 0.25
    chunk_size: int = 32

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.rho <= 1:
            raise ValueError(f"rho must be above 0 and at most 1, got {self.rho}")
        if not 8 <= self.chunk_size <= 4096:
            raise ValueError(f"chunk_size must be in 8..4096, got {self.chunk_size}")

    def layout(self, height_px: int, width_px: int, options: SendOptions, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs: rho symbols per padded sample; four codes and one per chunk."""
        height, width = _spectrum_size(height_px, width_px)
        chunks = 3 * math.prod(signals.padded_size(height, width, self.chunk_size))
        channel_uses = max(round(self.rho * 3 * height * width), _LEAST_USES + _USES_PER_CHUNK * chunks)
        return frame.within(channel_uses, _FIRST_CODES + chunks, CODE_BITS, grid, has_body=True)


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols; without parameters."""

    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size, in float32 even under autocast.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel; cut to -30..60 dB.
            options: nothing to choose.
            grid: of the frames.

        Returns:
            Symbols s [B, slots], mean power 1 per image over all but the places of the header's body; and the side
            information. An image that is nothing but its told mean colour is sent as ones that the receiver ignores:
            scale code 0.
        """
        size_px = x.shape[-2], x.shape[-1]
        layout = self.config.layout(*size_px, options, grid)
        with torch.autocast(x.device.type, enabled=False):
            padded = signals.pad_to_multiple(x.float(), PADDING_PX)
            colour = (padded.mean(dim=(2, 3)) * _TOP).round()
            spectrum = _transform(padded - colour[:, :, None, None] / _TOP)
            energy = F.avg_pool2d(spectrum.square(), self.config.chunk_size, ceil_mode=True).flatten(1)
            energies = signals.quantise_log2(energy.clamp_min(_ENERGY_FLOOR), *ENERGY_LOG2, _ENERGY_BITS)
            columns = -(-padded.shape[-1] // self.config.chunk_size)
            told = [_write(image.reshape(-1, columns)) for image in energies.detach().round().long().cpu().numpy()]
            side = Side.told(x, snr_db, options.header_margin_code, energies, CODE_BITS, grid)
            sizes = [_FIRST_CODES + len(each) for each in told]
            side = dataclasses.replace(side, body_bytes=torch.tensor(sizes, device=x.device))
            index, variance, power, used = _plan(self.config, layout, side, energies)
            z = spectrum.flatten(1).gather(1, index) * _amplitude(power) / variance.sqrt()
            strength = z.square().sum(dim=1, keepdim=True) / used.sum(dim=1, keepdim=True)
            nothing = strength < _POWER_FLOOR
            z, scale = torch.where(nothing, used.float(), z), strength.masked_fill(nothing, 1.0).sqrt()
            scales = signals.quantise_log2(scale, *SCALE_LOG2, CODE_BITS).masked_fill(nothing, 0.0)
        first = torch.cat([scales, colour], dim=1)
        numbers = first.detach().round().long().tolist()
        bodies = tuple(bytes(image) + rest for image, rest in zip(numbers, told, strict=True))
        return z / scale, dataclasses.replace(side, codes=torch.cat([first, energies], dim=1), body=bodies)


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image; without parameters."""

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Estimate every sent coefficient by LMMSE, in float32 even under autocast; the others are 0.

        Args:
            y: [B, slots] received symbols.
            side: image size and the codes.
            state: noise power per symbol, not always the one that the gains are for; 0 inverts the gains.
            options: nothing to choose.

        Returns:
            x_hat [B, 3, H, W]; cut to [0, 1] outside training.

        Raises:
            ValueError: k or the codes do not fit the image size.
        """
        size_px = side.height_px, side.width_px
        layout = self.config.layout(*size_px, SendOptions(), side.grid)
        signals.check_received(y, side, layout)
        with torch.autocast(y.device.type, enabled=False):
            scales, colour, energies = torch.tensor_split(side.codes, (1, _FIRST_CODES), dim=1)
            index, variance, power, _ = _plan(self.config, layout, side, energies)
            scale = signals.dequantise_log2(scales, *SCALE_LOG2, CODE_BITS) * (scales > 0)
            noise_power = scale.square() * state.of_symbol(y.shape[1])
            weight = _amplitude(power) * variance.sqrt() / (power + noise_power).clamp_min(_POWER_FLOOR)
            z = y.float() * scale * weight
            spectrum = z.new_zeros(len(z), 3, *_spectrum_size(*size_px))
            spectrum = spectrum.flatten(1).scatter_add(1, index, z).reshape(spectrum.shape)
            x_hat: Tensor = signals.crop(_transform(spectrum, inverse=True), side) + colour[:, :, None, None] / _TOP
        return x_hat if self.training else x_hat.clamp(0, 1)

    def read(self, body: bytes, size_px: tuple[int, int]) -> list[int]:
        """Return the codes that a header's body tells: scale, colours, energies."""
        if len(body) < _FIRST_CODES:
            raise ValueError(f"a body of {len(body)} bytes, the shortest has {_FIRST_CODES}")
        rows, columns = signals.padded_size(*_spectrum_size(*size_px), self.config.chunk_size)
        return [*body[:_FIRST_CODES], *_read(body[_FIRST_CODES:], 3 * rows, columns)]


_TYPICAL = 40
_DIFFERENCES = (380_000, 240_000, 45_000, 9_000, 2_400, 600, 150, 40)
"""How often codes of neighbouring chunks differ by 0, 1, ... in photos; more is as rare as the last."""


@cache
def _counts() -> NDArray[np.float32]:
    """Return how often each difference, -_MOST.._MOST, is expected."""
    size = np.abs(np.arange(-_MOST, _MOST + 1))
    return np.array(_DIFFERENCES, np.float32)[np.minimum(size, len(_DIFFERENCES) - 1)]


def _write(energies: NDArray[np.int64]) -> bytes:
    """Return the codes [3 rows, columns] of one image's energies as bytes: each beside its left neighbour's."""
    differences = np.diff(energies, axis=1, prepend=0)
    differences[:, 0] = np.diff(energies[:, 0], prepend=_TYPICAL)
    return bits.encode([((differences.ravel() + _MOST).astype(np.int32), _counts())])


def _read(data: bytes, rows: int, columns: int) -> list[int]:
    """Return the codes that `_write` wrote.

    Raises:
        ValueError: one of them is no code.
    """
    differences = bits.Decoder(data).group(rows * columns, _counts()).reshape(rows, columns).astype(np.int64) - _MOST
    differences[0, 0] += _TYPICAL
    differences[:, 0] = differences[:, 0].cumsum()
    energies = differences.cumsum(axis=1)
    if energies.min() < 0 or energies.max() > _MOST:
        raise ValueError(f"energies of code {energies.min()} to {energies.max()}, expected 0..{_MOST}")
    return [int(code) for code in energies.ravel()]


def _plan(config: Config, layout: Layout, side: Side, energies: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derive what is sent from the told SNR and the codes of energies [B, n].

    Returns:
        Position in the flattened spectrum, told energy and power of a coefficient for every slot, and whether it is
        sent, [B, slots] each: the strongest chunk first, equal ones by position.
    """
    air = frame.left_to_method(layout, side)
    chunks = _chunks(_spectrum_size(side.height_px, side.width_px), config.chunk_size, energies.device)
    order = energies.detach().round().sort(dim=1, descending=True, stable=True).indices
    position, told = chunks[order], energies.gather(1, order)[:, :, None]
    index, code = (
        value.expand(position.shape)[position >= 0].reshape(len(order), -1)[:, : layout.slots]
        for value in (position, told)
    )
    there = index.shape[1]
    index, code = (F.pad(part, (0, layout.slots - there)) for part in (index, code))
    variance = signals.dequantise_log2(code, *ENERGY_LOG2, _ENERGY_BITS)
    place = torch.arange(layout.slots, device=index.device)
    used = place < air.uses[:, None]
    power = _water_fill(variance, air.noise_power[:, None], used & (place < there), air.uses[:, None])
    return index, variance, power, used


def _chunks(size: tuple[int, int], side: int, device: torch.device) -> Tensor:
    """Return [n, side^2]: the positions of each chunk's coefficients in three planes, -1 beyond their edges."""
    position = torch.arange(3 * size[0] * size[1], device=device).reshape(3, *size)
    position = F.pad(position, (0, -size[1] % side, 0, -size[0] % side), value=-1)
    return position.unfold(1, side, side).unfold(2, side, side).reshape(-1, side * side)


def _water_fill(variance: Tensor, noise_power: Tensor, used: Tensor, total: Tensor) -> Tensor:
    """Return the powers [B, k] that minimise the sum of variance [B, k] * noise [B, 1] / (power + noise).

    Their sum over the places that are used is total [B, 1]. They are level * sqrt(variance) - noise, cut off at zero;
    the sum gives the level once it is known who gets any. Leaving out who gets none lowers the level, so repeating that
    ends, after a few rounds.
    """
    root, noise = variance.double().sqrt(), noise_power.double()
    served, before = used, torch.zeros_like(used)
    while not torch.equal(served, before):
        level = (total + noise * served.sum(dim=1, keepdim=True)) / (root * served).sum(dim=1, keepdim=True)
        before, served = served, served & (level * root > noise)
    return ((level * root - noise).clamp_min(0) * used).float()


def _amplitude(power: Tensor) -> Tensor:
    """Return the root of powers, whose gradient is finite at 0 too."""
    return power.clamp_min(_POWER_FLOOR).sqrt() * (power > 0)


def _transform(x: Tensor, inverse: bool = False) -> Tensor:
    """Return the orthonormal DCT-II of [B, 3, H, W] along colours, rows and columns, or its inverse."""
    bases = [_linear.dct_basis(size, x.device) for size in x.shape[1:]]
    colours, rows, columns = [basis.T for basis in bases] if inverse else bases
    y: Tensor = torch.einsum("cd,bdhw->bchw", colours, rows @ x @ columns.T)
    return y


def _spectrum_size(height_px: int, width_px: int) -> tuple[int, int]:
    return height_px + -height_px % PADDING_PX, width_px + -width_px % PADDING_PX
