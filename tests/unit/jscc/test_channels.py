"""The channels against theory. Seeds are fixed; the stated probabilities are those of a new seed's false alarm."""

import math

import pytest
import torch
from scipy import stats

from jscc.channels import Awgn, Noiseless
from jscc.channels.awgn import digest

SYMBOLS = 100_000
FALSE_ALARM = 1e-6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def awgn(*snr_db: float) -> Awgn:
    return Awgn(torch.tensor(snr_db, dtype=torch.float32))


@pytest.mark.parametrize("snr_db", [-30.0, -5.0, 0.0, 10.0, 20.0])
def test_the_noise_has_the_variance_of_theory(snr_db: float) -> None:
    """n^2 / variance sums to a chi-square of SYMBOLS degrees; two-sided, false alarm FALSE_ALARM."""
    channel = awgn(snr_db)
    s = torch.zeros(1, SYMBOLS)
    y, _ = channel.apply(s, channel.draw(s.shape, generator()))
    energy = float(y.double().square().sum()) / 10 ** (-snr_db / 10)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SYMBOLS)
    assert low < energy < high
    assert (high - low) / SYMBOLS < 0.05  # so a variance that is off by 5 % is noticed


def test_the_noise_is_normal_with_mean_zero_and_independent() -> None:
    """Mean and lag-1 correlation are N(0, 1/SYMBOLS): false alarm FALSE_ALARM each. Kolmogorov-Smirnov likewise."""
    n = awgn(0.0).draw(torch.Size([1, SYMBOLS]), generator())[0].double()
    bound = stats.norm.isf(FALSE_ALARM / 2) / math.sqrt(SYMBOLS)
    assert abs(float(n.mean())) < bound
    assert abs(float((n[1:] * n[:-1]).mean())) < bound
    assert stats.kstest(n.numpy(), "norm").pvalue > FALSE_ALARM


def test_every_image_of_a_batch_has_its_own_snr() -> None:
    """As above, for each of three rows."""
    snrs_db = (0.0, 10.0, 20.0)
    channel = awgn(*snrs_db)
    s = torch.ones(3, SYMBOLS)
    y, state = channel.apply(s, channel.draw(s.shape, generator()))
    torch.testing.assert_close(state.noise_power, torch.tensor([1.0, 0.1, 0.01]))
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SYMBOLS)
    for row, snr_db in enumerate(snrs_db):
        energy = float((y[row] - 1).double().square().sum()) / 10 ** (-snr_db / 10)
        assert low < energy < high


def test_apply_is_arithmetic_alone() -> None:
    """y = s + 10^(-snr/20) n, by hand: 6.0206 dB halves the noise, 20 dB divides it by ten."""
    s, realisation = torch.tensor([[1.0, -1.0], [0.5, 0.0]]), torch.tensor([[2.0, 4.0], [-10.0, 1.0]])
    y, state = awgn(20 * math.log10(2), 20.0).apply(s, realisation)
    torch.testing.assert_close(y, torch.tensor([[2.0, 1.0], [-0.5, 0.1]]))
    torch.testing.assert_close(state.noise_power, torch.tensor([0.25, 0.01]))


def test_gradients_pass_the_channel_unchanged() -> None:
    s = torch.zeros(1, 4, requires_grad=True)
    channel = awgn(3.0)
    y, _ = channel.apply(s, channel.draw(s.shape, generator()))
    (y * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    assert s.grad is not None
    assert s.grad.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_the_generator_decides_the_noise_and_nothing_else_does() -> None:
    shape = torch.Size([1, 1000])
    torch.manual_seed(1)
    first = awgn(0.0).draw(shape, generator(5))
    torch.manual_seed(2)
    again = awgn(17.0).draw(shape, generator(5))  # the same noise at another SNR: only its scale differs
    other = awgn(0.0).draw(shape, generator(6))
    assert torch.equal(first, again)
    assert digest(first) == digest(again)
    assert not torch.equal(first, other)
    assert digest(first) != digest(other)


def test_the_digest_sees_every_symbol() -> None:
    realisation = awgn(0.0).draw(torch.Size([1, 1000]), generator())
    before = digest(realisation)
    assert len(before) == 16
    assert int(before, 16) >= 0
    realisation[0, 999] = torch.nextafter(realisation[0, 999], torch.tensor(9.0))
    assert digest(realisation) != before
    assert digest(realisation[:, :-1]) != digest(realisation)


@pytest.mark.parametrize("snr_db", [-30.1, 60.1, math.nan, math.inf, -math.inf])
def test_an_snr_outside_the_range_is_refused(snr_db: float) -> None:
    with pytest.raises(ValueError, match=r"snr_db: .*-30\.\.60 dB"):
        awgn(0.0, snr_db)


def test_the_ends_of_the_range_are_inside() -> None:
    _, state = awgn(-30.0, 60.0).apply(torch.zeros(2, 1), torch.zeros(2, 1))
    torch.testing.assert_close(state.noise_power, torch.tensor([1000.0, 1e-6]), rtol=1e-5, atol=0)


def test_noiseless_is_the_identity() -> None:
    s = torch.randn(2, 7, generator=generator())
    draws = generator(3)
    before = draws.get_state()
    y, state = Noiseless().apply(s, Noiseless().draw(s.shape, draws))
    assert torch.equal(y, s)
    assert state.noise_power.tolist() == [0.0, 0.0]
    assert torch.equal(draws.get_state(), before)
