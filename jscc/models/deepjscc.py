"""DeepJSCC: a fully convolutional autoencoder with SNR attention.

Source: the paper, section 3.2, after E. Bourtsoulatze, D. Burth Kurka and D. Gunduz, "Deep Joint Source-Channel Coding
for Wireless Image Transmission", IEEE Trans. Cognitive Communications and Networking 5(3), 2019; the attention after
J. Xu et al., "Wireless Image Transmission Using Deep Source Channel Coding With Attention Modules" (ADJSCC), 2021.

Where it leaves the paper, and why:

- No batch normalisation: its running statistics mix all SNRs. One SNR per sample, not per batch.
- Power is normalised per image over the sent symbols, and the scale is told to the receiver in 8 counted bits. Without
  it the receiver does not know the level, which costs a linear code 9 dB at 10 dB.
- No sigmoid at the output: it costs quality near black and white. Values are cut to [0, 1] outside training.
- PReLU only inside the residual blocks, whose last convolution starts at zero. So the network starts as a linear code
  (`initialise`), which beats the paper's trained network from 5 dB up, and training adds to that.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jscc.framing import frame
from jscc.grid import PLAIN, Grid
from jscc.models import _contract, _linear
from jscc.models._contract import ReceiveOptions, SendOptions
from jscc.models._layers import CONDITIONED_SNR_DB, SNR_KNOTS_DB, ResidualBlock, SNRAttention
from jscc.signals import (
    ChannelState,
    Layout,
    Side,
    check_received,
    crop,
    dequantise_log2,
    normalise_power,
    pad_to_multiple,
    padded_size,
    quantise_log2,
)

STAGES = 4
DOWNSAMPLING = 2**STAGES
SCALE_BITS = 8
SCALE_LOG2 = (-8.0, 8.0)


@dataclass(frozen=True)
class Config(_contract.Config[SendOptions]):
    """Fixed at training.

    Attributes:
        stage_channels: channels after each of the four stages of the encoder; the decoder mirrors them.
        latent_channels: real symbols per 16x16 pixels.
    """

    stage_channels: tuple[int, ...] = (64, 128, 256, 256)
    latent_channels: int = 192

    def __post_init__(self) -> None:
        """Check the ranges."""
        if len(self.stage_channels) != STAGES or min(self.stage_channels) < 1:
            raise ValueError(f"stage_channels must be {STAGES} positive numbers, got {self.stage_channels}")
        if not 1 <= self.latent_channels <= 3 * DOWNSAMPLING**2:
            raise ValueError(f"latent_channels must be in 1..768, got {self.latent_channels}")

    def layout(self, height_px: int, width_px: int, options: SendOptions, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs: latent_channels symbols per 16x16 pixels and one scale."""
        rows, columns = padded_size(height_px, width_px, DOWNSAMPLING)
        return frame.around(self.latent_channels * rows * columns, 1, SCALE_BITS, grid)


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols."""

    def __init__(self, config: Config) -> None:
        """Build the encoder of the paper, section 3.2."""
        super().__init__(config)
        self.carriers = nn.ModuleList()
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleList()
        channels = 3
        for width in config.stage_channels:
            self.carriers.append(nn.Conv2d(channels, width, 5, stride=2, padding=2))
            self.blocks.append(nn.Sequential(ResidualBlock(width), ResidualBlock(width)))
            self.attention.append(SNRAttention(width))
            channels = width
        self.head = nn.Conv2d(channels, config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel.
            options: nothing to choose.
            grid: of the frames.

        Returns:
            Symbols s [B, k], k = latent_channels * ceil(H/16) * ceil(W/16), mean power 1 per image; and the scale.
        """
        z = pad_to_multiple(x, DOWNSAMPLING) - 0.5
        snr_db = snr_db.clamp(*CONDITIONED_SNR_DB)
        for carrier, blocks, attention in zip(self.carriers, self.blocks, self.attention, strict=True):
            z = attention(blocks(carrier(z)), snr_db)
        s, scale = normalise_power(self.head(z).float().flatten(1))
        codes = quantise_log2(scale, *SCALE_LOG2, SCALE_BITS)
        return s, Side.told(x, snr_db, options.header_margin_code, codes, SCALE_BITS, grid)


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image."""

    def __init__(self, config: Config) -> None:
        """Build the decoder that mirrors the encoder."""
        super().__init__(config)
        widths = config.stage_channels[::-1]
        self.head = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.carriers = nn.ModuleList()
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleList()
        for width, following in zip(widths, (*widths[1:], widths[-1]), strict=True):
            self.blocks.append(nn.Sequential(ResidualBlock(width), ResidualBlock(width)))
            self.attention.append(SNRAttention(width))
            self.carriers.append(nn.ConvTranspose2d(width, following, 5, 2, padding=2, output_padding=1))
        self.output = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Decode a batch of images of one size.

        Args:
            y: [B, slots] received symbols.
            side: image size and the scale's code.
            state: noise power per symbol.
            options: nothing to choose.

        Returns:
            x_hat [B, 3, H, W]; cut to [0, 1] outside training.

        Raises:
            ValueError: k does not fit the image size, or the scale is missing.
        """
        check_received(y, side, self.config.layout(side.height_px, side.width_px, SendOptions(), side.grid))
        rows, columns = padded_size(side.height_px, side.width_px, DOWNSAMPLING)
        scale = dequantise_log2(side.codes, *SCALE_LOG2, SCALE_BITS)
        y, state = state.evened(y)
        snr_db = state.snr_db.clamp(*CONDITIONED_SNR_DB)
        z = self.head((y * scale).reshape(-1, self.config.latent_channels, rows, columns))
        for blocks, attention, carrier in zip(self.blocks, self.attention, self.carriers, strict=True):
            z = carrier(attention(blocks(z), snr_db))
        x_hat = crop(self.output(z), side).float() + 0.5
        return x_hat if self.training else x_hat.clamp(0, 1)

    @torch.no_grad()
    def initialise(self, transmitter: nn.Module, images: list[Tensor]) -> None:
        """Start as the linear analog code: the patch transform of the images, water-filled gains, LMMSE weights.

        The strided convolutions carry 2x2 Hadamard steps, the last one turns their packet into the Karhunen-Loeve
        transform of 16x16 patches; the last attention of the encoder and the first of the decoder carry gains and
        weights as functions of the SNR. Features that the linear code does not use keep their random start.

        Args:
            transmitter: with at least 12, 48, 192 and latent_channels channels.
            images: uint8 [3, H, W] training images.
        """
        assert isinstance(transmitter, Transmitter)
        code = _linear.fit(images, DOWNSAMPLING)
        kept = self.config.latent_channels
        klt = (code.basis @ _linear.hadamard_packet(DOWNSAMPLING, STAGES - 1)).reshape(len(code.basis), -1, 2, 2)
        grid_db = torch.linspace(*SNR_KNOTS_DB, 241)
        gain, weight = code.gains(grid_db, kept)
        gain_top, weight_top = gain.amax(0).clamp_min(1e-3), weight.amax(0).clamp_min(1e-3)

        for level in range(STAGES - 1):
            step = _linear.hadamard_step(3 * 4**level)
            _linear.carry(transmitter.carriers[level], step)
            _linear.carry(self.carriers[STAGES - 1 - level], step)
        scaled = klt[: transmitter.head.in_channels].clone()
        scaled[:kept] *= gain_top[:, None, None, None]
        _linear.carry(transmitter.carriers[-1], scaled)
        _linear.carry(self.carriers[0], klt[:kept])

        _linear.pass_through(transmitter.head, torch.ones(kept))
        _linear.pass_through(self.head, weight_top)
        _linear.pass_through(self.output, torch.ones(3))
        _set_gates(transmitter.attention[-1], grid_db, gain / gain_top)
        _set_gates(self.attention[0], grid_db, weight / weight_top)
        offset = code.mean - 0.5
        _linear.bias(transmitter.carriers[0])[:12] = -(_linear.hadamard_step(3).sum((2, 3)) @ offset)
        _linear.bias(self.output)[:] = offset


def _set_gates(attention: nn.Module, grid_db: Tensor, table: Tensor) -> None:
    """Set the first gates to a table [n, used] over the SNRs [n]; the others stay open."""
    assert isinstance(attention, SNRAttention)
    unused = attention.logits.out_features - table.shape[1]
    attention.set_table(grid_db, F.pad(table, (0, unused), value=1.0))
