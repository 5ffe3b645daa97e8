"""A word of the header: 48 bits and their checksum, in one short code whose energy is all that it needs.

A receiver knows neither the SNR that the transmitter was told nor the power of the word; it takes the power from what
arrives, and the checksum says whether that went well.

Source: the checksum is CRC-16-CCITT.
"""

import math
from binascii import crc_hqx

import torch
from torch import Tensor

from jscc.framing import convolutional

INFO_BITS = 48
USES = convolutional.CHIPS
NEEDED_ENERGY_DB = 25.4
"""Over the noise power: one word in 10,000 is lost."""
_INFO_BYTES = INFO_BITS // 8
_START = 0xFFFF
"""So that silence is no word."""


def energy(noise_power: Tensor, margin_db: Tensor, uses: int) -> Tensor:
    """Return the energy float64 [B] of a word over `uses` channel uses: what it needs, and at least 1 a use."""
    needed = torch.pow(10.0, (NEEDED_ENERGY_DB + margin_db.double()) / 10) * noise_power.double()
    return needed.clamp_min(uses)


def send(value: int, uses: int, energy: float) -> Tensor:
    """Return the symbols float32 [uses] of a value in 0..2^48 - 1; uses are a multiple of USES."""
    info = value.to_bytes(_INFO_BYTES, "little")
    word = int.from_bytes(info + crc_hqx(info, _START).to_bytes(2, "little"), "little")
    signs = torch.tensor([1.0 - 2 * (word >> bit & 1) for bit in range(convolutional.BITS)])
    chips: Tensor = convolutional.encode(signs).repeat(uses // USES) * math.sqrt(energy / uses)
    return chips


def receive(y: Tensor, noise_power: Tensor) -> int | None:
    """Return the value that symbols [uses] in noise of power [uses] tell; None if the checksum fails."""
    noise_power = noise_power.double().clamp_min(1e-9)
    weight = 1 / noise_power
    power = ((y.double().square() - noise_power) * weight.square()).sum() / weight.square().sum()
    floor = 0.1 / weight.sum()
    evidence = y * power.clamp_min(floor).sqrt() * weight
    signs = convolutional.decode(evidence.float().view(-1, USES).sum(0))
    word = sum(int(sign < 0) << bit for bit, sign in enumerate(signs.tolist()))
    raw = word.to_bytes(_INFO_BYTES + 2, "little")
    info, check = raw[:_INFO_BYTES], int.from_bytes(raw[_INFO_BYTES:], "little")
    return int.from_bytes(info, "little") if crc_hqx(info, _START) == check else None
