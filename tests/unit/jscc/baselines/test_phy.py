"""The digital link from bytes to bytes: modulation, code and the table of schemes, against theory."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from jscc.baselines import mcs, phy, waterfall
from jscc.baselines.waterfall import count_failures

SIXTEEN_QAM = next(
    index for index, scheme in enumerate(mcs.TABLE) if scheme.bits_per_symbol == 2 and scheme.rate_1024 > 480
)
"""Place of a 16QAM scheme of about rate 1/2."""


def random_bits(*shape: int) -> Tensor:
    return torch.randint(2, shape, generator=torch.Generator().manual_seed(3)).float()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_amplitudes_are_gray_labelled_and_of_power_one(bits: int) -> None:
    """2^bits equally spaced amplitudes: of power 1 if the spacing is 2 / sqrt((4^bits - 1) / 3)."""
    labels = torch.tensor([[number >> bit & 1 for bit in range(bits)] for number in range(2**bits)])
    amplitudes = phy.modulate(labels.float().flatten(), bits)
    assert float(amplitudes.square().mean()) == pytest.approx(1, abs=1e-6)
    order = amplitudes.argsort()
    spacing = 2 / math.sqrt((4**bits - 1) / 3)
    torch.testing.assert_close(amplitudes[order].diff(), torch.full((2**bits - 1,), spacing), atol=1e-5, rtol=0)
    assert (labels[order].diff(dim=0).abs().sum(dim=1) == 1).all()  # neighbours differ in one bit


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_sign_of_a_log_ratio_is_the_bit(bits: int) -> None:
    sent = random_bits(1, 240 * bits)
    ratios = phy.log_ratios(phy.modulate(sent, bits), bits, 0.0)
    assert torch.isfinite(ratios).all()
    assert torch.equal(ratios > 0, sent == 1)


def test_log_ratios_of_qpsk_are_two_y_over_noise() -> None:
    """P(1) / P(0) = exp((a1 - a0) y / noise) with amplitudes of +-1."""
    y, noise_power = torch.tensor([[0.3, -1.2, 2.0]]), 0.4
    one = float(phy.modulate(torch.ones(1), 1))
    torch.testing.assert_close(phy.log_ratios(y, 1, noise_power), one * 2 * y / noise_power)
    each = torch.tensor([[0.4, 0.1, 2.0]])
    torch.testing.assert_close(phy.log_ratios(y, 1, each), one * 2 * y / each)


def q(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2))


@pytest.mark.parametrize(("bits", "snr_db"), [(1, 4.0), (2, 10.0)])
def test_uncoded_bits_are_lost_as_often_as_theory_says(bits: int, snr_db: float) -> None:
    """Five standard deviations: a false alarm in one of 1.7 million.

    QPSK: Q(1/sigma). 16QAM with amplitudes +-d, +-3d, d = 1/sqrt(5): the sign is lost with (Q(d) + Q(3d)) / 2, the
    distance from zero with (2 Q(d) + Q(3d) - Q(5d)) / 2, each divided by sigma; the mean of both.
    Source: J. Proakis, "Digital Communications", section 4.3.
    """
    count, sigma = 400_000, 10 ** (-snr_db / 20)
    d = 1 / math.sqrt(5) / sigma
    expected = q(1 / sigma) if bits == 1 else (3 * q(d) + 2 * q(3 * d) - q(5 * d)) / 4
    sent = random_bits(1, count)
    s = phy.modulate(sent, bits)
    y = s + sigma * torch.randn(s.shape, generator=torch.Generator().manual_seed(4))
    # The two bits of an amplitude are lost together less often than not, so that no variance is above binomial * 2.
    lost = float(((phy.log_ratios(y, bits, sigma**2) > 0) != (sent == 1)).float().mean())
    assert lost == pytest.approx(expected, abs=5 * math.sqrt(bits * expected / count))


def test_no_scheme_promises_more_than_capacity() -> None:
    for scheme in mcs.TABLE:
        assert scheme.efficiency < 0.5 * math.log2(1 + 10 ** (scheme.threshold_db / 10)), scheme.name


def test_schemes_rise_in_small_steps() -> None:
    for slow, fast in pairwise(mcs.TABLE):
        assert slow.efficiency < fast.efficiency, fast.name
        assert slow.threshold_db < fast.threshold_db <= slow.threshold_db + 1.0, fast.name
    first, last = mcs.TABLE[0].threshold_db, mcs.TABLE[-1].threshold_db
    assert first < -7
    assert last > 24
    assert (last - first) / (len(mcs.TABLE) - 1) < 0.6


def test_the_fastest_scheme_that_the_snr_allows_is_chosen() -> None:
    assert mcs.choose(-math.inf) == 0
    assert mcs.choose(60.0) == len(mcs.TABLE) - 1
    for index, scheme in enumerate(mcs.TABLE):
        assert mcs.choose(scheme.threshold_db) == index
        assert mcs.choose(scheme.threshold_db - 1e-3) == max(index - 1, 0)


@pytest.mark.parametrize("index", range(0, len(mcs.TABLE), 6))
@pytest.mark.parametrize("symbols", [98, 420, pytest.param(10_001, marks=pytest.mark.slow)])
def test_bytes_come_back_without_noise(index: int, symbols: int) -> None:
    frame = phy.divide(mcs.TABLE[index], symbols)
    assert frame.blocks * frame.block_symbols <= symbols
    assert 8 * frame.capacity_bytes < symbols * frame.mcs.efficiency
    for count in {0, 1, frame.capacity_bytes} & set(range(frame.capacity_bytes + 1)):  # none if nothing fits
        payload = np.random.default_rng(count).bytes(count)
        s = phy.send(frame, payload)
        assert s.shape == (symbols,)
        assert float(s.square().mean()) == pytest.approx(1, abs=0.35)  # 98 symbols of 256QAM: four deviations
        assert phy.receive(frame, s, 0.0) == payload
    with pytest.raises(ValueError, match="payload: "):
        phy.send(frame, bytes(max(frame.capacity_bytes, 0) + 1))


@pytest.mark.parametrize("index", [0, 5, SIXTEEN_QAM, len(mcs.TABLE) - 3])
def test_blocks_arrive_above_the_threshold_and_fail_below(index: int) -> None:
    """Blocks of full length: one frame in 1000 loses any at the threshold, nearly all are lost 1.5 dB below."""
    scheme = mcs.TABLE[index]
    assert count_failures(scheme, scheme.threshold_db, blocks=8) == 0
    assert count_failures(scheme, scheme.threshold_db - 1.5, blocks=2) == 2


def test_thresholds_are_found_where_the_failures_are() -> None:
    """The fit recovers the normal tails that made up the counts: two centres, and a factor that both have."""
    counts, truth = [], {4000: 10.03, 20_000: -1.98}
    for symbols, centre_db in truth.items():
        deviation_db = 1.2 * waterfall.deviation_db(symbols, round(centre_db))
        grid_db = [round(centre_db) + 0.1 * step for step in range(-2, 3)]
        counts.append({snr_db: (5000 * q((snr_db - centre_db) / deviation_db), 5000) for snr_db in grid_db})
    found = waterfall.fit(counts, [*truth])
    assert found.factor == pytest.approx(1.2, abs=0.026)
    assert found.centres_db == pytest.approx([*truth.values()], abs=0.011)


@pytest.mark.slow
def test_blocks_are_counted_on_both_sides_of_the_centre_and_in_the_tail() -> None:
    """Of the scheme with the shortest blocks; from the centre to 0.3 dB above it at most a quarter is lost."""
    counts = waterfall.count(mcs.TABLE[-1], lambda line: None)
    shares = {round(10 * snr_db): failed / sent for snr_db, (failed, sent) in counts.items()}
    tail = max(shares)
    assert shares[min(shares)] >= 0.5
    assert shares[tail] <= shares[tail - 1] <= shares[tail - 2] < 0.5
    assert shares[tail] <= 0.25
    assert [counts[key][1] for key in sorted(counts)[-2:]] == [waterfall.TAIL_BLOCKS] * 2


def test_the_deviation_of_good_codes_where_noise_is_nothing() -> None:
    """A dispersion of 1/2 and a slope of 1/2 ln 10 / 10: sqrt(1 / (2 n)) * 20 / ln 10."""
    assert waterfall.deviation_db(4000, 60.0) == pytest.approx(20 / math.log(10) / math.sqrt(8000), rel=1e-4)


def test_a_lower_rate_than_the_code_has_repeats_bits() -> None:
    frame = phy.divide(mcs.TABLE[0], 4000)
    assert frame.code_bits == 5 * frame.info_bits < frame.sent_bits
    s = phy.send(frame, b"again")
    assert torch.equal(s[: frame.sent_bits - frame.code_bits], s[frame.code_bits : frame.sent_bits])
