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

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jscc.framing import bits, frame
from jscc.framing.frame import Air
from jscc.grid import PLAIN, Grid
from jscc.models import _contract
from jscc.models._contract import ReceiveOptions
from jscc.models._klt import hybrid, told
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
from jscc.models._klt.quantiser import ROWS, Quantiser, row_of, sample_values
from jscc.models._layers import FADED_SNR_DB, FiLM, ResidualBlock
from jscc.signals import (
    ChannelState,
    Layout,
    Side,
    check_received,
    crop,
    dequantise_log2,
    pad_to_multiple,
    padded_size,
    quantise_log2,
)

SCALE_LOG2 = (-8.0, 8.0)
_LEAST_USES = 1280
_USES_PER_PATCH = 32
"""So that the header of an image of a few patches fits its frame at any SNR."""
_POWER_FLOOR = 1e-12
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
            breaks down, 0..60 dB in steps of 0.25 dB. Where everything is linear, nothing breaks down.
    """

    margin_db: float = 1.5

    def __post_init__(self) -> None:
        """Check ranges and steps."""
        super().__post_init__()
        _contract.margin_code("margin_db", self.margin_db)

    @property
    def margin_code(self) -> int:
        """The margin as both ends know it: its number of steps."""
        return _contract.margin_code("margin_db", self.margin_db)


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

    def layout(self, height_px: int, width_px: int, options: SendOptions, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs: rho symbols per padded sample, all there is in them."""
        rows, columns = padded_size(height_px, width_px, PATCH_PX)
        patches = rows * columns
        channel_uses = max(round(self.rho * COEFFICIENTS * patches), _LEAST_USES + _USES_PER_PATCH * patches)
        return frame.within(channel_uses, told.FIRST_CODES + patches, told.CODE_BITS, grid, has_body=True)


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols."""

    def __init__(self, config: Config) -> None:
        """Build the tables and a network of residual blocks at 1/8 resolution."""
        super().__init__(config)
        self.tables = Tables(config.classes)
        self.quantiser = Quantiser()
        width = config.transmitter_channels
        self.head = nn.Conv2d(3 * _TRANSMITTER_PX**2, width, 3, padding=1)
        self.body = _Body(width, config.transmitter_blocks)
        cells = PATCH_PX // _TRANSMITTER_PX
        self.output = nn.Conv2d(width, 2 * (COEFFICIENTS - COLOURS), cells, stride=cells)
        _silence(self.output)

    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel.
            options: the margin.
            grid: of the frames.

        Returns:
            Symbols s [B, slots], mean power 1 per image over all but the places of the header's body; and the codes of
            `told.Told`.
        """
        padded = pad_to_multiple(x, PATCH_PX).float()
        layout = self.config.layout(x.shape[-2], x.shape[-1], options, grid)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            coefficients = self.tables.analyse(padded)
            classes = self.tables.classify(coefficients)
            side = Side.told(x, snr_db, options.header_margin_code, x.new_zeros(len(x), 0), told.CODE_BITS, grid)
            header, side = self._size_header(classes, side)
            air = frame.left_to_method(layout, side)
            places = Places(self.tables, classes, layout.slots)
            margin = torch.full_like(side.margin_code, options.margin_code)
            exact = places.take(to_spectrum(coefficients)) / places.deviation
            step, first_row, values, sizes, data = self._tell(places, exact, air, margin)
            parts = hybrid.digital_of(air, sizes, margin)
            code = hybrid.plan(places.levels, step, self.quantiser, air, parts)
            digital = hybrid.send(code, parts, data)
            left = (exact - self.quantiser.shown(values, code.ratio)) / code.remainder.sqrt()
            noise_power = air.noise_power.float()[:, None]
            trust = (noise_power / (noise_power + code.power)).sqrt()
        shift, gain = (places.take(part) for part in self._corrections(padded, snr_db))
        linear = code.power.sqrt() * (left + trust * (shift + gain.tanh() * left))
        power = linear.square().sum(1) / air.uses
        scale = (power.clamp_min(_POWER_FLOOR) / hybrid.linear_share(code, air, digital)).sqrt()
        scale_code = quantise_log2(scale, *SCALE_LOG2, told.SCALE_BITS)
        codes = told.Told(scale_code, step, margin, first_row, sizes, classes).codes()
        side = dataclasses.replace(side, codes=codes, payload=values if self.training else None)
        return linear / scale[:, None] + digital, self._with_body(side, header)

    def _size_header(self, classes: Tensor, side: Side) -> tuple[tuple[bytes, ...], Side]:
        """Return the classes as bytes, which a training step does not wait for, and side information with a size."""
        if self.training:
            return (), dataclasses.replace(side, body_bytes=told.size_bytes(classes, self.tables.class_count))
        counts = bits.counts_of(self.tables.class_count)
        written = tuple(told.write_classes(image, counts) for image in classes.cpu().numpy())
        sizes = [told.FIRST_BYTES + len(each) for each in written]
        return written, dataclasses.replace(side, body_bytes=torch.tensor(sizes, device=classes.device))

    def _tell(
        self, places: Places, exact: Tensor, air: Air, margin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor], list[tuple[bytes, bytes]]]:
        """Return step, first row of the base, values [B, slots], sizes of base and rest, and their bytes."""
        step, first_row = hybrid.choose_step(places.levels, self.quantiser, air, margin)
        ratio = hybrid.ratio_to(step, places.levels)
        values = self.quantiser.told(exact, ratio)
        data, (base, rest) = self._size_values(values, ratio, first_row)
        # An image that is no photo may take far more bytes than the step was chosen for: then nothing is told.
        some = hybrid.fits(air, hybrid.digital_of(air, (base, rest), margin))
        return step.where(some, hybrid.NO_STEP), first_row, values * some[:, None], (base * some, rest * some), data

    def _size_values(
        self, values: Tensor, ratio: Tensor, first_row: Tensor
    ) -> tuple[list[tuple[bytes, bytes]], tuple[Tensor, Tensor]]:
        """Return the values as bytes, likewise, and their sizes."""
        if self.training:
            return [], self.quantiser.sizes_bytes(values, ratio, first_row)
        written = [
            (self.quantiser.write(value, of, range(first, ROWS)), self.quantiser.write(value, of, range(first)))
            for value, of, first in zip(values, ratio, first_row.tolist(), strict=True)
        ]
        base, rest = torch.tensor([[len(part) for part in each] for each in written], device=values.device).unbind(1)
        return written, (base, rest)

    def _with_body(self, side: Side, classes: tuple[bytes, ...]) -> Side:
        """Return side information with the codes as bodies."""
        if self.training:
            return side
        numbers = side.codes[:, : told.FIRST_CODES].round().long().tolist()
        bodies = tuple(told.write_numbers(first) + rest for first, rest in zip(numbers, classes, strict=True))
        return dataclasses.replace(side, body=bodies)

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
        self.quantiser = Quantiser()
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
        """Return the images of `reconstruct`; arguments and errors as there."""
        return self.reconstruct(y, side, state, options)[0]

    def reconstruct(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> tuple[Tensor, Tensor]:
        """Decode a batch of images of one size.

        Args:
            y: [B, slots] received symbols.
            side: image size and the codes of `told.Told`.
            state: noise power per symbol.
            options: nothing to choose.

        Returns:
            x_hat [B, 3, H, W], cut to [0, 1] outside training; and [B] where the digital part is lost.

        Raises:
            ValueError: symbols or codes do not fit the image size.
        """
        layout = self.config.layout(side.height_px, side.width_px, SendOptions(), side.grid)
        check_received(y, side, layout)
        with torch.autocast(y.device.type, enabled=False):
            estimate, error, deviation, lost = self._estimate(
                y.float(), side, state, frame.left_to_method(layout, side)
            )
            image = self.tables.synthesise(estimate)
            relative = torch.cat([estimate, error], dim=1) / deviation.repeat(1, 2, 1, 1)
        features = self.coarse_body(self.coarse_head(relative), state.snr_db)
        blocks = F.pixel_unshuffle(4 * (image - 0.5), _RECEIVER_PX)
        features = self.fine_body(self.grow(features) + self.fine_head(blocks), state.snr_db)
        correction = self.output(features).float() * error
        with torch.autocast(y.device.type, enabled=False):
            x_hat = crop(self.tables.synthesise(estimate + correction), side)
        return (x_hat if self.training else x_hat.clamp(0, 1)), lost

    def _estimate(self, y: Tensor, side: Side, state: ChannelState, air: Air) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the estimate of every patch's coefficients and the deviations of its error and of what it is of.

        All are [B, 768, h, w]; and [B] where the digital part is lost.
        """
        said = told.Told.of(side.codes, *padded_size(side.height_px, side.width_px, PATCH_PX))
        places, noise_power = Places(self.tables, said.classes, y.shape[1]), state.of_symbol(y.shape[1])
        digital = hybrid.digital_of(air, said.sizes, said.margin)
        code = hybrid.plan(places.levels, said.step, self.quantiser, air, digital)
        if side.payload is None:
            data = hybrid.receive(code, air, digital, y, noise_power)
            values, lost = self._values(code, said.first_row, data)
        else:
            values, lost = side.payload, hybrid.lost_in_training(air, said.margin, noise_power)
        is_base = row_of(code.ratio) >= said.first_row[:, None]
        gone = torch.where(is_base, lost[0][:, None], lost[1][:, None])
        values, doubt = values * ~gone, (1 - code.remainder) * gone
        scale = dequantise_log2(said.scale, *SCALE_LOG2, told.SCALE_BITS)[:, None]
        total = (code.power + scale.square() * noise_power).clamp_min(1e-12)
        left = (code.power * code.remainder).sqrt() / total * y * scale
        shown = self.quantiser.shown(values, code.ratio)
        estimate = places.put(torch.zeros_like(places.variance), (shown + left) * places.deviation)
        remaining = code.remainder * (1 - code.power / total).clamp_min(0) + doubt
        error = places.put(places.variance, remaining * places.deviation.square())
        deviation = per_patch(places.variance).sqrt()
        return from_spectrum(estimate), per_patch(error).sqrt(), deviation, lost[0] | lost[1]

    def _values(
        self, code: hybrid.HybridPlan, first_row: Tensor, data: list[hybrid.Found]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the values int64 [B, slots], 0 where they are lost, and whether base and rest, [B] each, are."""
        values, lost = torch.zeros_like(code.ratio), torch.zeros(2, len(data), dtype=torch.bool)
        for image, (first, parts) in enumerate(zip(first_row.tolist(), data, strict=True)):
            for number, (part, rows) in enumerate(zip(parts, (range(first, ROWS), range(first)), strict=True)):
                found = self._read_values(part, code.ratio[image], rows)
                lost[number, image] = found is None
                values[image] += 0 if found is None else found
        base, rest = lost.to(values.device)
        return values, (base, rest)

    def _read_values(self, data: bytes | None, ratio: Tensor, rows: range) -> Tensor | None:
        try:
            return None if data is None else self.quantiser.read(data, ratio, rows)
        except ValueError:  # a checksum misses one error in 2^32
            return None

    def read(self, body: bytes, size_px: tuple[int, int]) -> list[int]:
        """Return the codes of `told.Told` that a header's body tells."""
        rows, columns = padded_size(*size_px, PATCH_PX)
        return told.read(body, rows, columns, bits.counts_of(self.tables.class_count))

    def initialise(self, transmitter: nn.Module, images: list[Tensor]) -> None:
        """Start as the classified linear code of these images, uint8 [3, H, W] each."""
        assert isinstance(transmitter, Transmitter)
        transmitter.tables.fit(images, self.config.rho)
        transmitter.quantiser.fit(*sample_values(transmitter.tables, images, self.config.rho))
        self.tables.load_state_dict(transmitter.tables.state_dict())
        self.quantiser.load_state_dict(transmitter.quantiser.state_dict())


class _Body(nn.Module):
    """FiLM and a residual block, several times."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.films = nn.ModuleList(FiLM(width, FADED_SNR_DB) for _ in range(count))
        self.blocks = nn.ModuleList(ResidualBlock(width, nn.LeakyReLU(_SLOPE)) for _ in range(count))

    def forward(self, z: Tensor, snr_db: Tensor) -> Tensor:
        for film, block in zip(self.films, self.blocks, strict=True):
            z = block(film(z, snr_db))
        return z


@torch.no_grad()
def _silence(layer: nn.Conv2d) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
