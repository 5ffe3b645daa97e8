"""Diffusion receiver: what DeepJSCC's image lacks, estimated from noise by a conditional diffusion network.

In one step unless asked for more: then it is a regression with a perceptual loss, not sampling.

Source: the paper, section 3.4, after J. Ho, A. Jain and P. Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS
2020, and J. Song, C. Meng and S. Ermon, "Denoising Diffusion Implicit Models", ICLR 2021; velocity prediction after
T. Salimans and J. Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", ICLR 2022; cosine schedule
after A. Nichol and P. Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021.

The symbols are those of `deepjscc`: this module's Transmitter is that one, and only the receiver differs. What is
diffused is the residual r = (x - x_first) / deviation(snr), the error of the first reconstruction scaled to unit
variance: with the angle t in (0, pi/2],

    r_t = cos(t) r + sin(t) eps,    velocity v = cos(t) eps - sin(t) r,    r = cos(t) r_t - sin(t) v.

Where it leaves the paper, and why:

- The paper's sampler starts from a noised first reconstruction but trains on noised clean images, on steps that it
  never samples. Here sampling starts where training starts, at pure noise (t = pi/2), and every t between is trained.
- The residual is diffused, not the image: at strength 0 the receiver is exactly DeepJSCC's.
- The U-Net works on 4x4 pixels per position, without attention over the whole image: memory grows linearly with it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jscc import cancel
from jscc.draws import Draws
from jscc.framing.frame import Arrived
from jscc.models import Study, _contract, deepjscc
from jscc.models._contract import Criterion, Objective, SendOptions
from jscc.models._layers import CONDITIONED_SNR_DB
from jscc.models.deepjscc import Transmitter
from jscc.signals import ChannelState, Side, noise_generator, pad_to_multiple

__all__ = ["Config", "ReceiveOptions", "Receiver", "SendOptions", "Transmitter"]

PATCH_PX = 4
MAX_STEPS = 50
MAX_PIXEL_STEPS = 20_000_000
"""Most pixels times steps of one image: 50 steps of 512x768 px fit, and one step of the largest image."""
LOG_DEVIATION = (-3.0, -0.055)
"""log of the residual's deviation: at 0 dB SNR and per dB; a fit to DeepJSCC's 24 to 36 dB of PSNR at -5 to 20 dB."""
_EMBEDDING = 128


@dataclass(frozen=True)
class Config(deepjscc.Config):
    """Fixed at training; the fields of DeepJSCC's Config are those of the transmitter that is listened to.

    Attributes:
        widths: channels of the U-Net at 1/4, 1/8, ... resolution.
        blocks: residual blocks per resolution, down and up each.
    """

    widths: tuple[int, ...] = (64, 128, 192)
    blocks: int = 2

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 1 <= len(self.widths) <= 5 or min(self.widths) < 1:
            raise ValueError(f"widths must be 1 to 5 positive numbers, got {self.widths}")
        if not 1 <= self.blocks <= 8:
            raise ValueError(f"blocks must be in 1..8, got {self.blocks}")

    def studies(self) -> tuple[Study, ...]:
        """Return the trade-off over the steps of sampling, on a few images because it is slow."""
        return tuple(Study({"steps": steps}, (-5.0, 0.0), images=6) for steps in (0, 1, 2, 4, 8, 16))


@dataclass(frozen=True)
class ReceiveOptions(_contract.ReceiveOptions):
    """What a request may choose.

    Attributes:
        steps: steps of DDIM sampling, at most 50, and at most MAX_PIXEL_STEPS / (H W) for an image of H x W pixels; 0
            leaves the first reconstruction as it is.
        strength: how much of the sampled residual is added, 0..1; 0 leaves the first reconstruction as it is.
        seed: of the sampling noise, 0..2^63 - 1; the same seed gives the same image.
    """

    steps: int = 1
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.steps <= MAX_STEPS:
            raise ValueError(f"steps must be in 0..{MAX_STEPS}, got {self.steps}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be in 0..1, got {self.strength}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63 - 1, got {self.seed}")


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image: DeepJSCC's receiver, frozen, and the refinement."""

    def __init__(self, config: Config) -> None:
        """Build both."""
        super().__init__(config)
        self.first = deepjscc.Receiver(config).requires_grad_(False)
        self.network = _UNet(config)

    def listen_to(self, receiver: nn.Module) -> None:
        """Take over the weights of a trained receiver of the same symbols."""
        self.first.load_state_dict(receiver.state_dict())

    def train(self, mode: bool = True) -> "Receiver":
        """Set the mode of the refinement; the first receiver is never in training."""
        super().train(mode)
        self.first.eval()
        return self

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Decode a batch of images of one size.

        Args:
            y: [B, k] received symbols.
            side: as of DeepJSCC.
            state: noise power per symbol.
            options: steps, strength and seed of the sampling.

        Returns:
            x_hat [B, 3, H, W] in [0, 1].

        Raises:
            ValueError: k does not fit the image size, the scale is missing, or the steps are too many for the size.
        """
        steps = options.steps if options.strength else 0
        _check_budget(steps, side)
        first = self._reconstruct(y, side, state)
        if steps == 0:
            return first
        snr_db = state.snr_db
        shape = pad_to_multiple(first, self._multiple()).shape
        generator = noise_generator(options.seed)
        noise = torch.randn(shape[1:], generator=generator).to(y.device).expand(shape)
        residual = self._sample(noise, first, snr_db, steps)
        return (first + options.strength * residual).clamp(0, 1)

    def objective(
        self, x: Tensor, received: Arrived, options: ReceiveOptions, criterion: Criterion, draws: Draws
    ) -> Objective:
        """Velocity prediction at random times, plus the recipe's criterion on the image that it implies.

        Args:
            x: [B, 3, H, W] what was sent, sides multiples of the U-Net's.
            received: symbols, side information and channel state.
            options: without effect: nothing is sampled.
            criterion: the recipe's.
            draws: times and noise; half of the times are pi/2, where sampling starts.

        Returns:
            The loss, the implied x_hat and the terms of its score.
        """
        state = received.state
        with torch.no_grad():
            first = self._reconstruct(received.symbols, received.side, state)
        snr_db = state.snr_db
        deviation = _deviation(snr_db)
        residual = (x - first) / deviation
        is_late, time = draws.rand(len(x), 2).to(x.device).unbind(1)
        t = torch.where(is_late < 0.5, 1.0, time)[:, None, None, None] * (math.pi / 2)
        noise = draws.randn(*x.shape).to(x.device)
        noisy = t.cos() * residual + t.sin() * noise
        velocity = self.network(noisy, first, snr_db, t.flatten()).float()
        implied = t.cos() * noisy - t.sin() * velocity
        x_hat = first + deviation * implied
        target = t.cos() * noise - t.sin() * residual
        loss, terms = criterion(x_hat, x)
        return Objective(F.mse_loss(velocity, target) + loss, x_hat, terms)

    def _reconstruct(self, y: Tensor, side: Side, state: ChannelState) -> Tensor:
        return self.first(y, side, state, _contract.ReceiveOptions())

    def _multiple(self) -> int:
        return PATCH_PX << (len(self.network.down) - 1)

    def _sample(self, noise: Tensor, first: Tensor, snr_db: Tensor, steps: int) -> Tensor:
        """Return the residual [B, 3, H, W] after deterministic DDIM steps from pure noise at equally spaced times."""
        padded, r_t = pad_to_multiple(first, self._multiple()), noise
        times = torch.linspace(math.pi / 2, 0, steps + 1).tolist()
        for t, following in pairwise(times):
            cancel.check()
            now = torch.full_like(snr_db, t)
            velocity = self.network(r_t, padded, snr_db, now).float()
            residual = math.cos(t) * r_t - math.sin(t) * velocity
            noise = math.sin(t) * r_t + math.cos(t) * velocity
            r_t = math.cos(following) * residual + math.sin(following) * noise
        return (r_t * _deviation(snr_db))[..., : first.shape[-2], : first.shape[-1]]


class _UNet(nn.Module):
    """Velocity of a noisy residual, conditioned on the first reconstruction, the SNR and the time."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths, inputs = config.widths, 3 * PATCH_PX**2
        self.embedding = nn.Sequential(nn.Linear(_EMBEDDING, _EMBEDDING), nn.SiLU())
        self.head = nn.Conv2d(2 * inputs, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Level(width, config.blocks) for width in widths)
        self.up = nn.ModuleList(_Level(width, config.blocks) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.output = nn.Conv2d(widths[0], inputs, 3, padding=1)
        nn.init.zeros_(self.output.weight)

    def forward(self, noisy: Tensor, first: Tensor, snr_db: Tensor, t: Tensor) -> Tensor:
        """Map noisy and first [B, 3, H, W], snr_db and t [B] to the velocity [B, 3, H, W]."""
        condition = self.embedding(_fourier(snr_db, t))
        z = self.head(F.pixel_unshuffle(torch.cat([noisy, 4 * (first - 0.5)], dim=1), PATCH_PX))
        skips = []
        for level, blocks in enumerate(self.down):
            z = blocks(self.shrink[level - 1](z) if level else z, condition)
            skips.append(z)
        z = self.up[-1](z, condition)
        for level in reversed(range(len(self.grow))):
            z = self.up[level](self.grow[level](z) + skips[level], condition)
        return F.pixel_shuffle(self.output(z), PATCH_PX)


class _Level(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width) for _ in range(count))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        for block in self.blocks:
            z = block(z, condition)
        return z


class _Block(nn.Module):
    """Residual block with a norm over the channels of each position and FiLM on the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(_EMBEDDING, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.second.weight)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        normed = self.norm(z.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).to(z.dtype)
        refined: Tensor = z + self.second(F.silu(self.first(normed * (1 + scale) + shift)))
        return refined


def _check_budget(steps: int, side: Side) -> None:
    pixels = side.height_px * side.width_px
    if steps * pixels > MAX_PIXEL_STEPS:
        size = f"{side.width_px}x{side.height_px} px"
        raise ValueError(
            f"options.steps: {steps} steps of {size} sample {steps * pixels} pixels, "
            f"the limit is {MAX_PIXEL_STEPS}; ask for at most {MAX_PIXEL_STEPS // pixels} steps"
        )


def _fourier(snr_db: Tensor, t: Tensor) -> Tensor:
    """Return sines and cosines [B, 128] of the SNR (in units of 10 dB) and the time, at octaves."""
    octaves = torch.exp2(torch.arange(_EMBEDDING // 4, device=t.device) / 6 - 2)
    angles = torch.cat([(snr_db / 10)[:, None] * octaves, t[:, None] * octaves], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _deviation(snr_db: Tensor) -> Tensor:
    """Return the standard deviation [B, 1, 1, 1] of the first reconstruction's error."""
    deviation: Tensor = (LOG_DEVIATION[0] + LOG_DEVIATION[1] * snr_db.clamp(*CONDITIONED_SNR_DB)).exp()
    return deviation[:, None, None, None]
