"""The signal conventions of JSCC-Link, stated once.

Images `x` are float32 [B, 3, H, W] in [0, 1]. Sent symbols `s` are real float32 [B, k] with mean power 1 per image over
the symbols really sent. A channel use is one real symbol, so the bandwidth ratio is `rho = k / (3 H W)`; a paper that
counts complex symbols states `rho / 2`. Noise has the variance `10^(-snr_db / 10)` per real symbol.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jscc.grid import PLAIN, Grid
from jscc.limits import MAX_SNR_DB, MIN_SNR_DB

MARGIN_STEPS_PER_DB = 4
MAX_MARGIN_DB = 60
_POWER_FLOOR = 1e-12
_LEAST_SIGNAL = 1e-6
_REACH_UNIT = 1024
_SNR_STEP_DB = 10 * math.log10(2) / 16
_NOISE_POWER_FLOOR = 1e-4
_TWISTER_WORDS = 624
_TWISTER_OFFSET_BYTES = 24  # after seed, flags and position in the state of torch's CPU generator


@dataclass(frozen=True)
class Side:
    """Side information of a batch of equally sized images: what a header tells the receiver beside the symbols.

    Attributes:
        height_px: true image height, 1..MAX_SIDE_PX; known beforehand, as the width is.
        width_px: true image width, 1..MAX_SIDE_PX.
        codes: [B, n] float32 holding whole numbers in 0..2^code_bits - 1 (float, so that a straight-through gradient
            reaches the transmitter); n may be 0.
        code_bits: bits per code, 0..16.
        snr_code: int64 [B] the SNR that the transmitter is told, see `snr_code`.
        margin_code: int64 [B] by how much worse a channel the header stands, in quarters of a dB.
        body_bytes: int64 [B] size of the codes as a body; 0 where the words of the header hold them.
        colour: float32 [B, 3] the images' mean colour, in 0..1, as a header with a body tells it too, coarsely, so that
            something is left to show where the body is lost.
        grid: of the frame; known beforehand, as the size is.
        body: the bodies, one for each image; none where there is none, and in training.
        payload: what a method sends in bits of its own, in training alone, where it arrives as it is.
    """

    height_px: int
    width_px: int
    codes: Tensor
    code_bits: int
    snr_code: Tensor
    margin_code: Tensor
    body_bytes: Tensor
    colour: Tensor
    grid: Grid = PLAIN
    body: tuple[bytes, ...] = ()
    payload: Tensor | None = None

    @staticmethod
    def told(x: Tensor, snr_db: Tensor, margin_code: int, codes: Tensor, code_bits: int, grid: Grid = PLAIN) -> "Side":
        """Return the side information of images x [B, 3, H, W] whose codes the words of a header hold.

        Args:
            x: the images.
            snr_db: [B] that the transmitter is told.
            margin_code: the header's, for all.
            codes: float32 [B, n].
            code_bits: bits per code.
            grid: of the frames.
        """
        margin = torch.full((len(x),), margin_code, device=x.device)
        nothing = torch.zeros_like(margin)
        told, colour = snr_code(snr_db), x.detach().float().mean((2, 3))
        return Side(x.shape[-2], x.shape[-1], codes, code_bits, told, margin, nothing, colour, grid)


@dataclass(frozen=True)
class Layout:
    """What one image of a known size costs on the link, before anything is sent.

    Attributes:
        channel_uses: real symbols k, padding, header and pilots included.
        slots: of these, those of the method's own symbols and of the header's body.
        code_count: codes of side information.
        code_bits: bits per code.
        words: of the header.
        word_uses: channel uses of one word.
        has_body: whether the codes are a body; if not, the words hold them.
        grid: of the frame.
    """

    channel_uses: int
    slots: int
    code_count: int
    code_bits: int
    words: int
    word_uses: int
    has_body: bool
    grid: Grid = PLAIN

    @property
    def paid_uses(self) -> int:
        """Channel uses of header and method, whose mean power is 1 as that of the pilots is."""
        return self.slots + self.words * self.word_uses


@dataclass(frozen=True)
class ChannelState:
    """What a receiver works with.

    Attributes:
        noise_power: [B] or [B, k] float32, noise variance per real symbol relative to unit signal power; 0 for none.
        gains: complex64 [B, ceil(k/2)] of every complex symbol, before equalisation, as only a genie tells them.
    """

    noise_power: Tensor
    gains: Tensor | None = None

    def of_image(self, row: int) -> "ChannelState":
        """Return the state of one image of a batch."""
        gains = None if self.gains is None else self.gains[row : row + 1]
        return ChannelState(self.noise_power[row : row + 1], gains)

    def of_symbol(self, symbols: int) -> Tensor:
        """Return the noise power of each of `symbols` symbols, [B, symbols]: what LMMSE weights are made of."""
        if self.noise_power.ndim == 1:
            return self.noise_power[:, None].expand(-1, symbols)
        return self.noise_power

    @property
    def snr_db(self) -> Tensor:
        """Effective SNR [B] in dB of unit signal power, what networks are conditioned on.

        At most 40 dB, so that no noise is a number too. Where the noise power differs from symbol to symbol, it is the
        SNR at which the best linear estimate of symbols of power 1 has the same mean squared error.
        """
        snr_db: Tensor = -10 * self._even_noise_power().clamp_min(_NOISE_POWER_FLOOR).log10()
        return snr_db

    def _even_noise_power(self) -> Tensor:
        noise_power = self.noise_power.float()
        if noise_power.ndim == 1:
            return noise_power
        error = (noise_power / (1 + noise_power)).mean(dim=1)
        return error / (1 - error).clamp_min(_LEAST_SIGNAL)

    def evened(self, y: Tensor) -> "tuple[Tensor, ChannelState]":
        """Return symbols and state for a receiver that knows one noise power: what is noisier counts less.

        Symbols are weighed as the best linear estimate weighs them, over the weight that all would have at the
        effective SNR. Of one noise power, they stay as they are.

        Args:
            y: [B, k] equalised symbols.
        """
        if self.noise_power.ndim == 1:
            return y, self
        even = self._even_noise_power()
        return y * ((1 + even[:, None]) / (1 + self.noise_power)).to(y.dtype), ChannelState(even)


def noise_variance(snr_db: Tensor) -> Tensor:
    """Return the noise variance per real symbol, `10^(-snr_db / 10)`, of any shape."""
    power: Tensor = torch.pow(10.0, -snr_db / 10.0)
    return power


def snr_code(snr_db: Tensor) -> Tensor:
    """Return the told SNR [B] as both ends know it: int64 sixteenths of an octave above the lowest, 0..478."""
    code: Tensor = (snr_db.double().clamp(MIN_SNR_DB, MAX_SNR_DB) - MIN_SNR_DB).div(_SNR_STEP_DB).round().long()
    return code


def snr_code_of(snr_db: float) -> int:
    """Return `snr_code` of one SNR."""
    return round((min(max(snr_db, MIN_SNR_DB), MAX_SNR_DB) - MIN_SNR_DB) / _SNR_STEP_DB)


def snr_code_below(code: Tensor, by_db: float) -> Tensor:
    """Return the code of an SNR that is lower by so many dB, or of the lowest."""
    return (code - round(by_db / _SNR_STEP_DB)).clamp_min(0)


@dataclass(frozen=True)
class Reach:
    """By how much something is made for a worse channel than told, margins apart: more where the told SNR is higher.

    Attributes:
        at_0_db: in dB where 0 dB are told.
        per_db: more for each dB above.
    """

    at_0_db: float
    per_db: float = 0.0

    def steps(self, snr_code: Tensor) -> Tensor:
        """Return it in steps of a margin, int64 [B] of at least 0, from codes [B] of told SNRs; by whole numbers."""
        slope = round(self.per_db * _SNR_STEP_DB * MARGIN_STEPS_PER_DB * _REACH_UNIT)
        above = (snr_code - snr_code_of(0.0)) * slope
        steps = round(self.at_0_db * MARGIN_STEPS_PER_DB) + above.div(_REACH_UNIT, rounding_mode="floor")
        return steps.clamp(0, MAX_MARGIN_DB * MARGIN_STEPS_PER_DB)


def told_noise_power(snr_code: Tensor) -> Tensor:
    """Return the noise power float32 that a told SNR stands for."""
    power: Tensor = torch.pow(10.0, -(MIN_SNR_DB + snr_code.double() * _SNR_STEP_DB) / 10).float()
    return power


def capacity_bits_per_symbol(snr_db: float) -> float:
    """Return the AWGN capacity `1/2 log2(1 + snr)` in bits per real symbol.

    Computed with `a = ln(snr)` as `ln(1 + e^a) = max(a, 0) + ln(1 + e^-|a|)`, which overflows at no SNR and does not
    lose the small ones beside 1. No signal at all, -inf dB, carries nothing.

    Source: C. E. Shannon, "Communication in the presence of noise", 1949.
    """
    log_snr = snr_db / 10.0 * math.log(10.0)
    return (max(log_snr, 0.0) + math.log1p(math.exp(-abs(log_snr)))) / math.log(4.0)


def bandwidth_ratio(channel_uses: int, height_px: int, width_px: int) -> float:
    """Return rho = k / (3 H W), real channel uses per source sample."""
    return channel_uses / (3 * height_px * width_px)


def normalise_power(z: Tensor) -> tuple[Tensor, Tensor]:
    """Scale every image's symbols to mean power 1.

    Args:
        z: [B, k] the symbols really sent, no masked zeros among them.

    Returns:
        s [B, k] with mean(s^2) = 1 per image, and the scale [B, 1] with z = scale * s. An all-zero row stays zero.
    """
    scale = z.square().mean(dim=1, keepdim=True).clamp_min(_POWER_FLOOR).sqrt()
    return z / scale, scale


def noise_generator(seed: int) -> torch.Generator:
    """Return the CPU generator of one noise realisation, seeded with all 63 bits.

    `manual_seed` of torch's CPU generator keeps only the low 32 bits of a seed, so among 77 000 transmissions two would
    probably meet the same noise. Here the whole state of the Mersenne twister comes from numpy's SeedSequence.

    Args:
        seed: 0..2^63 - 1, such as from derive_seed.
    """
    generator = torch.Generator()
    state = generator.get_state()
    words = np.random.SeedSequence(seed).generate_state(_TWISTER_WORDS, np.uint32).astype("<u8")
    state[_TWISTER_OFFSET_BYTES : _TWISTER_OFFSET_BYTES + words.nbytes] = torch.from_numpy(words.view(np.uint8))
    generator.set_state(state)
    return generator


def reflect_index(size_px: int, multiple_px: int) -> Tensor:
    """Return the [padded] int64 source index of every row (or column) of a reflect-padded image.

    Reflects as often as it takes, so that a side of one pixel can be padded too.
    """
    missing = -size_px % multiple_px
    return torch.from_numpy(np.pad(np.arange(size_px), (0, missing), mode="reflect"))


def pad_to_multiple(x: Tensor, multiple_px: int) -> Tensor:
    """Reflect-pad [B, 3, H, W] at the bottom and the right until both sides are multiples of multiple_px."""
    height_px, width_px = x.shape[-2:]
    if height_px % multiple_px:
        x = x.index_select(-2, reflect_index(height_px, multiple_px).to(x.device))
    if width_px % multiple_px:
        x = x.index_select(-1, reflect_index(width_px, multiple_px).to(x.device))
    return x


def padded_size(height_px: int, width_px: int, multiple_px: int) -> tuple[int, int]:
    """Return (rows, columns) of the padded image in units of multiple_px."""
    return -(-height_px // multiple_px), -(-width_px // multiple_px)


def check_received(y: Tensor, side: Side, layout: Layout) -> None:
    """Check that symbols and side information are what an image of this size is sent as.

    Raises:
        ValueError: a number differs; names the field and both numbers.
    """
    check_symbols(y, layout.slots, (side.height_px, side.width_px))
    told = (side.codes.shape[1], side.code_bits if side.codes.shape[1] else layout.code_bits)
    if told != (layout.code_count, layout.code_bits):
        expected = f"{layout.code_count} of {layout.code_bits} bits"
        size = f"a {side.width_px}x{side.height_px} px image"
        raise ValueError(f"side.codes: {told[0]} of {told[1]} bits, expected {expected} for {size}")


def check_symbols(y: Tensor, expected: int, size_px: tuple[int, int]) -> None:
    """Check the number of symbols [B, k] of an image of this height and width.

    Raises:
        ValueError: it is not the expected one; names both.
    """
    if y.shape[1] != expected:
        size = f"a {size_px[1]}x{size_px[0]} px image"
        raise ValueError(f"symbols: {y.shape[1]} symbols, expected {expected} for {size}")


def crop(x: Tensor, side: Side) -> Tensor:
    """Undo pad_to_multiple: keep the image's true size."""
    return x[..., : side.height_px, : side.width_px]


def quantise_log2(value: Tensor, low: float, high: float, bits: int) -> Tensor:
    """Quantise log2(value) uniformly on [low, high]; whole-number codes with a straight-through gradient.

    Args:
        value: positive, any shape.
        low: log2 of the smallest value that can be told.
        high: log2 of the largest.
        bits: width of a code.
    """
    top = 2**bits - 1
    code: Tensor = ((value.log2() - low) / (high - low) * top).clamp(0, top)
    return code + (code.round() - code).detach()


def dequantise_log2(code: Tensor, low: float, high: float, bits: int) -> Tensor:
    """Invert quantise_log2 up to half a step of (high - low) / (2^bits - 1) octaves."""
    value: Tensor = torch.exp2(low + code * (high - low) / (2**bits - 1))
    return value
