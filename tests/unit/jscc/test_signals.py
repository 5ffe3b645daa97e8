"""The signal conventions against theory, numpy and hand-made numbers."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jscc import limits, signals
from jscc.seeds import derive_seed
from jscc.signals import Layout, Reach, Side


def side(height_px: int = 4, width_px: int = 5, codes: int = 1, code_bits: int = 8) -> Side:
    return Side.told(torch.zeros(1, 3, height_px, width_px), torch.zeros(1), 0, torch.zeros(1, codes), code_bits)


def layout(slots: int, code_count: int, code_bits: int) -> Layout:
    return Layout(slots + 128, slots, code_count, code_bits, words=1, word_uses=128, has_body=False)


@pytest.mark.parametrize(
    ("snr_db", "variance"),
    [(0, 1.0), (10, 0.1), (20, 0.01), (-10, 10.0), (3.0102999566, 0.5), (-30, 1000.0), (60, 1e-6)],
)
def test_noise_variance_is_the_inverse_of_the_snr(snr_db: float, variance: float) -> None:
    got = signals.noise_variance(torch.tensor([snr_db], dtype=torch.float32))
    torch.testing.assert_close(got, torch.tensor([variance]), rtol=1e-5, atol=0)


def test_noise_variance_keeps_the_shape() -> None:
    snr_db = torch.tensor([[0.0, 10.0, 20.0], [-10.0, 5.0, 30.0]])
    got = signals.noise_variance(snr_db)
    torch.testing.assert_close(got, 1 / (10 ** (snr_db / 10)))


@pytest.mark.parametrize(("snr", "bits"), [(0.0, 0.0), (1.0, 0.5), (3.0, 1.0), (15.0, 2.0), (255.0, 4.0)])
def test_capacity_where_the_logarithm_is_a_whole_number(snr: float, bits: float) -> None:
    snr_db = 10 * math.log10(snr) if snr else -math.inf
    assert signals.capacity_bits_per_symbol(snr_db) == pytest.approx(bits, abs=1e-12)


def test_capacity_at_0_db_is_half_a_bit() -> None:
    assert signals.capacity_bits_per_symbol(0.0) == 0.5


def test_capacity_grows_one_bit_per_factor_four_at_high_snr() -> None:
    step_db = 10 * math.log10(4)  # 6.02 dB: half a bit per factor two
    gain = signals.capacity_bits_per_symbol(60 + step_db) - signals.capacity_bits_per_symbol(60)
    assert gain == pytest.approx(1, abs=1e-5)  # the rest is (3/4) / (2 ln 2 snr) = 5.4e-7


def test_capacity_at_low_snr_is_the_snr_over_two_ln_2() -> None:
    assert signals.capacity_bits_per_symbol(-50) == pytest.approx(1e-5 / (2 * math.log(2)), rel=1e-5)


@given(snr_db=st.floats(allow_nan=False, allow_infinity=False))
def test_capacity_is_a_number_between_its_asymptotes_at_every_snr(snr_db: float) -> None:
    """1/2 log2(snr) and 0 from below; and ln(1 + snr) <= snr, where that can be computed."""
    bits = signals.capacity_bits_per_symbol(snr_db)
    assert math.isfinite(bits)
    assert bits >= max(0.0, 0.5 * snr_db / 10 * math.log2(10)) * (1 - 1e-12)
    if snr_db < 0:
        assert bits <= 10 ** (snr_db / 10) / (2 * math.log(2)) * (1 + 1e-12)
    else:
        assert bits <= 0.5 + 0.5 * snr_db / 10 * math.log2(10) * (1 + 1e-12)


@pytest.mark.parametrize("snr_db", [-3000.0, -170.0])
def test_small_snrs_are_not_lost_beside_1(snr_db: float) -> None:
    assert signals.capacity_bits_per_symbol(snr_db) == pytest.approx(10 ** (snr_db / 10) / (2 * math.log(2)), rel=1e-12)


def test_bandwidth_ratio_counts_real_symbols_per_source_sample() -> None:
    assert signals.bandwidth_ratio(294912, 512, 768) == 0.25
    assert signals.bandwidth_ratio(192, 1, 1) == 64
    assert signals.bandwidth_ratio(12, 2, 4) == 0.5


def test_normalise_power_is_per_image() -> None:
    z = torch.tensor([[3.0, 4.0], [0.3, 0.4], [-300.0, 400.0]])  # mean powers 12.5, 0.125, 125000
    s, scale = signals.normalise_power(z)
    torch.testing.assert_close(s.square().mean(dim=1), torch.ones(3))
    torch.testing.assert_close(scale, torch.tensor([[12.5], [0.125], [125000.0]]).sqrt())
    torch.testing.assert_close(scale * s, z)


def test_normalise_power_does_not_mix_the_images_of_a_batch() -> None:
    z = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [50.0], [1e-3]])
    together, _ = signals.normalise_power(z)
    for row in range(3):
        torch.testing.assert_close(together[row], signals.normalise_power(z[row : row + 1])[0][0])


def test_normalise_power_of_nothing_is_nothing() -> None:
    z = torch.zeros(2, 5, requires_grad=True)
    s, scale = signals.normalise_power(torch.cat([z, torch.ones(1, 5)]))
    assert torch.equal(s, torch.tensor([[0.0] * 5, [0.0] * 5, [1.0] * 5]))
    assert torch.isfinite(scale).all()
    s.sum().backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


IMAGES = [f"kodak/kodim{number:02d}" for number in range(1, 25)]
SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)


def test_seeds_of_a_sweep_do_not_collide_and_fit_63_bits() -> None:
    points = list(itertools.product((0, 1), IMAGES, SNRS_DB, range(10)))
    seeds = [derive_seed(*point) for point in points]
    assert len(set(seeds)) == len(points)  # by chance: 2880^2 / 2^64 = 4.5e-13
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_seeds_use_the_whole_range_evenly() -> None:
    seeds = [derive_seed(0, "x", 0.0, draw) for draw in range(4096)]
    for bit in range(63):  # 63 counts within 6 standard deviations of 32: a false alarm in 8 million versions
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert abs(ones - 2048) < 6 * 32


@pytest.mark.parametrize(
    "other",
    [
        (1, "kodak/kodim01", 10.0, 2),
        (0, "kodak/kodim02", 10.0, 2),
        (0, "photos/kodim01", 10.0, 2),
        (0, "kodak/kodim01", 10.5, 2),
        (0, "kodak/kodim01", -10.0, 2),
        (0, "kodak/kodim01", 10.0, 3),
    ],
)
def test_every_argument_changes_the_seed(other: tuple[int, str, float, int]) -> None:
    assert derive_seed(*other) != derive_seed(0, "kodak/kodim01", 10.0, 2)


def test_digits_do_not_move_between_arguments() -> None:
    assert derive_seed(1, "1", 1.0, 1) != derive_seed(11, "1", 1.0, 1)
    assert derive_seed(1, "11", 1.0, 1) != derive_seed(11, "1", 1.0, 1)
    assert derive_seed(0, "a", 1.0, 11) != derive_seed(0, "a", 11.0, 1)


@pytest.mark.parametrize("equal", [(0.0, -0.0), (0.0, 0), (10.0, 10), (5.0, 5.0 + 1e-9), (0.3, 0.1 + 0.2)])
def test_equal_snrs_mean_equal_seeds(equal: tuple[float, float]) -> None:
    first, second = (derive_seed(7, "a", snr_db, 0) for snr_db in equal)
    assert first == second


def test_a_rounding_error_below_zero_is_zero() -> None:
    """ "Equal to 1e-6 dB means equal", and a grid of floats rarely hits zero: this one holds -2.2e-16."""
    almost = float(np.arange(-1, 1, 0.1)[10])
    assert -1e-9 < almost < 0
    assert derive_seed(7, "a", almost, 0) == derive_seed(7, "a", 0.0, 0)


def test_the_seed_is_the_same_in_every_process_and_version() -> None:
    """BLAKE2b of "0|kodak/kodim01|-5.000000|3", 8 bytes little-endian, less the lowest bit; by coreutils' b2sum.

    `printf '0|kodak/kodim01|-5.000000|3' | b2sum -l 64` prints 5fbf8b9fdaee1c8e.
    """
    assert derive_seed(0, "kodak/kodim01", -5, 3) == int.from_bytes(bytes.fromhex("5fbf8b9fdaee1c8e"), "little") // 2


@pytest.mark.parametrize("size_px", [1, 2, 3, 15, 16, 17, 31, 33])
def test_reflect_index_is_a_triangle_wave(size_px: int) -> None:
    period = max(2 * (size_px - 1), 1)
    expected = [min(i % period, period - i % period) for i in range(-(-size_px // 16) * 16)]
    assert signals.reflect_index(size_px, 16).tolist() == expected


@pytest.mark.parametrize("height_px", [1, 2, 15, 16, 17])
@pytest.mark.parametrize("width_px", [1, 2, 15, 16, 17])
def test_padding_is_numpys_reflection(height_px: int, width_px: int) -> None:
    x = np.random.default_rng(0).random((2, 3, height_px, width_px), dtype=np.float32)
    missing = ((0, 0), (0, 0), (0, -height_px % 16), (0, -width_px % 16))
    padded = signals.pad_to_multiple(torch.from_numpy(x), 16)
    np.testing.assert_array_equal(padded.numpy(), np.pad(x, missing, mode="reflect"))
    rows, columns = signals.padded_size(height_px, width_px, 16)
    assert padded.shape == (2, 3, 16 * rows, 16 * columns)
    cropped = signals.crop(padded, side(height_px, width_px))
    np.testing.assert_array_equal(cropped.numpy(), x)


def test_padding_of_a_multiple_changes_nothing() -> None:
    x = torch.rand(1, 3, 32, 16)
    assert signals.pad_to_multiple(x, 16) is x


@pytest.mark.parametrize(
    ("size_px", "units"), [((1, 1), (1, 1)), ((16, 17), (1, 2)), ((512, 768), (32, 48)), ((4096, 4095), (256, 256))]
)
def test_padded_size(size_px: tuple[int, int], units: tuple[int, int]) -> None:
    assert signals.padded_size(*size_px, 16) == units


@given(
    exponent=st.floats(-8, 8),
    bits=st.integers(1, 16),
    limits=st.sampled_from([(-8.0, 8.0), (-10.0, 9.0), (-9.0, 20.0)]),
)
def test_quantisation_errs_by_half_a_step_at_most(exponent: float, bits: int, limits: tuple[float, float]) -> None:
    value = torch.tensor([[2.0**exponent]], dtype=torch.float64)
    code = signals.quantise_log2(value, *limits, bits)
    assert code.item() == round(code.item())
    assert 0 <= code.item() < 2**bits
    step = (limits[1] - limits[0]) / (2**bits - 1)
    error = signals.dequantise_log2(code, *limits, bits).log2() - exponent
    assert abs(error.item()) <= step / 2 * (1 + 1e-9) + 1e-12


def test_quantisation_codes_by_hand() -> None:
    """On [-1, 2] with 2 bits a step is one octave: 1/2, 1, 2, 4 are the codes 0, 1, 2, 3; beyond, it saturates."""
    value = torch.tensor([[0.5, 1.0, 2.0, 4.0, 1.9, 0.1, 100.0, 2**0.49, 2**0.51]])
    code = signals.quantise_log2(value, -1.0, 2.0, 2)
    assert code.tolist() == [[0, 1, 2, 3, 2, 0, 3, 1, 2]]
    octaves = signals.dequantise_log2(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), -1.0, 2.0, 2)
    torch.testing.assert_close(octaves, torch.tensor([[0.5, 1.0, 2.0, 4.0]]))


def test_the_gradient_passes_straight_through_the_rounding() -> None:
    """d/dv of (log2 v - low) / (high - low) * top = top / ((high - low) v ln 2); zero where it saturates."""
    value = torch.tensor([0.7, 1.3, 3.0, 1000.0], dtype=torch.float64, requires_grad=True)
    signals.quantise_log2(value, -8.0, 8.0, 8).sum().backward()
    expected = [255 / (16 * v * math.log(2)) for v in (0.7, 1.3, 3.0)] + [0.0]
    assert value.grad is not None
    torch.testing.assert_close(value.grad, torch.tensor(expected, dtype=torch.float64))


def test_every_told_snr_is_a_code_of_its_header_field() -> None:
    """The span of 90 dB in sixteenths of an octave, 0.188 dB: codes 0..478, which fit 9 bits; what is beyond is cut."""
    snr_db = torch.tensor([-99.0, limits.MIN_SNR_DB, 0.0, limits.MAX_SNR_DB, 99.0])
    assert signals.snr_code(snr_db).tolist() == [0, 0, 159, 478, 478]
    assert [signals.snr_code_of(value) for value in snr_db.tolist()] == [0, 0, 159, 478, 478]
    codes = torch.arange(479)
    powers = signals.told_noise_power(codes).double()
    torch.testing.assert_close(powers[16:] / powers[:-16], torch.full((463,), 0.5).double(), rtol=1e-6, atol=0)
    assert torch.equal(signals.snr_code(-10 * powers.log10()), codes)


def test_side_information_without_a_body_is_what_was_told() -> None:
    told = Side.told(torch.zeros(2, 3, 7, 9), torch.tensor([-30.0, 60.0]), 12, torch.ones(2, 3), 5)
    assert (told.height_px, told.width_px, told.code_bits, told.body, told.payload) == (7, 9, 5, (), None)
    assert (told.snr_code.tolist(), told.margin_code.tolist(), told.body_bytes.tolist()) == (
        [0, 478],
        [12] * 2,
        [0] * 2,
    )


def test_a_message_of_the_right_size_is_accepted() -> None:
    signals.check_received(torch.zeros(1, 12), side(), layout(12, 1, 8))
    signals.check_received(torch.zeros(1, 12), side(codes=0, code_bits=5), layout(12, 0, 8))  # no code, no width


@pytest.mark.parametrize(
    ("symbols", "received", "words"),
    [
        (11, side(), ["symbols: 11 symbols", "expected 12", "5x4 px"]),
        (13, side(), ["symbols: 13 symbols", "expected 12"]),
        (12, side(codes=2), ["side.codes: 2 of 8 bits", "expected 1 of 8 bits"]),
        (12, side(codes=0), ["side.codes: 0 of", "expected 1 of 8 bits"]),
        (12, side(code_bits=7), ["side.codes: 1 of 7 bits", "expected 1 of 8 bits"]),
    ],
)
def test_a_message_of_another_size_is_refused_by_field(symbols: int, received: Side, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^(symbols|side\.codes): ") as refusal:
        signals.check_received(torch.zeros(1, symbols), received, layout(12, 1, 8))
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("reach", "snr_db", "expected_db"),
    [
        (Reach(2.0), -30.0, 2.0),
        (Reach(7.5, 0.65), 0.0, 7.5),
        (Reach(7.5, 0.65), 10.0, 14.0),
        (Reach(7.5, 0.65), -20.0, 0.0),  # never for a better one
        (Reach(15.0, 0.8), 60.0, 60.0),  # as far as a margin goes
    ],
)
def test_a_reach_grows_with_the_told_snr(reach: Reach, snr_db: float, expected_db: float) -> None:
    """In quarters of a dB, of told SNRs that are known to a sixteenth of an octave."""
    steps = reach.steps(signals.snr_code(torch.tensor([snr_db])))
    assert steps.dtype == torch.int64
    assert int(steps) / 4 == pytest.approx(expected_db, abs=0.25 + 0.65 * 0.1)
