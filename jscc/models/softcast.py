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

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from jscc import signals
from jscc.models import _contract, _linear
from jscc.models._contract import ReceiveOptions, SendOptions
from jscc.signals import ChannelState, Layout, Side

PADDING_PX = 16
CODE_BITS = 8
SCALE_LOG2 = (-2.0, 2.0)
NOISE_LOG2 = (-20.0, 10.0)  # SNRs of 60 to -30 dB
ENERGY_LOG2 = (-20.0, 16.0)  # 8-bit rounding noise, to all energy of 4096x4096 px in one chunk of 16x16
_TOP = 2**CODE_BITS - 1
_FIRST_CODES = 5  # scale, noise power, three colours
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

    def layout(self, height_px: int, width_px: int, options: SendOptions) -> Layout:
        """Return what an image of this size costs: rho symbols per padded sample, five codes and one per chunk."""
        height, width = _spectrum_size(height_px, width_px)
        rows, columns = signals.padded_size(height, width, self.chunk_size)
        channel_uses = max(1, round(self.rho * 3 * height * width))
        return Layout(channel_uses, _FIRST_CODES + 3 * rows * columns, CODE_BITS)


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols; without parameters."""

    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size, in float32 even under autocast.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel; cut to -30..60 dB.
            options: nothing to choose.

        Returns:
            Symbols s [B, k], k = rho * 3 H W of the padded image, mean power 1 per image; and the side information.
            An image that is nothing but its told mean colour is sent as ones that the receiver ignores: scale code 0.
        """
        size_px = x.shape[-2], x.shape[-1]
        with torch.autocast(x.device.type, enabled=False):
            padded = signals.pad_to_multiple(x.float(), PADDING_PX)
            colour = (padded.mean(dim=(2, 3)) * _TOP).round()
            spectrum = _transform(padded - colour[:, :, None, None] / _TOP)
            energy = F.avg_pool2d(spectrum.square(), self.config.chunk_size, ceil_mode=True).flatten(1)
            energies = signals.quantise_log2(energy.clamp_min(_ENERGY_FLOOR), *ENERGY_LOG2, CODE_BITS)
            noise = signals.quantise_log2(signals.noise_variance(snr_db.float())[:, None], *NOISE_LOG2, CODE_BITS)
            index, variance, power = _plan(self.config, size_px, energies, noise)
            z = spectrum.flatten(1).gather(1, index) * (power / variance).sqrt()
            nothing = z.square().mean(dim=1, keepdim=True) < _POWER_FLOOR
            s, scale = signals.normalise_power(z.masked_fill(nothing, 1.0))
            scales = signals.quantise_log2(scale, *SCALE_LOG2, CODE_BITS).masked_fill(nothing, 0.0)
        return s, Side(*size_px, torch.cat([scales, noise, colour, energies], dim=1), CODE_BITS)


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image; without parameters."""

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Estimate every sent coefficient by LMMSE, in float32 even under autocast; the others are 0.

        Args:
            y: [B, k] received symbols.
            side: image size and the codes.
            state: noise power per symbol, not always the one that the gains are for; 0 inverts the gains.
            options: nothing to choose.

        Returns:
            x_hat [B, 3, H, W]; cut to [0, 1] outside training.

        Raises:
            ValueError: k or the codes do not fit the image size.
        """
        size_px = side.height_px, side.width_px
        signals.check_received(y, side, self.config.layout(*size_px, SendOptions()))
        with torch.autocast(y.device.type, enabled=False):
            scales, noise, colour, energies = torch.tensor_split(side.codes, (1, 2, _FIRST_CODES), dim=1)
            index, variance, power = _plan(self.config, size_px, energies, noise)
            scale = signals.dequantise_log2(scales, *SCALE_LOG2, CODE_BITS) * (scales > 0)
            noise_power = scale.square() * state.of_symbol(y.shape[1])
            z = y.float() * scale * (power * variance).sqrt() / (power + noise_power).clamp_min(_POWER_FLOOR)
            spectrum = z.new_zeros(len(z), 3, *_spectrum_size(*size_px))
            spectrum = spectrum.flatten(1).scatter(1, index, z).reshape(spectrum.shape)
            x_hat: Tensor = signals.crop(_transform(spectrum, inverse=True), side) + colour[:, :, None, None] / _TOP
        return x_hat if self.training else x_hat.clamp(0, 1)


def _plan(config: Config, size_px: tuple[int, int], energies: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Derive what is sent from the codes of energies [B, n] and noise [B, 1].

    Returns:
        Position in the flattened spectrum, told energy and power of every sent coefficient, [B, k] each: the strongest
        chunk first, equal ones by position.
    """
    count = config.layout(*size_px, SendOptions()).channel_uses
    chunks = _chunks(_spectrum_size(*size_px), config.chunk_size, energies.device)
    order = energies.detach().round().sort(dim=1, descending=True, stable=True).indices
    position, told = chunks[order], energies.gather(1, order)[:, :, None]
    index, code = (
        value.expand(position.shape)[position >= 0].reshape(len(order), -1)[:, :count] for value in (position, told)
    )
    variance = signals.dequantise_log2(code, *ENERGY_LOG2, CODE_BITS)
    return index, variance, _water_fill(variance, signals.dequantise_log2(noise, *NOISE_LOG2, CODE_BITS))


def _chunks(size: tuple[int, int], side: int, device: torch.device) -> Tensor:
    """Return [n, side^2]: the positions of each chunk's coefficients in three planes, -1 beyond their edges."""
    position = torch.arange(3 * size[0] * size[1], device=device).reshape(3, *size)
    position = F.pad(position, (0, -size[1] % side, 0, -size[0] % side), value=-1)
    return position.unfold(1, side, side).unfold(2, side, side).reshape(-1, side * side)


def _water_fill(variance: Tensor, noise_power: Tensor) -> Tensor:
    """Return the powers [B, k] of mean 1 that minimise the sum of variance [B, k] * noise [B, 1] / (power + noise).

    They are level * sqrt(variance) - noise, cut off at zero; the mean gives the level once it is known who gets any.
    Leaving out who gets none lowers the level, so repeating that ends, after a few rounds.
    """
    root, noise = variance.double().sqrt(), noise_power.double()
    served, before = torch.ones_like(root), torch.zeros_like(root)
    while not torch.equal(served, before):
        level = (root.shape[1] + noise * served.sum(dim=1, keepdim=True)) / (root * served).sum(dim=1, keepdim=True)
        before, served = served, served * (level * root > noise)
    return (level * root - noise).clamp_min(0).float()


def _transform(x: Tensor, inverse: bool = False) -> Tensor:
    """Return the orthonormal DCT-II of [B, 3, H, W] along colours, rows and columns, or its inverse."""
    bases = [_linear.dct_basis(size, x.device) for size in x.shape[1:]]
    colours, rows, columns = [basis.T for basis in bases] if inverse else bases
    y: Tensor = torch.einsum("cd,bdhw->bchw", colours, rows @ x @ columns.T)
    return y


def _spectrum_size(height_px: int, width_px: int) -> tuple[int, int]:
    return height_px + -height_px % PADDING_PX, width_px + -width_px % PADDING_PX
