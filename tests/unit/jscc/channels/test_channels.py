"""The channels against theory. Seeds are fixed; the stated probabilities are those of a new seed's false alarm."""

import math

import pytest
import torch
from scipy import stats

from jscc import channels
from jscc.channels import Realisation, UnknownChannelError
from jscc.channels._amplifier import amplified
from jscc.channels.awgn import Awgn
from jscc.channels.noiseless import Noiseless
from jscc.draws import Draws
from jscc.signals import ChannelState

SYMBOLS = 100_000
FALSE_ALARM = 1e-6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Draws:
    return Draws(generator(seed))


def awgn(*snr_db: float) -> Awgn:
    return Awgn(torch.tensor(snr_db, dtype=torch.float32))


@pytest.mark.parametrize("snr_db", [-30.0, -5.0, 0.0, 10.0, 20.0])
def test_the_noise_has_the_variance_of_theory(snr_db: float) -> None:
    """n^2 / variance sums to a chi-square of SYMBOLS degrees; two-sided, false alarm FALSE_ALARM."""
    channel = awgn(snr_db)
    s = torch.zeros(1, SYMBOLS)
    y, _ = channel.apply(s, channel.draw(s.shape, draws()))
    energy = float(y.double().square().sum()) / 10 ** (-snr_db / 10)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SYMBOLS)
    assert low < energy < high
    assert (high - low) / SYMBOLS < 0.05  # so a variance that is off by 5 % is noticed


def test_the_noise_is_normal_with_mean_zero_and_independent() -> None:
    """Mean and lag-1 correlation are N(0, 1/SYMBOLS): false alarm FALSE_ALARM each. Kolmogorov-Smirnov likewise."""
    n = awgn(0.0).draw(torch.Size([1, SYMBOLS]), draws()).noise[0].double()
    bound = stats.norm.isf(FALSE_ALARM / 2) / math.sqrt(SYMBOLS)
    assert abs(float(n.mean())) < bound
    assert abs(float((n[1:] * n[:-1]).mean())) < bound
    assert stats.kstest(n.numpy(), "norm").pvalue > FALSE_ALARM


def test_every_image_of_a_batch_has_its_own_snr() -> None:
    """As above, for each of three rows."""
    snrs_db = (0.0, 10.0, 20.0)
    channel = awgn(*snrs_db)
    s = torch.ones(3, SYMBOLS)
    y, truth = channel.apply(s, channel.draw(s.shape, draws()))
    torch.testing.assert_close(truth.noise_power, torch.tensor([1.0, 0.1, 0.01]))
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SYMBOLS)
    for row, snr_db in enumerate(snrs_db):
        energy = float((y[row] - 1).double().square().sum()) / 10 ** (-snr_db / 10)
        assert low < energy < high


def test_apply_is_arithmetic_alone() -> None:
    """y = s + 10^(-snr/20) n, by hand: 6.0206 dB halves the noise, 20 dB divides it by ten."""
    s, realisation = torch.tensor([[1.0, -1.0], [0.5, 0.0]]), Realisation(torch.tensor([[2.0, 4.0], [-10.0, 1.0]]))
    y, truth = awgn(20 * math.log10(2), 20.0).apply(s, realisation)
    torch.testing.assert_close(y, torch.tensor([[2.0, 1.0], [-0.5, 0.1]]))
    torch.testing.assert_close(truth.noise_power, torch.tensor([0.25, 0.01]))


def test_gradients_pass_the_channel_unchanged() -> None:
    s = torch.zeros(1, 4, requires_grad=True)
    channel = awgn(3.0)
    y, _ = channel.apply(s, channel.draw(s.shape, draws()))
    (y * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    assert s.grad is not None
    assert s.grad.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_the_generator_decides_the_noise_and_nothing_else_does() -> None:
    shape = torch.Size([1, 1000])
    torch.manual_seed(1)
    first = awgn(0.0).draw(shape, draws(5))
    torch.manual_seed(2)
    again = awgn(17.0).draw(shape, draws(5))  # the same noise at another SNR: only its scale differs
    other = awgn(0.0).draw(shape, draws(6))
    assert torch.equal(first.noise, again.noise)
    assert first.digest == again.digest
    assert not torch.equal(first.noise, other.noise)
    assert first.digest != other.digest


def test_the_digest_sees_every_symbol_and_every_gain() -> None:
    noise = awgn(0.0).draw(torch.Size([1, 1000]), draws()).noise
    before = Realisation(noise).digest
    assert len(before) == 16
    assert int(before, 16) >= 0
    changed = noise.clone()
    changed[0, 999] = torch.nextafter(noise[0, 999], torch.tensor(9.0))
    assert Realisation(changed).digest != before
    assert Realisation(noise[:, :-1]).digest != before
    faded = [Realisation(noise, torch.tensor([[1 + 1j, gain]])).digest for gain in (1j, 1j, -1j)]
    assert faded[0] == faded[1]
    assert len({before, *faded}) == 3


@pytest.mark.parametrize("snr_db", [-30.1, 60.1, math.nan, math.inf, -math.inf])
def test_an_snr_outside_the_range_is_refused(snr_db: float) -> None:
    with pytest.raises(ValueError, match=r"snr_db: .*-30\.\.60 dB"):
        awgn(0.0, snr_db)


def test_the_ends_of_the_range_are_inside() -> None:
    _, truth = awgn(-30.0, 60.0).apply(torch.zeros(2, 1), Realisation(torch.zeros(2, 1)))
    torch.testing.assert_close(truth.noise_power, torch.tensor([1000.0, 1e-6]), rtol=1e-5, atol=0)


def test_noiseless_is_the_identity() -> None:
    s = torch.randn(2, 7, generator=generator())
    channel = Noiseless(torch.zeros(2))
    y, truth = channel.apply(s, channel.draw(s.shape, draws(3)))
    assert torch.equal(y, s)
    assert truth.noise_power.tolist() == [0.0, 0.0]


def test_a_channel_is_made_by_its_name_and_unknown_names_and_options_are_refused() -> None:
    made = channels.make("awgn", torch.tensor([10.0]), {})
    assert made == Awgn(torch.tensor([10.0]))
    with pytest.raises(UnknownChannelError, match=rf"unknown channel 'ether' \(known: {', '.join(channels.names())}"):
        channels.make("ether", torch.tensor([10.0]), {})
    with pytest.raises(ValueError, match=r"channel awgn: unknown key 'colour'"):
        channels.make("awgn", torch.tensor([10.0]), {"colour": "pink"})


def test_noise_power_of_symbols_and_the_snr_that_networks_are_conditioned_on() -> None:
    """Symbols of 0 and 10 dB leave 1/2 and 1/11 of their power, 13/44 in the mean, as two of 3.774 dB, 31/13, do."""
    one = ChannelState(torch.tensor([0.1, 1.0]))
    assert one.of_symbol(3).tolist() == [[pytest.approx(0.1)] * 3, [1.0] * 3]
    torch.testing.assert_close(one.snr_db, torch.tensor([10.0, 0.0]))
    each = ChannelState(torch.tensor([[1.0, 0.1], [0.0, 0.0]]))
    assert torch.equal(each.of_symbol(2), each.noise_power)
    torch.testing.assert_close(each.snr_db, torch.tensor([10 * math.log10(31 / 13), 40.0]))


def test_awgn_does_not_read_other_devices() -> None:
    Awgn(torch.empty(3, device="meta"))  # whose values cannot be read at all
    with pytest.raises(ValueError, match=r"outside -30\.\.60 dB"):
        Awgn(torch.tensor([100.0]))


@pytest.mark.parametrize("papr_db", [0.5, 3.0, 6.0, 10.0])
def test_an_amplifier_leaves_of_gaussian_symbols_what_theory_says(papr_db: float) -> None:
    """Of N(0, 1) clipped at c, P = 1 - 2 Q(c) - 2 c phi(c) + 2 c^2 Q(c) is left of the power, and the part that is
    proportional to what was sent is E[s clip(s)] = 1 - 2 Q(c) (Bussgang); both over sqrt(P) for the power to be 1.
    """
    c = 10 ** (papr_db / 20)
    tail, density = stats.norm.sf(c), stats.norm.pdf(c)
    left = 1 - 2 * tail - 2 * c * density + 2 * c**2 * tail
    s = torch.randn(1, 1_000_000, generator=generator(), dtype=torch.float64)
    sent = amplified(s, papr_db)
    assert float(sent.square().mean()) == pytest.approx(float(s.square().mean()), rel=1e-9)
    assert float((s * sent).mean()) == pytest.approx((1 - 2 * tail) / math.sqrt(left), rel=0.01)
    assert float(sent.abs().max()) == pytest.approx(c / math.sqrt(left), rel=0.01)


def test_what_peaks_less_than_the_limit_is_left_as_it_is_and_zeros_stay() -> None:
    s = torch.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    sent = amplified(s, 3.0)
    assert torch.equal(sent[:2], s[:2])
    # One of four: its amplitude is 6 dB above the root mean square; it is clipped, and amplified back to its power.
    torch.testing.assert_close(sent[2], s[2])
    assert amplified(s, 0.0) is s


def test_a_limit_of_peaks_changes_what_is_sent_and_not_the_noise() -> None:
    options = channels.load("awgn").options_type(papr_db=3.0)
    s = torch.randn(2, 4096, generator=generator())
    limited, free = (channels.load("awgn").make(torch.tensor([5.0, 10.0]), given) for given in (options, None))
    drawn = limited.draw(s.shape, draws(1))
    assert drawn.digest == free.draw(s.shape, draws(1)).digest
    y, truth = limited.apply(s, drawn)
    expected, plain = free.apply(amplified(s, 3.0), drawn)
    torch.testing.assert_close(y, expected)
    assert torch.equal(truth.noise_power, plain.noise_power)
    assert not torch.allclose(amplified(s, 3.0), s)


@pytest.mark.parametrize("papr_db", [-1.0, 60.5, math.nan])
def test_a_limit_out_of_its_range_is_refused(papr_db: float) -> None:
    with pytest.raises(ValueError, match=r"^channel awgn: papr_db must be in 0\.\.60, 0 for no limit, got "):
        channels.make("awgn", torch.tensor([5.0]), {"papr_db": papr_db})
