"""KLT-JSCC: a classified hybrid code in closed form with learned corrections, made for quality per operation.

The linear code (`_klt.classes`): the Karhunen-Loeve transform of 16x16 patches, the patches' mean colours transformed
once more as a plane; every patch's class is told; channel uses and power go where the variance is, for the SNR that the
transmitter is told; the receiver's LMMSE weights follow from the same tables. Where power is scarce, the coarse values
of the strongest coefficients go digitally instead (`_klt.hybrid`), also as the tables and the SNR say. Around it,
networks that start as zero add what such a code cannot do. Both work in units of every coefficient's own posterior
deviation, so that what arrives well is left alone: the transmitter's shifts the coefficients and their gains by the
context, the receiver's corrects the estimates. So the method cannot easily fall below its start, at any SNR.

Source: this project; the parts as named in `_klt`; FiLM after E. Perez et al., AAAI 2018; the idea of local gain
control after GDN, J. Balle, V. Laparra and E. P. Simoncelli, "Density Modeling of Images using a Generalized
Normalization Transformation", ICLR 2016.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jscc.models import _contract
from jscc.models._contract import ReceiveOptions
from jscc.models._klt import hybrid
from jscc.models._klt.classes import (
    COEFFICIENTS,
    COLOURS,
    PATCH_PX,
    Places,
    Tables,
    from_spectrum,
    per_patch,
    to_spectrum,
)
from jscc.models._layers import FiLM, ResidualBlock
from jscc.signals import (
    ChannelState,
    Layout,
    Side,
    check_received,
    crop,
    dequantise_log2,
    noise_variance,
    normalise_power,
    pad_to_multiple,
    padded_size,
    quantise_log2,
)

MAX_CODE_BITS = 15
SCALE_LOG2 = (-8.0, 8.0)
NOISE_LOG2 = (-20.0, 10.0)  # SNRs of 60 to -30 dB
MAX_MARGIN_DB = 60
_STEPS_PER_DB = 4
_FIRST_CODES = 4  # scale, noise power, threshold of the digital part, margin
_MARGIN = 3
_SLOPE = 0.1
"""Of the activations below zero. Learned slopes (PReLU) ended at 0.1 to 0.2, and take 8 times as long on a CPU."""
_TRANSMITTER_PX = 8
_RECEIVER_PX = 4
"""Resolutions of the networks: a cell of this side is one position. The receiver's coarse one has a patch."""


@dataclass(frozen=True)
class SendOptions(_contract.SendOptions):
    """What a request may choose; a code tells the receiver.

    Attributes:
        margin_db: by how much the channel may fall below the SNR that the transmitter is told before the digital part
            breaks down, 0..60 dB in steps of 0.25 dB. From about 20 dB on everything is linear, and nothing breaks
            down.
    """

    margin_db: float = 0.0

    def __post_init__(self) -> None:
        """Check range and step."""
        if not 0 <= self.margin_db <= MAX_MARGIN_DB or self.margin_code != self.margin_db * _STEPS_PER_DB:
            steps = f"0..{MAX_MARGIN_DB} in steps of {1 / _STEPS_PER_DB:g}"
            raise ValueError(f"margin_db must be in {steps}, got {self.margin_db}")

    @property
    def margin_code(self) -> int:
        """The margin as both ends know it: its number of steps."""
        return round(self.margin_db * _STEPS_PER_DB)


@dataclass(frozen=True)
class Config(_contract.Config[SendOptions]):
    """Fixed at training.

    Attributes:
        rho: real channel uses per sample of the padded image, above 0, at most 1.
        classes: classes of patches, a power of two in 2..32; each patch's costs log2(classes) bits.
        transmitter_channels: width of the transmitter's network at 1/8 resolution.
        transmitter_blocks: its residual blocks.
        receiver_channels: widths of the receiver's network at 1/16 and 1/4 resolution.
        receiver_blocks: its residual blocks at either.
    """

    rho: float = 0.25
    classes: int = 16
    transmitter_channels: int = 128
    transmitter_blocks: int = 2
    receiver_channels: tuple[int, int] = (256, 96)
    receiver_blocks: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.rho <= 1:
            raise ValueError(f"rho must be above 0 and at most 1, got {self.rho}")
        if self.classes not in (2, 4, 8, 16, 32):
            raise ValueError(f"classes must be 2, 4, 8, 16 or 32, got {self.classes}")
        for name in ("transmitter_channels", "transmitter_blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("receiver_channels", "receiver_blocks"):
            if len(getattr(self, name)) != 2 or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be 2 positive numbers, got {getattr(self, name)}")

    @property
    def class_bits(self) -> int:
        """Bits of a patch's class."""
        return self.classes.bit_length() - 1

    @property
    def classes_per_code(self) -> int:
        """Patches whose classes share a code."""
        return MAX_CODE_BITS // self.class_bits

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.class_bits * self.classes_per_code

    def channel_uses(self, patches: int) -> int:
        """Return the channel uses of this many patches."""
        return max(1, round(self.rho * COEFFICIENTS * patches))

    def layout(self, height_px: int, width_px: int, options: SendOptions) -> Layout:
        """Return what an image of this size costs: rho symbols per padded sample; first codes and classes."""
        rows, columns = padded_size(height_px, width_px, PATCH_PX)
        codes = _FIRST_CODES + -(-rows * columns // self.classes_per_code)
        return Layout(self.channel_uses(rows * columns), codes, self.code_bits)


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols."""

    def __init__(self, config: Config) -> None:
        """Build the tables and a network of residual blocks at 1/8 resolution."""
        super().__init__(config)
        self.tables = Tables(config.classes)
        width = config.transmitter_channels
        self.head = nn.Conv2d(3 * _TRANSMITTER_PX**2, width, 3, padding=1)
        self.body = _Body(width, config.transmitter_blocks)
        cells = PATCH_PX // _TRANSMITTER_PX
        self.output = nn.Conv2d(width, 2 * (COEFFICIENTS - COLOURS), cells, stride=cells)
        _silence(self.output)

    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel.
            options: the margin.

        Returns:
            Symbols s [B, k], k = rho * 768 * ceil(H/16) * ceil(W/16), mean power 1 per image; and the codes: scale,
            noise power, threshold, margin, classes.
        """
        padded = pad_to_multiple(x, PATCH_PX).float()
        noise_code = quantise_log2(noise_variance(snr_db.float())[:, None], *NOISE_LOG2, self.config.code_bits)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            coefficients = self.tables.analyse(padded)
            classes = self.tables.classify(coefficients)
            places = _places(self.tables, self.config, classes)
            told = _noise_power(noise_code, self.config)
            margin_code = torch.full_like(told, options.margin_code)
            word_energy = hybrid.word_energy(told, margin_code / _STEPS_PER_DB)
            threshold = hybrid.choose_threshold(places.levels, told, word_energy)
            code = hybrid.plan(places.levels, told, word_energy, threshold)
            signs, left = hybrid.quantise(code, places.take(to_spectrum(coefficients)) / places.deviation)
            digital = hybrid.send(code, signs)
            trust = (told[:, None] / (told[:, None] + code.power)).sqrt()
        shift, gain = (places.take(part) for part in self._corrections(padded, snr_db))
        exact = left / code.remainder.sqrt()
        linear, scale = normalise_power(code.power.sqrt() * (exact + trust * (shift + gain.tanh() * exact)))
        share = code.linear_share.sqrt()[:, None]
        scale_code = quantise_log2(scale / share, *SCALE_LOG2, self.config.code_bits)
        told_codes = [scale_code, noise_code, threshold[:, None], margin_code[:, None], _pack(classes, self.config)]
        side = Side(x.shape[-2], x.shape[-1], torch.cat(told_codes, dim=1), self.config.code_bits)
        return share * linear + digital, side

    def _corrections(self, padded: Tensor, snr_db: Tensor) -> Iterator[Tensor]:
        """Yield shifts and gains [B, 768, h, w]; a plane's spectrum has no place for what is local, and gets none."""
        blocks = F.pixel_unshuffle(4 * (padded - 0.5), _TRANSMITTER_PX)
        outputs = self.output(self.body(self.head(blocks), snr_db)).float()
        for part in outputs.chunk(2, dim=1):
            yield F.pad(part, (0, 0, 0, 0, COLOURS, 0))


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image."""

    def __init__(self, config: Config) -> None:
        """Build the tables and a network at 1/16, then 1/4 resolution."""
        super().__init__(config)
        self.tables = Tables(config.classes)
        coarse, fine = config.receiver_channels
        self.coarse_head = nn.Conv2d(2 * COEFFICIENTS, coarse, 1)
        self.coarse_body = _Body(coarse, config.receiver_blocks[0])
        cells = PATCH_PX // _RECEIVER_PX
        self.grow = nn.ConvTranspose2d(coarse, fine, cells, stride=cells)
        self.fine_head = nn.Conv2d(3 * _RECEIVER_PX**2, fine, 3, padding=1)
        self.fine_body = _Body(fine, config.receiver_blocks[1])
        self.output = nn.Conv2d(fine, COEFFICIENTS, cells, stride=cells)
        _silence(self.output)

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Decode a batch of images of one size.

        Args:
            y: [B, k] received symbols.
            side: image size, scale, noise power, threshold, margin and classes.
            state: noise power per symbol.
            options: nothing to choose.

        Returns:
            x_hat [B, 3, H, W]; cut to [0, 1] outside training.

        Raises:
            ValueError: k or the codes do not fit the image size, or there is no such margin.
        """
        check_received(y, side, self.config.layout(side.height_px, side.width_px, SendOptions()))
        if not self.training:  # where both ends are one process, which does not wait for the device
            _check_margin(side.codes[:, _MARGIN])
        with torch.autocast(y.device.type, enabled=False):
            estimate, error, deviation = self._estimate(y.float(), side, state)
            image = self.tables.synthesise(estimate)
            relative = torch.cat([estimate, error], dim=1) / deviation.repeat(1, 2, 1, 1)
        features = self.coarse_body(self.coarse_head(relative), state.snr_db)
        blocks = F.pixel_unshuffle(4 * (image - 0.5), _RECEIVER_PX)
        features = self.fine_body(self.grow(features) + self.fine_head(blocks), state.snr_db)
        correction = self.output(features).float() * error
        with torch.autocast(y.device.type, enabled=False):
            x_hat = crop(self.tables.synthesise(estimate + correction), side)
        return x_hat if self.training else x_hat.clamp(0, 1)

    def _estimate(self, y: Tensor, side: Side, state: ChannelState) -> tuple[Tensor, Tensor, Tensor]:
        """Return the estimate of every patch's coefficients and the deviations of its error and of what it is of.

        All are [B, 768, h, w].
        """
        places = _places(self.tables, self.config, _unpack(side, self.config))
        told, noise_power = _noise_power(side.codes[:, 1:2], self.config), state.of_symbol(y.shape[1])
        word_energy = hybrid.word_energy(told, side.codes[:, _MARGIN].round() / _STEPS_PER_DB)
        code = hybrid.plan(places.levels, told, word_energy, side.codes[:, 2].round().long())
        words = None if self.training else int(code.words.max())  # a training step does not wait for the device
        values, doubt = hybrid.dequantise(code, hybrid.receive(code, y, noise_power, words))
        scale = dequantise_log2(side.codes[:, :1], *SCALE_LOG2, self.config.code_bits)
        total = (code.power + scale.square() * noise_power).clamp_min(1e-12)
        left = (code.power * code.remainder).sqrt() / total * y * scale
        estimate = places.put(torch.zeros_like(places.variance), (values + left) * places.deviation)
        remaining = code.remainder * (1 - code.power / total).clamp_min(0) + doubt
        error = places.put(places.variance, remaining * places.deviation.square())
        deviation = per_patch(places.variance).sqrt()
        return from_spectrum(estimate), per_patch(error).sqrt(), deviation

    def initialise(self, transmitter: nn.Module, images: list[Tensor]) -> None:
        """Start as the classified linear code of these images, uint8 [3, H, W] each."""
        assert isinstance(transmitter, Transmitter)
        transmitter.tables.fit(images, self.config.rho)
        self.tables.load_state_dict(transmitter.tables.state_dict())


class _Body(nn.Module):
    """FiLM and a residual block, several times."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.films = nn.ModuleList(FiLM(width) for _ in range(count))
        self.blocks = nn.ModuleList(ResidualBlock(width, nn.LeakyReLU(_SLOPE)) for _ in range(count))

    def forward(self, z: Tensor, snr_db: Tensor) -> Tensor:
        for film, block in zip(self.films, self.blocks, strict=True):
            z = block(film(z, snr_db))
        return z


def _places(tables: Tables, config: Config, classes: Tensor) -> Places:
    return Places(tables, classes, config.channel_uses(math.prod(classes.shape[1:])))


def _noise_power(noise_code: Tensor, config: Config) -> Tensor:
    """Return the noise power [B] that both ends design the code for."""
    return dequantise_log2(noise_code.detach().float().flatten(), *NOISE_LOG2, config.code_bits)


def _check_margin(codes: Tensor) -> None:
    largest = MAX_MARGIN_DB * _STEPS_PER_DB
    if codes.max() > largest:
        raise ValueError(f"side.codes: no margin of code {codes.max():.0f}, the largest is {largest}")


def _pack(classes: Tensor, config: Config) -> Tensor:
    """Return the classes [B, h, w] as codes [B, n], several patches in one."""
    patches = classes.flatten(1)
    patches = F.pad(patches, (0, -patches.shape[1] % config.classes_per_code))
    digits = patches.reshape(len(patches), -1, config.classes_per_code)
    codes: Tensor = (digits * _place_values(config, classes.device)).sum(dim=2).float()
    return codes


def _unpack(side: Side, config: Config) -> Tensor:
    """Return the classes [B, h, w] that the codes tell."""
    rows, columns = padded_size(side.height_px, side.width_px, PATCH_PX)
    codes = side.codes[:, _FIRST_CODES:].round().long()
    digits = codes[:, :, None] // _place_values(config, codes.device) % config.classes
    return digits.flatten(1)[:, : rows * columns].reshape(-1, rows, columns)


def _place_values(config: Config, device: torch.device) -> Tensor:
    places: Tensor = config.classes ** torch.arange(config.classes_per_code, device=device)
    return places


@torch.no_grad()
def _silence(layer: nn.Conv2d) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
