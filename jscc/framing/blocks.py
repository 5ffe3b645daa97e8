"""Bytes that cross the air whole or not at all: checksum, long code, amplitude modulation, energy as the SNR demands.

Both ends derive everything from three whole numbers: how many bytes, the SNR that the transmitter is told, and by how
much the channel may be worse. Low SNRs take the lowest rate, whose energy per bit is least, and higher ones denser
modulations, whose channel uses are fewest. The energy is what the code needs, no more: the rest is the picture's.
"""

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from jscc import signals
from jscc.framing import ldpc, pam
from jscc.framing.base_graph import INFO_COLUMNS, LIFTING_SIZES

CHECK_BYTES = 4
_LARGEST = INFO_COLUMNS * LIFTING_SIZES[-1]


@dataclass(frozen=True)
class Scheme:
    """A modulation and a code rate.

    Attributes:
        bits_per_symbol: 1..3 coded bits, 2..8 amplitudes.
        rows: of the base graph.
        energy_db: that an information bit needs over the noise power, for one lost block in 10,000 of 3840 bits.
        least_snr_db: told SNR from which it is used.
    """

    bits_per_symbol: int
    rows: int
    energy_db: float
    least_snr_db: float


SCHEMES = (
    Scheme(1, 42, 3.0, -math.inf),
    Scheme(1, 22, 3.4, -0.75),
    Scheme(1, 12, 4.1, 2.5),
    Scheme(2, 22, 5.2, 4.0),
    Scheme(2, 12, 6.3, 6.0),
    Scheme(2, 7, 7.7, 9.0),
    Scheme(3, 12, 8.7, 11.5),
    Scheme(3, 7, 11.0, 14.5),
)
_SHORT_DB = (3.4, 2.5, 1.5, 1.2, 0.6, 0.3, 0.0)
"""What a block of each lifting size needs more."""


_SCHEME_BELOW_DB = {"none": 0.0, "fast": 3.0, "block": 8.0}
"""By `Grid.fading`: which scheme is best where the channel fades is the one for an SNR so much below the mean."""


class Target(NamedTuple):
    """The channel that bytes are made for, [B] each; `snr_code` and `margin_code` as `cost` takes them."""

    snr_code: Tensor
    margin_code: Tensor


def target(snr_code: Tensor, margin_code: Tensor, fading: str, reach: signals.Reach) -> Target:
    """Return the channel that bytes are made for which stand one that is worse than told by a reach and a margin."""
    below_db = _SCHEME_BELOW_DB[fading]
    more = reach.steps(snr_code) - round(below_db * signals.MARGIN_STEPS_PER_DB)
    return Target(signals.snr_code_below(snr_code, below_db), margin_code + more)


class Cost(NamedTuple):
    """What bytes cost, image by image.

    Attributes:
        uses: int64 [B] channel uses.
        energy: float64 [B], of all of them together, where the signal's mean power is 1.
    """

    uses: Tensor
    energy: Tensor


class _Split(NamedTuple):
    """How bytes are divided: [B] each; `kept` are the bits of a block that are not known beforehand."""

    scheme: Tensor
    blocks: Tensor
    kept: Tensor
    lifting: Tensor
    symbols: Tensor


def cost(size_bytes: Tensor, snr_code: Tensor, margin_code: Tensor) -> Cost:
    """Return what payloads cost.

    Args:
        size_bytes: int64 [B], without the checksum; 0 costs nothing.
        snr_code: int64 [B], see `signals.snr_code`.
        margin_code: int64 [B], quarters of a dB.
    """
    split = _split(size_bytes, snr_code)
    device, some = size_bytes.device, size_bytes > 0
    needed_db = _table(tuple(it.energy_db for it in SCHEMES), device)[split.scheme]
    needed_db = needed_db + _table(_SHORT_DB, device)[split.lifting] + margin_code / signals.MARGIN_STEPS_PER_DB
    bits = (split.blocks * split.kept).double()
    energy = bits * torch.pow(10.0, needed_db / 10) * signals.told_noise_power(snr_code).double()
    return Cost(split.blocks * split.symbols * some, energy * some)


def _split(size_bytes: Tensor, snr_code: Tensor) -> _Split:
    device = size_bytes.device
    edges = torch.tensor([signals.snr_code_of(it.least_snr_db) for it in SCHEMES[1:]], device=device)
    scheme = torch.bucketize(snr_code.contiguous(), edges, right=True)
    bits = 8 * (size_bytes + CHECK_BYTES)
    blocks = -(-bits // _LARGEST)
    kept = -(-bits // blocks)
    sizes = torch.tensor(LIFTING_SIZES, device=device)
    lifting = torch.bucketize(kept, INFO_COLUMNS * sizes)
    rows = torch.tensor([it.rows for it in SCHEMES], device=device)[scheme]
    per_symbol = torch.tensor([it.bits_per_symbol for it in SCHEMES], device=device)[scheme]
    sent = (rows - 2) * sizes[lifting] + kept
    return _Split(scheme, blocks, kept, lifting, -(-sent // per_symbol))


def send(payload: bytes, snr_code: int, energy: float) -> Tensor:
    """Return the symbols float32 [uses] of a payload, of about this energy together (see `cost`)."""
    return send_checked(payload + checksum(payload), snr_code, energy)


def checksum(payload: bytes) -> bytes:
    """Return the CRC-32 of a payload."""
    return zlib.crc32(payload).to_bytes(CHECK_BYTES, "little")


def send_checked(checked: bytes, snr_code: int, energy: float) -> Tensor:
    """Return the symbols of a payload that ends with its checksum, right or wrong.

    Bits are scrambled, so that a payload of zeros has all amplitudes too, and the scale is that of their mean power,
    which a receiver knows: their own may be some percent off in a short block, which is what the energy is then.
    """
    shape = _Shape.of(len(checked) - CHECK_BYTES, snr_code)
    bits = torch.from_numpy(_scrambling(shape.blocks * shape.kept))
    bits[: 8 * len(checked)] ^= torch.from_numpy(np.unpackbits(np.frombuffer(checked, np.uint8)).astype(bool))
    blocks = F.pad(bits.view(shape.blocks, -1), (0, shape.code.info_bits - shape.kept))
    coded = ldpc.encode(shape.code, blocks)[:, shape.sent]
    symbols = pam.modulate(coded, shape.bits_per_symbol).flatten()
    return symbols * math.sqrt(energy / len(symbols))


def _scrambling(bits: int) -> NDArray[np.bool_]:
    """Return as many bits, always the same ones, without a pattern."""
    words: NDArray[np.uint64] = np.random.PCG64(0).random_raw(-(-bits // 64))
    return np.unpackbits(words.astype("<u8").view(np.uint8))[:bits].astype(bool)


def receive(size_bytes: int, snr_code: int, energy: float, y: Tensor, noise_power: Tensor) -> bytes | None:
    """Return the payload, or None if its checksum fails.

    Args:
        size_bytes: of the payload.
        snr_code: that the transmitter was told.
        energy: with which it was sent.
        y: float32 [uses] received symbols.
        noise_power: [uses] of each.
    """
    shape = _Shape.of(size_bytes, snr_code)
    power = energy / len(y)
    symbols, noise = (y / math.sqrt(power)).view(shape.blocks, -1), (noise_power / power).view(shape.blocks, -1)
    ratios = pam.log_ratios(symbols, shape.bits_per_symbol, noise)[:, : len(shape.sent)]
    placed = ratios.new_zeros(shape.blocks, shape.code.sent_bits)
    placed[:, shape.sent] = ratios
    known = torch.arange(shape.code.info_bits, device=y.device) >= shape.kept
    bits = ldpc.decode(shape.code, placed, known)[:, : shape.kept].flatten()
    told = bits.cpu().numpy() ^ _scrambling(len(bits))
    raw = np.packbits(told).tobytes()[: size_bytes + CHECK_BYTES]
    payload, check = raw[:size_bytes], raw[size_bytes:]
    return payload if checksum(payload) == check else None


class _Shape(NamedTuple):
    """The division of one payload; `sent` are the places of the coded bits that are sent."""

    blocks: int
    kept: int
    code: ldpc.Code
    bits_per_symbol: int
    sent: Tensor

    @staticmethod
    @lru_cache(maxsize=64)
    def of(size_bytes: int, snr_code: int) -> "_Shape":
        split = _split(torch.tensor([size_bytes]), torch.tensor([snr_code]))
        scheme, blocks, kept, lifting, _ = (int(part) for part in split)
        code = ldpc.Code(LIFTING_SIZES[lifting], SCHEMES[scheme].rows)
        place = torch.arange(code.sent_bits) + 2 * code.lifting
        sent = ((place < kept) | (place >= code.info_bits)).nonzero().flatten()
        return _Shape(blocks, kept, code, SCHEMES[scheme].bits_per_symbol, sent)


def _table(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
