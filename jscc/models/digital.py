"""Digital transmission: an image file, a real channel code, QAM. Nothing is learned, and below its SNR nothing arrives.

The best file of a codec that fits the frame is sent with the LDPC code of 5G NR and Gray-labelled QAM, at the
modulation-and-coding scheme that suits the SNR that the transmitter is told, or at a fixed one. If a block's checksum
fails, or if no file is small enough, the receiver shows the mean colour, which it is told beside the symbols.

Codec and code run on the CPU whatever the device. They need the extra `digital` (Sionna, Pillow) from the moment a half
is built; both are imported there and no earlier.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jscc import cancel, signals
from jscc.baselines import mcs, phy
from jscc.models import Study, _contract
from jscc.models._contract import ReceiveOptions
from jscc.signals import ChannelState, Layout, Side

CODECS = ("jpeg", "webp", "avif")
ADAPTIVE = -1
NOTHING = 255
"""Code of the scheme when no file is sent: the symbols are fillers."""
CODE_BITS = 8
SCALE_LOG2 = (-0.5, 0.5)  # of any frame that is long enough to carry a file
_CODE_COUNT = 5  # scheme, scale, three colours
_WHITE = 255
_CLIFF_DB = (6.0, 8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0, 14.0)


@dataclass(frozen=True)
class SendOptions(_contract.SendOptions):
    """What a request may choose; the code of the scheme tells the receiver.

    Attributes:
        mcs: index in `mcs.TABLE`, whatever the SNR; -1 for the fastest scheme that the told SNR allows.
    """

    mcs: int = ADAPTIVE

    def __post_init__(self) -> None:
        """Check the range."""
        if not ADAPTIVE <= self.mcs < len(mcs.TABLE):
            raise ValueError(f"mcs must be in {ADAPTIVE}..{len(mcs.TABLE) - 1}, got {self.mcs}")


@dataclass(frozen=True)
class Config(_contract.Config[SendOptions]):
    """Fixed for a checkpoint, although nothing is trained.

    Attributes:
        rho: real channel uses per sample of the image, above 0, at most 1.
        codec: jpeg, webp or avif. On Kodak, WebP is 2 dB better than JPEG where it fits; its smallest files are
            larger. AVIF takes five times as long to find its file.
    """

    rho: float = 0.25
    codec: str = "webp"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.rho <= 1:
            raise ValueError(f"rho must be above 0 and at most 1, got {self.rho}")
        if self.codec not in CODECS:
            raise ValueError(f"codec must be one of {', '.join(CODECS)}, got '{self.codec}'")

    def layout(self, height_px: int, width_px: int, options: SendOptions) -> Layout:
        """Return what an image of this size costs: rho symbols per sample in whole pairs, and five codes."""
        return Layout(2 * max(1, round(self.rho * 3 * height_px * width_px / 2)), _CODE_COUNT, CODE_BITS)

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
    def forward(self, x: Tensor, snr_db: Tensor, options: SendOptions) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size, one after the other, in float32 even under autocast.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W; rounded to 8 bits.
            snr_db: [B] what the transmitter is told about the channel; without effect on a fixed scheme.
            options: the scheme.

        Returns:
            Symbols s [B, k], k = rho * 3 H W, mean power 1 per image; and the side information.
        """
        with torch.autocast("cpu", enabled=False):
            images = [self._send(*image, options) for image in zip(x.float().cpu(), snr_db.tolist(), strict=True)]
        s, codes = (torch.stack(parts).to(x.device) for parts in zip(*images, strict=True))
        return s, Side(x.shape[-2], x.shape[-1], codes, CODE_BITS)

    def _send(self, x: Tensor, snr_db: float, options: SendOptions) -> tuple[Tensor, Tensor]:
        """Return symbols [k] and codes [5] of one image [3, H, W]."""
        cancel.check()
        index = mcs.choose(snr_db) if options.mcs == ADAPTIVE else options.mcs
        frame = phy.divide(mcs.TABLE[index], self.config.layout(x.shape[1], x.shape[2], options).channel_uses)
        samples = x.mul(_WHITE).round().clamp(0, _WHITE)
        file = _best_file(samples, self.config.codec, frame.capacity_bytes)
        z = phy.filler(frame.symbols, frame.mcs.bits_per_symbol) if file is None else phy.send(frame, file)
        s, scale = signals.normalise_power(z[None])
        scheme = torch.tensor([float(NOTHING if file is None else index)])
        scales = signals.quantise_log2(scale[0], *SCALE_LOG2, CODE_BITS)
        return s[0], torch.cat([scheme, scales, samples.mean(dim=(1, 2)).round()])


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
        """Decode each file that arrived whole, and show the mean colour of the other images.

        Args:
            y: [B, k] received symbols.
            side: image size and the codes.
            state: noise power per symbol, 0 for none.
            options: nothing to choose: the scheme is among the codes.

        Returns:
            x_hat [B, 3, H, W] in [0, 1], of 8 bits.

        Raises:
            ValueError: k or the codes do not fit the image size, or there is no such scheme.
        """
        signals.check_received(y, side, self.config.layout(side.height_px, side.width_px, SendOptions()))
        told = side.codes.round().cpu()
        unknown = [code for code in told[:, 0].tolist() if len(mcs.TABLE) <= code != NOTHING]
        if unknown:
            raise ValueError(f"side.codes: no modulation-and-coding scheme {unknown[0]:g}, there are {len(mcs.TABLE)}")
        with torch.autocast("cpu", enabled=False):
            rows = zip(y.float().cpu(), told, state.of_symbol(y.shape[1]).double().cpu(), strict=True)
            x_hat = torch.stack([_receive(*row, (side.height_px, side.width_px)) for row in rows])
        return x_hat.to(y.device)


def _best_file(samples: Tensor, codec: str, limit_bytes: int) -> bytes | None:
    """Return the best file of whole samples [3, H, W] in 0..255 that is not larger than the limit, if there is one."""
    from jscc.baselines.ideal import CodedImage

    image = CodedImage(samples.byte().permute(1, 2, 0).numpy(), codec)
    quality = image.best_quality(8 * limit_bytes)
    return None if quality is None else image.file(quality)


def _receive(y: Tensor, codes: Tensor, noise_power: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Return the image [3, H, W] of symbols [k], codes [5] and noise power [k]."""
    cancel.check()
    colour = codes[2:, None, None].expand(3, *size_px) / _WHITE
    if codes[0] == NOTHING:
        return colour
    scale = float(signals.dequantise_log2(codes[1], *SCALE_LOG2, CODE_BITS))
    file = phy.receive(phy.divide(mcs.TABLE[int(codes[0])], len(y)), scale * y, scale**2 * noise_power)
    pixels = None if file is None else _decode(file)
    if pixels is None or pixels.shape[:2] != size_px:
        return colour
    return torch.from_numpy(pixels).permute(2, 0, 1) / _WHITE


def _decode(file: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    """Return the pixels [H, W, 3] of a file, None if it is none: a checksum of 24 bits misses one error in 2^24."""
    from jscc.baselines.codecs import decode

    try:
        return decode(file)
    except ValueError:
        return None
