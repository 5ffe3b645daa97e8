"""Digital transmission: an image file, a real channel code, QAM. Nothing is learned, and below its SNR nothing arrives.

The best file of a codec that fits the frame is sent with the LDPC code of 5G NR and Gray-labelled QAM, at the
modulation-and-coding scheme that suits the SNR that the transmitter is told, or at a fixed one. If a block's checksum
fails, or if no file is small enough, the receiver shows the mean colour, which it is told beside the symbols.

Codec and code run on the CPU whatever the device. They need the extra `digital` (Sionna, Pillow) from the moment a half
is built, and HEVC and VVC the extra `codecs` (ffmpeg); all are imported where they are needed and no earlier.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jscc import cancel, signals
from jscc.baselines import mcs, phy
from jscc.baselines._codecs import NAMES
from jscc.config import shown
from jscc.framing import frame
from jscc.framing.header import HeaderLostError
from jscc.grid import PLAIN, Grid
from jscc.models import Study, _contract
from jscc.models._contract import ReceiveOptions
from jscc.signals import ChannelState, Layout, Side

ADAPTIVE = -1
NOTHING = 255
"""Code of the scheme when no file is sent: the symbols are fillers."""
CODE_BITS = 8
SCALE_LOG2 = (-0.5, 0.5)  # of any frame that is long enough to carry a file
_WHITE = 255
_LEAST_USES = 512
"""So that an image of one pixel has a header and a file of its own."""
_BELOW_DB = {"none": (0.0, 0.0), "fast": (2.5, 0.1), "block": (5.9, 0.2)}
"""By `Grid.fading`: the scheme is one for an SNR below the mean one by these dB and this share of it.

Where the fading is fast, that is what the code loses to it; where all of a frame has one gain, it is the outage of
the best mean PSNR with an ideal code (`jscc.baselines.fading.single_rate`, AVIF): 26 % at -5 dB to 9 % at 20 dB.
"""
_CLIFF_DB = (6.0, 8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0, 14.0)


class Header(NamedTuple):
    """All that the receiver is told of an image beside its symbols and its size; a code of CODE_BITS each.

    Attributes:
        scheme: place in `mcs.TABLE`; NOTHING if no file is sent.
        codec: place in NAMES.
        scale: what the symbols were divided by, see `signals.quantise_log2`.
        red, green, blue: the mean colour in 8 bits.
    """

    scheme: int
    codec: int
    scale: int
    red: int
    green: int
    blue: int

    def codes(self) -> Tensor:
        """Return the codes, float32 [n]."""
        return torch.tensor([float(code) for code in self])

    @classmethod
    def of(cls, codes: Tensor) -> "Header":
        """Return the header that codes [n] tell.

        Raises:
            HeaderLostError: there is no such scheme or codec.
        """
        header = cls(*(int(code) for code in codes.round().tolist()))
        for name, code, count in (
            ("modulation-and-coding scheme", header.scheme, len(mcs.TABLE)),
            ("codec", header.codec, len(NAMES)),
        ):
            if count <= code and not (code == header.scheme == NOTHING):
                raise HeaderLostError(f"side.codes: no {name} {code}, there are {count}")
        return header


@dataclass(frozen=True)
class SendOptions(_contract.SendOptions):
    """What a request may choose; the header tells the receiver.

    Attributes:
        mcs: place in `mcs.TABLE`, whatever the SNR; -1 for the fastest scheme that the told SNR allows.
        codec: of the file, one of NAMES; docs/baselines.md says what they are.
        margin_db: by how much the channel may fall below the SNR that the transmitter is told before blocks fail, in
            quarters of a dB; without effect on a fixed scheme.
    """

    mcs: int = ADAPTIVE
    codec: str = NAMES[0]
    margin_db: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not ADAPTIVE <= self.mcs < len(mcs.TABLE):
            raise ValueError(f"mcs must be in {ADAPTIVE}..{len(mcs.TABLE) - 1}, got {self.mcs}")
        if self.codec not in NAMES:
            raise ValueError(f"codec must be one of {', '.join(NAMES)}, got {shown(self.codec)}")
        _contract.margin_code("margin_db", self.margin_db)


@dataclass(frozen=True)
class Config(_contract.Config[SendOptions]):
    """Fixed for a checkpoint, although nothing is trained.

    Attributes:
        rho: real channel uses per sample of the image, above 0, at most 1.
    """

    rho: float = 0.25

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.rho <= 1:
            raise ValueError(f"rho must be above 0 and at most 1, got {self.rho}")

    def layout(self, height_px: int, width_px: int, options: SendOptions, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs: rho symbols per sample, all there is in them."""
        return frame.within(
            max(_LEAST_USES, round(self.rho * 3 * height_px * width_px)), len(Header._fields), CODE_BITS, grid
        )

    def studies(self) -> tuple[Study, ...]:
        """Return the cliff of the scheme that 10 dB allow, which an adaptive transmitter hides."""
        return (Study({"mcs": mcs.choose(10.0)}, _CLIFF_DB, images=8),)


class Transmitter(_contract.Transmitter[Config, SendOptions]):
    """Image to symbols; without parameters."""

    differentiable = False
    """A file has no gradient."""

    def __init__(self, config: Config) -> None:
        """Keep the configuration.

        Raises:
            ModuleNotFoundError: the extra `digital` is not installed.
        """
        super().__init__(config)
        phy.require()

    @torch.no_grad()
    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size, one after the other, in float32 even under autocast.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W; rounded to 8 bits.
            snr_db: [B] what the transmitter is told about the channel, the mean SNR where it fades; without effect on a
                fixed scheme.
            options: scheme, codec and margin.
            grid: of the frames.

        Returns:
            Symbols s [B, slots], mean power 1 per image; and the side information.

        Raises:
            CodecMissingError: what the codec needs is not installed here.
        """
        side = Side.told(x, snr_db, options.header_margin_code, x.new_zeros(len(x), 0), CODE_BITS, grid)
        layout = self.config.layout(x.shape[2], x.shape[3], options, grid)
        air = frame.left_to_method(layout, side)
        left_db = snr_db.cpu() + 20 * air.gain.log10().cpu()
        least, slope = _BELOW_DB[grid.fading]
        left_db = left_db - (least + slope * left_db).clamp_min(0) - options.margin_db
        with torch.autocast("cpu", enabled=False):
            images = [
                self._send(*image, options, layout.slots)
                for image in zip(x.float().cpu(), left_db.tolist(), strict=True)
            ]
        s, codes = (torch.stack(parts).to(x.device) for parts in zip(*images, strict=True))
        return s, dataclasses.replace(side, codes=codes)

    def _send(self, x: Tensor, snr_db: float, options: SendOptions, slots: int) -> tuple[Tensor, Tensor]:
        """Return symbols [slots] and codes [n] of one image [3, H, W]; the header's power is taken off the SNR."""
        cancel.check()
        known_db = round(snr_db, 3)  # thresholds and told SNRs are tenths: no ulp decides where they meet
        index = mcs.choose(known_db) if options.mcs == ADAPTIVE else options.mcs
        division = phy.divide(mcs.TABLE[index], slots)
        samples = x.mul(_WHITE).round().clamp(0, _WHITE)
        file = _best_file(samples, options.codec, division.capacity_bytes)
        z = _symbols(division, file)
        s, scale = signals.normalise_power(z[None])
        header = Header(
            NOTHING if file is None else index,
            NAMES.index(options.codec),
            round(float(signals.quantise_log2(scale[0], *SCALE_LOG2, CODE_BITS))),
            *samples.mean(dim=(1, 2)).round().int().tolist(),
        )
        return s[0], header.codes()


class Receiver(_contract.Receiver[Config, ReceiveOptions]):
    """Symbols to image; without parameters."""

    def __init__(self, config: Config) -> None:
        """Keep the configuration.

        Raises:
            ModuleNotFoundError: the extra `digital` is not installed.
        """
        super().__init__(config)
        phy.require()

    @torch.no_grad()
    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> Tensor:
        """Return the images of `reconstruct`; arguments and errors as there."""
        return self.reconstruct(y, side, state, options)[0]

    @torch.no_grad()
    def reconstruct(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveOptions) -> tuple[Tensor, Tensor]:
        """Decode each file that arrived whole, and show the mean colour of the other images.

        Args:
            y: [B, slots] received symbols.
            side: image size and the codes.
            state: noise power per symbol, 0 for none.
            options: nothing to choose: scheme and codec are in the header.

        Returns:
            x_hat [B, 3, H, W] in [0, 1], of 8 bits, and [B] for which there is no file.

        Raises:
            ValueError: k or the codes do not fit the image size.
            HeaderLostError: there is no such scheme or codec.
            CodecMissingError: what the codec needs is not installed here.
        """
        signals.check_received(y, side, self.config.layout(side.height_px, side.width_px, SendOptions(), side.grid))
        told = [Header.of(codes) for codes in side.codes.cpu()]
        with torch.autocast("cpu", enabled=False):
            rows = zip(y.float().cpu(), told, state.of_symbol(y.shape[1]).double().cpu(), strict=True)
            size_px = (side.height_px, side.width_px)
            files = [_receive(*row, size_px) for row in rows]
        colours = [_colour(header, size_px) for header in told]
        lost = torch.tensor([file is None for file in files])
        x_hat = torch.stack([colour if file is None else file for file, colour in zip(files, colours, strict=True)])
        return x_hat.to(y.device), lost


def _best_file(samples: Tensor, codec: str, limit_bytes: int) -> bytes | None:
    """Return the best file of whole samples [3, H, W] in 0..255 that is not larger than the limit, if there is one."""
    from jscc.baselines.ideal import CodedImage

    image = CodedImage(samples.byte().permute(1, 2, 0).numpy(), codec)
    choice = image.best(8 * limit_bytes)
    return None if choice is None else image.file(choice)


def _symbols(division: phy.Division, file: bytes | None) -> Tensor:
    """Return the symbols [slots] of a file, fillers where there is none."""
    if file is None:
        return phy.filler(division.symbols, division.mcs.bits_per_symbol)
    return phy.send(division, file)


def _colour(header: Header, size_px: tuple[int, int]) -> Tensor:
    """Return an image [3, H, W] of the mean colour that a header tells."""
    return torch.tensor(header[-3:])[:, None, None].expand(3, *size_px) / _WHITE


def _receive(y: Tensor, header: Header, noise_power: Tensor, size_px: tuple[int, int]) -> Tensor | None:
    """Return the image [3, H, W] of symbols [slots], its header and noise power [slots], if there is one."""
    cancel.check()
    if header.scheme == NOTHING:
        return None
    scale = float(signals.dequantise_log2(torch.tensor(float(header.scale)), *SCALE_LOG2, CODE_BITS))
    file = phy.receive(phy.divide(mcs.TABLE[header.scheme], len(y)), scale * y, scale**2 * noise_power)
    pixels = None if file is None else _decode(file, NAMES[header.codec], size_px)
    return None if pixels is None else torch.from_numpy(pixels).permute(2, 0, 1) / _WHITE


def _decode(file: bytes, codec: str, size_px: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """Return the pixels [H, W, 3] of a file, None if it is none: a checksum of 24 bits misses one error in 2^24."""
    from jscc.baselines.codecs import decode

    try:
        return decode(file, codec, *size_px)
    except ValueError:
        return None
