"""A real code on real symbols: bytes to the symbols of a frame and back, with the parts of 5G NR.

The bytes are cut into blocks of one length. A block gets a checksum (CRC24A), is coded by the LDPC code of 5G NR (TS
38.212, with its rate matching and interleaver) and mapped to amplitudes with Gray labels, so that each pair of real
symbols is one QAM symbol. The receiver computes log-likelihood ratios, decodes by belief propagation and trusts the
checksums: one block that fails loses the frame. Code, checksum and modulation are those of the library Sionna, imported
where they are first needed: it takes seconds. Its decoder works on any matrix, one bit and one check at a time; the
circulants of this code are decoded row by row by `jscc.framing.ldpc`, in a tenth of the time.

Source: 3GPP TS 38.212 and 38.211; J. Hoydis et al., "Sionna: An Open-Source Library for Next-Generation Physical Layer
Research", 2022.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jscc.baselines.mcs import Mcs
from jscc.framing import ldpc

CRC_BITS = 24
LENGTH_BYTES = 3
"""A frame starts with the number of bytes that it carries."""

_INFO_BITS = (3824, 8448)  # the longest blocks of base graphs 2 and 1; the first is for rates of up to 1/3
_LOWEST_RATE = 1 / 5  # of the code; below, coded bits are repeated
_GROUP_BLOCKS = 8  # decoded at once: larger tensors leave the cache, and take twice as long per block
_ITERATIONS = 25  # of belief propagation, at most
_PUNCTURED = 2  # circulants, the first, that are never sent
_CORE_ROWS = 4  # of a base graph; each further one checks a column of its own
_NOISE_FLOOR = 1e-4  # keeps log-likelihood ratios finite without noise


@dataclass(frozen=True)
class Division:
    """How the symbols of one image are divided into blocks.

    Attributes:
        mcs: modulation and code rate.
        symbols: real symbols of the frame; those beyond the last block carry nothing.
        blocks: number of blocks, 1 or more.
        block_symbols: real symbols of a block.
        info_bits: bits of a block before coding, checksum included.
    """

    mcs: Mcs
    symbols: int
    blocks: int
    block_symbols: int
    info_bits: int

    @property
    def sent_bits(self) -> int:
        """Bits that the symbols of a block carry."""
        return self.block_symbols * self.mcs.bits_per_symbol

    @property
    def code_bits(self) -> int:
        """Different bits among them; the others repeat the first ones."""
        return min(self.sent_bits, math.floor(self.info_bits / _LOWEST_RATE))

    @property
    def capacity_bytes(self) -> int:
        """Bytes that can be sent; 0 or less if the frame is too short for anything."""
        return self.blocks * (self.info_bits - CRC_BITS) // 8 - LENGTH_BYTES


def divide(mcs: Mcs, symbols: int) -> Division:
    """Divide real symbols into as few equal blocks as the code allows."""
    longest = _INFO_BITS[mcs.code_rate > 1 / 3]
    blocks = max(1, math.ceil(symbols * mcs.efficiency / longest))
    block_symbols = symbols // blocks
    return Division(mcs, symbols, blocks, block_symbols, math.floor(block_symbols * mcs.efficiency))


def require() -> None:
    """Check that Sionna and Pillow are installed, without importing them.

    Raises:
        ModuleNotFoundError: one is not; says how to install it.
    """
    for module, name in (("sionna", "Sionna"), ("PIL", "Pillow")):
        if importlib.util.find_spec(module) is None:
            hint = "pip install 'jscc-link[digital]'"
            raise ModuleNotFoundError(f"digital transmission needs {name}: {hint}", name=module)


def filler(symbols: int, bits_per_symbol: int) -> Tensor:
    """Return pseudo-random symbols [n], always the same ones, of mean power about 1."""
    return modulate(_random_bits(symbols * bits_per_symbol), bits_per_symbol)


def send(division: Division, payload: bytes) -> Tensor:
    """Return the symbols [n] of a frame, of mean power about 1. What is not needed is pseudo-random.

    Raises:
        ValueError: the payload is longer than the frame's capacity.
    """
    if len(payload) > division.capacity_bytes:
        raise ValueError(f"payload: {len(payload)} bytes, the frame carries {division.capacity_bytes}")
    head = len(payload).to_bytes(LENGTH_BYTES, "little")
    told = torch.from_numpy(np.unpackbits(np.frombuffer(head + payload, np.uint8)).astype(np.float32))
    bits = _random_bits(division.blocks * (division.info_bits - CRC_BITS))
    bits[: len(told)] = told
    s = send_blocks(division, bits.reshape(division.blocks, -1)).flatten()
    return torch.cat([s, filler(division.symbols - len(s), division.mcs.bits_per_symbol)])


def receive(division: Division, y: Tensor, noise_power: Tensor | float) -> bytes | None:
    """Return the payload of a frame, or None if a block failed.

    Args:
        division: as it was sent.
        y: [n] real symbols, the signal's power about 1.
        noise_power: variance of the noise, one for all symbols or [n] one for each.
    """
    if division.capacity_bytes < 0:
        return None
    noise_power = torch.as_tensor(noise_power).expand(len(y))
    y, noise_power = (
        part[: division.blocks * division.block_symbols].view(division.blocks, -1) for part in (y, noise_power)
    )
    decoded = []
    for group, noise in zip(torch.split(y, _GROUP_BLOCKS), torch.split(noise_power, _GROUP_BLOCKS), strict=True):
        bits, valid = receive_blocks(division, group, noise)
        if not valid.all():  # the others would be decoded for nothing
            return None
        decoded.append(bits)
    raw = np.packbits(torch.cat(decoded).flatten().numpy().astype(np.uint8)).tobytes()
    count = int.from_bytes(raw[:LENGTH_BYTES], "little")
    return raw[LENGTH_BYTES : LENGTH_BYTES + count] if count <= division.capacity_bytes else None


def send_blocks(division: Division, bits: Tensor) -> Tensor:
    """Return the symbols [B, n] of blocks of bits [B, info_bits - CRC_BITS], float of 0 and 1."""
    checked = _checksum(division.info_bits).encoder(bits)
    coded = _encoder(division.info_bits, division.code_bits, division.mcs.bits_per_symbol)(checked)
    return modulate(coded[:, torch.arange(division.sent_bits) % division.code_bits], division.mcs.bits_per_symbol)


def receive_blocks(division: Division, y: Tensor, noise_power: Tensor | float) -> tuple[Tensor, Tensor]:
    """Decode blocks of symbols.

    Args:
        division: as they were sent.
        y: [B, n] real symbols.
        noise_power: variance of the noise, one for all symbols or [B, n] one for each.

    Returns:
        Bits [B, info_bits - CRC_BITS], float of 0 and 1, and [B] bool, whether the checksum holds.
    """
    repeated = log_ratios(y, division.mcs.bits_per_symbol, noise_power)
    ratios = repeated[:, : division.code_bits].clone()
    for start in range(division.code_bits, division.sent_bits, division.code_bits):
        again = repeated[:, start : start + division.code_bits]
        ratios[:, : again.shape[1]] += again
    code = _code(division.info_bits, division.code_bits, division.mcs.bits_per_symbol)
    belief = ratios.new_zeros(code.bits, len(ratios))
    belief[code.known] = ldpc.SURE
    belief[code.sent] = -ratios.mT.clamp(-ldpc.SURE, ldpc.SURE)
    ldpc.settle(belief, code.rows, _ITERATIONS)
    bits, holds = _checksum(division.info_bits)((belief[: division.info_bits] < 0).mT.float())
    return bits, holds[:, 0]


def modulate(bits: Tensor, bits_per_symbol: int) -> Tensor:
    """Return the real symbols [..., n] of bits [..., n * bits_per_symbol], equally spaced and of mean power 1."""
    symbols: Tensor = _modulation(bits_per_symbol)[0](bits).real
    return symbols


def log_ratios(y: Tensor, bits_per_symbol: int, noise_power: Tensor | float) -> Tensor:
    """Return log(P(bit is 1) / P(bit is 0)) of real symbols in white noise.

    Args:
        y: [B, n] symbols.
        bits_per_symbol: of the modulation.
        noise_power: variance of the noise, one for all symbols or [B, n] one for each.

    Returns:
        [B, n * bits_per_symbol].
    """
    # Sionna's noise power is that of a complex symbol, of which only the real half counts here.
    noise = 2 * torch.as_tensor(noise_power, dtype=torch.float32).clamp_min(_NOISE_FLOOR)
    ratios: Tensor = _modulation(bits_per_symbol)[1](torch.complex(y, torch.zeros_like(y)), noise)
    return ratios


def _random_bits(count: int) -> Tensor:
    return torch.randint(2, (count,), generator=torch.Generator().manual_seed(0)).float()


# What Sionna builds is kept for the lengths in use: a few tenths of a second and some 10 MB for a decoder.


@lru_cache(maxsize=4)
def _modulation(bits_per_symbol: int) -> tuple[Any, Any]:
    from sionna.phy.mapping import Demapper, Mapper

    kind = {"constellation_type": "pam", "num_bits_per_symbol": bits_per_symbol, "device": "cpu"}
    return Mapper(**kind), Demapper("app", **kind)


@lru_cache(maxsize=8)
def _checksum(info_bits: int) -> Any:
    from sionna.phy.fec.crc import CRCDecoder, CRCEncoder

    return CRCDecoder(CRCEncoder("CRC24A", k=info_bits - CRC_BITS, device="cpu"), device="cpu")


@lru_cache(maxsize=8)
def _encoder(info_bits: int, code_bits: int, bits_per_symbol: int) -> Any:
    from sionna.phy.fec.ldpc import LDPC5GEncoder

    return LDPC5GEncoder(info_bits, code_bits, bits_per_symbol, device="cpu", check_input=False)


class _Code(NamedTuple):
    """The bits of a block, and what is known of them.

    Attributes:
        bits: how many there are, those that are not sent among them.
        sent: int64 [code_bits], the places of the coded bits in the order in which they are sent.
        known: the places of those that are 0 in any block.
        rows: as `ldpc.settle` takes them, without checks of bits that are not sent.
    """

    bits: int
    sent: Tensor
    known: slice
    rows: tuple[Tensor, ...]


@lru_cache(maxsize=8)
def _code(info_bits: int, code_bits: int, bits_per_symbol: int) -> _Code:
    encoder = _encoder(info_bits, code_bits, bits_per_symbol)
    lifting, matrix = encoder.z, encoder.pcm.tocsr().sorted_indices()
    coded = encoder.out_int.long() + _PUNCTURED * lifting
    sent = coded + encoder.k_filler * (coded >= info_bits)
    info_columns = (matrix.shape[1] - matrix.shape[0]) // lifting
    columns = math.ceil((int(sent.max()) + 1) / lifting)
    checks = max(columns - info_columns, _CORE_ROWS) * lifting
    rows = (matrix[first : first + lifting].indices.reshape(lifting, -1) for first in range(0, checks, lifting))
    return _Code(
        bits=info_columns * lifting + checks,
        sent=sent,
        known=slice(info_bits, info_bits + encoder.k_filler),
        rows=tuple(torch.from_numpy(row.T.astype(np.int64)) for row in rows),
    )
