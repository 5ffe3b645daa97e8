"""Bytes that arrive whole or not at all."""

import math

import pytest
import torch

from jscc import signals
from jscc.framing import blocks, pam

SNRS_DB = (-30.0, -5.0, 2.0, 4.0, 8.0, 12.0, 20.0, 60.0)


def codes(snr_db: float, size_bytes: int, margin_code: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor([size_bytes]), signals.snr_code(torch.tensor([snr_db])), torch.tensor([margin_code])


def payload_of(size_bytes: int) -> bytes:
    return (
        torch.randint(256, (size_bytes,), generator=torch.Generator().manual_seed(size_bytes)).byte().numpy().tobytes()
    )


def cross(payload: bytes, snr_db: float, lacks_db: float = 0.0, margin_code: int = 0) -> bytes | None:
    """Send bytes for the SNR that is told through a channel that lacks some of it."""
    size, snr_code, margin = codes(snr_db, len(payload), margin_code)
    uses, energy = (part.item() for part in blocks.cost(size, snr_code, margin))
    s = blocks.send(payload, int(snr_code), energy)
    assert len(s) == uses
    noise_power = float(signals.told_noise_power(snr_code)) * 10 ** (lacks_db / 10)
    y = s + noise_power**0.5 * torch.randn(len(s), generator=torch.Generator().manual_seed(len(payload)))
    return blocks.receive(len(payload), int(snr_code), energy, y, torch.full_like(y, noise_power))


@pytest.mark.parametrize("snr_db", SNRS_DB)
@pytest.mark.parametrize("size_bytes", [1, 37, 431, 476, 477, 3000])
def test_they_arrive_at_the_told_snr(snr_db: float, size_bytes: int) -> None:
    """One in 10,000 does not; 476 bytes and the checksum fill one block."""
    assert cross(payload_of(size_bytes), snr_db) == payload_of(size_bytes)


@pytest.mark.parametrize("snr_db", [-5.0, 4.0, 8.0, 12.0, 20.0])
def test_what_lacks_two_decibels_is_lost_and_a_margin_keeps_it(snr_db: float) -> None:
    payload = payload_of(470)
    assert cross(payload, snr_db, lacks_db=2.0) is None
    assert cross(payload, snr_db, lacks_db=2.0, margin_code=2 * signals.MARGIN_STEPS_PER_DB) == payload


@pytest.mark.parametrize("size_bytes", [1, 60, 1000])
def test_the_energy_is_what_was_agreed_and_a_margin_costs_its_decibels(size_bytes: int) -> None:
    size, snr_code, none = codes(3.0, size_bytes)
    cost = blocks.cost(size, snr_code, none)
    s = blocks.send(payload_of(size_bytes), int(snr_code), float(cost.energy))
    assert float(s.square().sum()) == pytest.approx(float(cost.energy), rel=1e-4)
    wider = blocks.cost(size, snr_code, none + 10 * signals.MARGIN_STEPS_PER_DB)
    assert wider.uses == cost.uses
    assert float(wider.energy) == pytest.approx(10 * float(cost.energy))


def test_no_scheme_costs_less_energy_than_capacity_demands() -> None:
    """A bit over s uses takes at least (4^(1/s) - 1) s of the noise power; real codes 0.9 to 3 dB more."""
    for scheme in blocks.SCHEMES:
        efficiency = scheme.bits_per_symbol * 10 / (8 + scheme.rows)
        bound_db = 10 * math.log10((4**efficiency - 1) / efficiency)
        assert 0.8 < scheme.energy_db - bound_db < 3


def test_nothing_costs_nothing() -> None:
    cost = blocks.cost(*codes(5.0, 0))
    assert (int(cost.uses), float(cost.energy)) == (0, 0)


def test_flipping_any_bit_loses_the_bytes() -> None:
    """Each bit of payload and checksum, in a word of which nothing else is wrong: never other bytes than were sent."""
    payload = payload_of(5)
    size, snr_code, none = codes(30.0, 5)
    energy = float(blocks.cost(size, snr_code, none).energy)
    whole = payload + blocks.checksum(payload)
    for bit in range(8 * len(whole)):
        wrong = bytearray(whole)
        wrong[bit // 8] ^= 1 << bit % 8
        s = blocks.send_checked(bytes(wrong), int(snr_code), energy)
        assert blocks.receive(5, int(snr_code), energy, s, torch.full_like(s, 1e-3)) is None


@pytest.mark.parametrize("per_symbol", [1, 2, 3])
def test_amplitudes_are_gray_and_of_unit_power(per_symbol: int) -> None:
    count = 2**per_symbol
    labels = torch.arange(count)
    bits = (labels[:, None] >> torch.arange(per_symbol - 1, -1, -1) & 1).bool()
    amplitudes = pam.modulate(bits, per_symbol)[:, 0]
    assert float(amplitudes.square().mean()) == pytest.approx(1)
    order = amplitudes.argsort()
    changed = (bits[order][1:] != bits[order][:-1]).sum(1)
    assert changed.tolist() == [1] * (count - 1)
    steps = amplitudes[order].diff()
    torch.testing.assert_close(steps, steps[:1].expand(count - 1))


@pytest.mark.parametrize("per_symbol", [1, 2, 3])
def test_log_ratios_are_those_of_bayes(per_symbol: int) -> None:
    """Against a sum over all amplitudes, written out."""
    labels = torch.arange(2**per_symbol)
    bits = (labels[:, None] >> torch.arange(per_symbol - 1, -1, -1) & 1).bool()
    points, noise_power = pam.modulate(bits, per_symbol)[:, 0].double(), 0.3
    y = torch.tensor([[-1.4, 0.05, 0.8]])
    ratios = pam.log_ratios(y, per_symbol, torch.full_like(y, noise_power)).view(per_symbol, 3)
    likelihood = torch.exp(-((y[0, :, None].double() - points) ** 2) / (2 * noise_power))
    for bit in range(per_symbol):
        zero, one = (likelihood[:, bits[:, bit] == value].sum(1) for value in (False, True))
        torch.testing.assert_close(ratios[bit].double(), (zero / one).log(), atol=1e-4, rtol=1e-4)
