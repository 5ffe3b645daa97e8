"""Model-based JSCC: an encoder after Shannon-Kotel'nikov and a decoder that unrolls proximal-gradient steps.

Source: the paper, section 3.3, after N. Shlezinger et al., "Model-Based Deep Learning: Key Approaches and Design
Guidelines", IEEE DSLW 2021. FiLM after E. Perez et al., AAAI 2018.

The symbols z are estimated under the model y = h z + n, n ~ N(0, sigma^2), with a prior z ~ N(0, p(snr)) per latent
channel whose powers p both ends know as a table. Iteration k does

    z <- z - alpha_k P (h (h z - y) / sigma^2 + z / p) + D_k(z, snr),    P = 1 / (h^2 / sigma^2 + 1 / p),

a gradient step on the negative log posterior, preconditioned by its inverse curvature, and a learned correction D_k for
what a Gaussian prior does not know. On AWGN h = 1.

Where it leaves the paper, and why:

- It starts at z = 0, not at z = y, where the data term vanishes and alpha_0 cannot be learned. From 0 and with
  alpha_0 = 1 the first step is the LMMSE estimate, so K = 1 already is a working decoder.
- The data term uses sigma^2 (and has room for a gain h); the paper's does not.
- A truncation after any K is trained too (deep supervision), so the curve over K shows convergence and not the damage
  of cutting a network short.
- As in `deepjscc`, the network starts as a linear code (the Karhunen-Loeve transform of 8x8 patches), power is
  normalised per image and the scale is told in 8 counted bits.
- 12 latent channels at 1/8 resolution are rho = 0.0625. The paper prints their quality beside rho = 0.25; the fair
  comparison takes 48.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jscc import cancel
from jscc.draws import Draws
from jscc.framing import frame
from jscc.framing.frame import Arrived
from jscc.grid import PLAIN, Grid
from jscc.models import Study, _contract, _linear
from jscc.models._contract import Criterion, Objective, SendOptions
from jscc.models._layers import FiLM, ResidualBlock, SNRTable
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

STAGES = 3
DOWNSAMPLING = 2**STAGES
SCALE_BITS = 8
SCALE_LOG2 = (-8.0, 8.0)
MAX_ITERATIONS = 16
_PRIOR_FLOOR = 1e-3
_TRUNCATION_WEIGHT = 0.5


@dataclass(frozen=True)
class Config(_contract.Config[SendOptions]):
    """Fixed at training.

    Attributes:
        stage_channels: channels after each of the three stages of the encoder; the decoder mirrors them.
        latent_channels: real symbols per 8x8 pixels, at most the channels of the last stage and 192.
        iterations: unrolled iterations of the decoder, 1..16.
        denoiser_channels: width of the denoisers D_k.
    """

    stage_channels: tuple[int, ...] = (32, 64, 200)
    latent_channels: int = 48
    iterations: int = 6
    denoiser_channels: int = 40

    def __post_init__(self) -> None:
        """Check the ranges."""
        if len(self.stage_channels) != STAGES or min(self.stage_channels) < 1:
            raise ValueError(f"stage_channels must be {STAGES} positive numbers, got {self.stage_channels}")
        most = min(3 * DOWNSAMPLING**2, self.stage_channels[-1])
        if not 1 <= self.latent_channels <= most:
            raise ValueError(f"latent_channels must be in 1..{most}, got {self.latent_channels}")
        if not 1 <= self.iterations <= MAX_ITERATIONS:
            raise ValueError(f"iterations must be in 1..{MAX_ITERATIONS}, got {self.iterations}")
        if self.denoiser_channels < 1:
            raise ValueError(f"denoiser_channels must be at least 1, got {self.denoiser_channels}")

    def layout(self, height_px: int, width_px: int, options: SendOptions, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs: latent_channels symbols per 8x8 pixels and one scale."""
        rows, columns = padded_size(height_px, width_px, DOWNSAMPLING)
        return frame.around(self.latent_channels * rows * columns, 1, SCALE_BITS, grid)

    def studies(self) -> tuple[Study, ...]:
        """Return the curve over the iterations, K = 1, 2, ..., at three SNRs on a third of Kodak."""
        return tuple(Study({"K": k}, (0.0, 10.0, 20.0), images=8) for k in range(1, self.iterations))


@dataclass(frozen=True)
class ReceiveOptions(_contract.ReceiveOptions):
    """What a request may choose.

    Attributes:
        K: iterations of the decoder, 1..16 and at most those of the checkpoint; 0 for all.
    """

    K: int = 0

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.K <= MAX_ITERATIONS:
            raise ValueError(f"K must be in 0..{MAX_ITERATIONS}, got {self.K}")


class _Stage(nn.Module):
    """FiLM, then a residual block; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.film = FiLM(channels)
        self.block = ResidualBlock(channels)

    def forward(self, z: Tensor, snr_db: Tensor) -> Tensor:
        refined: Tensor = self.block(self.film(z, snr_db))
        return refined


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols."""

    def __init__(self, config: Config) -> None:
        """Build three stride-2 stages with FiLM and a head with a table of powers."""
        super().__init__(config)
        self.carriers = nn.ModuleList()
        self.stages = nn.ModuleList()
        channels = 3
        for width in config.stage_channels:
            self.carriers.append(nn.Conv2d(channels, width, 4, stride=2, padding=1))
            self.stages.append(_Stage(width))
            channels = width
        self.head = nn.Conv2d(channels, config.latent_channels, 3, padding=1)
        self.log_power = SNRTable(config.latent_channels)

    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel.
            options: nothing to choose.
            grid: of the frames.

        Returns:
            Symbols s [B, k], k = latent_channels * ceil(H/8) * ceil(W/8), mean power 1 per image; and the scale.
        """
        z = pad_to_multiple(x, DOWNSAMPLING) - 0.5
        for carrier, stage in zip(self.carriers, self.stages, strict=True):
            z = stage(carrier(z), snr_db)
        amplitude = (self.log_power(snr_db) / 2).exp()
        s, scale = normalise_power((self.head(z).float() * amplitude[:, :, None, None]).flatten(1))
        codes = quantise_log2(scale, *SCALE_LOG2, SCALE_BITS)
        return s, Side.told(x, snr_db, options.header_margin_code, codes, SCALE_BITS, grid)


class _Denoiser(nn.Module):
    """D_k: what a Gaussian prior does not know about whitened latents; three convolutions, starts as zero."""

    def __init__(self, latents: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(latents, channels, 3, padding=1)
        self.film = FiLM(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, latents, 3, padding=1)
        self.activations = nn.ModuleList(nn.PReLU(channels) for _ in range(2))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(_linear.bias(self.last))

    def forward(self, z: Tensor, snr_db: Tensor) -> Tensor:
        first, second = self.activations
        features = first(self.film(self.first(z), snr_db))
        correction: Tensor = self.last(second(self.second(features)))
        return correction


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image."""

    def __init__(self, config: Config) -> None:
        """Build the unrolled iterations and three x2 stages with FiLM."""
        super().__init__(config)
        widths = config.stage_channels[::-1]
        self.log_power = SNRTable(config.latent_channels)
        self.step_size = nn.Parameter(torch.ones(config.iterations))
        self.denoisers = nn.ModuleList(
            _Denoiser(config.latent_channels, config.denoiser_channels) for _ in range(config.iterations)
        )
        self.head = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(_Stage(width) for width in widths)
        self.carriers = nn.ModuleList(
            nn.ConvTranspose2d(width, following, 4, stride=2, padding=1)
            for width, following in zip(widths, (*widths[1:], 3), strict=True)
        )

    def learned(self) -> dict[str, list[float]]:
        """Return the learned step sizes alpha_k."""
        return {"step_size": self.step_size.tolist()}

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Decode a batch of images of one size.

        Args:
            y: [B, slots] received symbols.
            side: image size and the scale's code.
            state: noise power per symbol.
            options: number of iterations.

        Returns:
            x_hat [B, 3, H, W]; cut to [0, 1] outside training.

        Raises:
            ValueError: k does not fit the image size, the scale is missing, or K is more than there are.
        """
        most = self.config.iterations
        if most < options.K:
            raise ValueError(f"options.K: {options.K} iterations, this checkpoint has {most}")
        snr_db = state.snr_db
        x_hat = self._reconstruct(self._iterate(y, side, state)[(options.K or most) - 1], side, snr_db)
        return x_hat if self.training else x_hat.clamp(0, 1)

    def objective(
        self, x: Tensor, received: Arrived, options: ReceiveOptions, criterion: Criterion, draws: Draws
    ) -> Objective:
        """Deep supervision: the loss of the last iteration and of one other that is drawn.

        Args:
            x: [B, 3, H, W] what was sent.
            received: symbols, side information and channel state.
            options: without effect: all iterations are trained.
            criterion: the recipe's.
            draws: the other iteration, one for all images.
        """
        side, state = received.side, received.state
        estimates, snr_db = self._iterate(received.symbols, side, state), state.snr_db
        x_hat = self._reconstruct(estimates[-1], side, snr_db)
        loss, terms = criterion(x_hat, x)
        if len(estimates) > 1:
            drawn = draws.shared_int(len(estimates) - 1).to(x.device)
            earlier = torch.stack(estimates[:-1]).index_select(0, drawn)[0]  # without waiting for the device
            loss = loss + _TRUNCATION_WEIGHT * criterion(self._reconstruct(earlier, side, snr_db), x).loss
        return Objective(loss, x_hat, terms)

    def _iterate(self, y: Tensor, side: Side, state: ChannelState) -> list[Tensor]:
        """Return the whitened latents [B, C, H/8, W/8] after each iteration, times the image's scale."""
        check_received(y, side, self.config.layout(side.height_px, side.width_px, SendOptions(), side.grid))
        rows, columns = padded_size(side.height_px, side.width_px, DOWNSAMPLING)
        snr_db = state.snr_db
        amplitude = (self.log_power(snr_db) / 2).exp()[:, :, None, None]
        noise_power = state.of_symbol(y.shape[1]).float()
        y, noise_power = (part.reshape(len(y), -1, rows, columns) for part in (y.float(), noise_power))
        trust = amplitude.square() / (amplitude.square() + noise_power)  # P h^2 / sigma^2
        scale = dequantise_log2(side.codes, *SCALE_LOG2, SCALE_BITS).float()[:, :, None, None]
        z, estimates = torch.zeros_like(y), []
        for step_size, denoiser in zip(self.step_size, self.denoisers, strict=True):
            if not self.training:  # nobody waits for a training step, and torch.compile would stop here
                cancel.check()
            gradient = trust * (z - y) + (1 - trust) * z
            correction = denoiser(z * scale / amplitude, snr_db).float() * amplitude / scale
            z = z - step_size * gradient + correction
            estimates.append(z * scale / amplitude)
        return estimates

    def _reconstruct(self, z: Tensor, side: Side, snr_db: Tensor) -> Tensor:
        z = self.head(z)
        for stage, carrier in zip(self.stages, self.carriers, strict=True):
            z = carrier(stage(z, snr_db))
        return crop(z, side).float() + 0.5

    @torch.no_grad()
    def initialise(self, transmitter: nn.Module, images: list[Tensor]) -> None:
        """Start as the linear analog code of 8x8 patches, with water-filled powers as functions of the SNR.

        Args:
            transmitter: with at least 12, 48 and latent_channels channels.
            images: uint8 [3, H, W] training images.
        """
        assert isinstance(transmitter, Transmitter)
        code = _linear.fit(images, DOWNSAMPLING)
        kept = self.config.latent_channels
        klt = (code.basis @ _linear.hadamard_packet(DOWNSAMPLING, STAGES - 1)).reshape(len(code.basis), -1, 2, 2)
        deviation = code.variance[:kept].sqrt()
        gain, _ = code.gains(torch.tensor(SNRTable.KNOTS_DB), kept)
        log_power = (gain * deviation).square().clamp_min(_PRIOR_FLOOR).log()

        for level in range(STAGES - 1):
            step = _linear.hadamard_step(3 * 4**level)
            _linear.carry(transmitter.carriers[level], step)
            _linear.carry(self.carriers[STAGES - 1 - level], step)
        _linear.carry(transmitter.carriers[-1], klt[: transmitter.head.in_channels])
        _linear.carry(self.carriers[0], klt[:kept])
        _linear.pass_through(transmitter.head, 1 / deviation)
        _linear.pass_through(self.head, deviation)
        transmitter.log_power.values.copy_(log_power)
        self.log_power.values.copy_(log_power)
        offset = code.mean - 0.5
        _linear.bias(transmitter.carriers[0])[:12] = -(_linear.hadamard_step(3).sum((2, 3)) @ offset)
        _linear.bias(self.carriers[-1])[:] = offset
