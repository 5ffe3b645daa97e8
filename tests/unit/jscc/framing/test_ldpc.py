"""The long code against that of another implementation, and what is known of it."""

import pytest
import torch

from jscc.framing import ldpc
from jscc.framing.ldpc import Code


def random_bits(code: Code, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(2, (count, code.info_bits), generator=torch.Generator().manual_seed(seed)).bool()


def nothing_known(code: Code) -> torch.Tensor:
    return torch.zeros(code.info_bits, dtype=torch.bool)


@pytest.mark.slow
@pytest.mark.parametrize(("lifting", "rows"), [(384, 42), (384, 12), (384, 7), (192, 42), (96, 20)])
def test_codewords_are_those_of_5g(lifting: int, rows: int) -> None:
    """Sionna's encoder, whose tables and equations are its own reading of TS 38.212."""
    fec = pytest.importorskip("sionna.phy.fec.ldpc")
    code = Code(lifting, rows)
    bits = random_bits(code, 3)
    encoder = fec.LDPC5GEncoder(code.info_bits, code.sent_bits, bg="bg2", device="cpu")
    assert torch.equal(ldpc.encode(code, bits), encoder(bits.float()).bool())


@pytest.mark.parametrize("lifting", [6, 48, 384])
def test_the_code_is_linear(lifting: int) -> None:
    code = Code(lifting, 42)
    first, second = random_bits(code, 4), random_bits(code, 4, seed=1)
    assert torch.equal(ldpc.encode(code, first) ^ ldpc.encode(code, second), ldpc.encode(code, first ^ second))


@pytest.mark.parametrize("rows", [4, 12, 42])
def test_without_noise_the_bits_come_back(rows: int) -> None:
    """Those too that are never sent: the first two columns."""
    code = Code(24, rows)
    bits = random_bits(code, 5)
    ratios = 10.0 - 20.0 * ldpc.encode(code, bits).float()
    assert torch.equal(ldpc.decode(code, ratios, nothing_known(code)), bits)


def test_it_comes_within_a_decibel_of_capacity() -> None:
    """3840 bits at rate 1/5: capacity is at -4.95 dB of real noise; 48 blocks at -4.0 dB, of which none may fail.

    One in 10,000 fails there (`bench/code_thresholds.py`), so this fails once in 200 seeds; the seed is fixed.
    """
    code, noise_power = Code(384, 42), 10**0.4
    bits = random_bits(code, 48)
    sent = 1.0 - 2.0 * ldpc.encode(code, bits).float()
    y = sent + noise_power**0.5 * torch.randn(sent.shape, generator=torch.Generator().manual_seed(2))
    assert torch.equal(ldpc.decode(code, 2 * y / noise_power, nothing_known(code)), bits)


def test_known_bits_help() -> None:
    """At an SNR where blocks of unknown bits fail, those of which three quarters are known arrive."""
    code, noise_power = Code(48, 12), 10**0.2
    bits = random_bits(code, 20)
    known = torch.arange(code.info_bits) >= code.info_bits // 4
    sent = 1.0 - 2.0 * ldpc.encode(code, bits & ~known).float()
    y = sent + noise_power**0.5 * torch.randn(sent.shape, generator=torch.Generator().manual_seed(3))
    found = [ldpc.decode(code, 2 * y / noise_power, it) for it in (nothing_known(code), known)]
    wrong = [int((each != (bits & ~known)).any(1).sum()) for each in found]
    assert wrong[0] > 15
    assert wrong[1] == 0


def test_noise_alone_is_no_codeword_and_ends() -> None:
    code = Code(24, 20)
    noise = torch.randn(2, code.sent_bits, generator=torch.Generator().manual_seed(0))
    assert ldpc.decode(code, noise, nothing_known(code)).shape == (2, code.info_bits)


@pytest.mark.parametrize(("lifting", "rows"), [(5, 42), (384, 3), (384, 43)])
def test_other_sizes_are_refused(lifting: int, rows: int) -> None:
    with pytest.raises(ValueError, match=f"^code: lifting {lifting}, {rows} rows; expected one of 6, "):
        Code(lifting, rows)
