"""Rate-distortion references against closed forms, hand-made spectra and every other allocation."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jscc.baselines import bounds, ideal
from jscc.baselines.bounds import reverse_water_filling
from jscc.baselines.spectrum import Spectrum, dct, measure_spectrum, variance
from jscc.images import Pixels
from jscc.quality.scores import psnr_db

SNRS_DB = (-5.0, 0.0, 10.0, 20.0)


def picture(height_px: int = 48, width_px: int = 80, noise: float = 10.0) -> Pixels:
    """Return three waves of different colours, with noise."""
    generator = np.random.default_rng(2)
    rows, columns = np.mgrid[:height_px, :width_px]
    waves = 120 + 60 * np.sin(rows / 9)[..., None] * np.cos(columns[..., None] / (6.0, 11.0, 17.0))
    return np.clip(waves + generator.normal(0, noise, waves.shape), 0, 255).astype(np.uint8)


def stripes() -> Pixels:
    """Return grey columns 200 0 0 200 ...: 100 off the mean everywhere, and one frequency of the DCT alone."""
    row = np.tile(np.array([200, 0, 0, 200], np.uint8), 16)
    return np.broadcast_to(row[None, :, None], (32, 64, 3)).copy()


variances = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=1, max_size=8)


@st.composite
def spectra(draw: st.DrawFn) -> Spectrum:
    values = draw(variances)
    counts = draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    return Spectrum(np.array(values), np.array(counts, float))


# --- the Gaussian source ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_bits", "share"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.25), (3.0, 1 / 64)])
def test_every_bit_quarters_the_distortion_of_a_gaussian(rate_bits: float, share: float) -> None:
    assert bounds.gaussian_distortion(0.3, rate_bits) == pytest.approx(0.3 * share, rel=1e-15)


@pytest.mark.parametrize("snr_db", SNRS_DB)
@pytest.mark.parametrize("rho", [0.0625, 0.25, 1.0])
def test_gaussian_psnr_is_that_of_the_mean_colour_plus_rho_times_the_snr_in_db(rho: float, snr_db: float) -> None:
    mean_colour_db = 20 * math.log10(255 / 100)
    expected_db = mean_colour_db + rho * 10 * math.log10(1 + 10 ** (snr_db / 10))
    assert bounds.gaussian_psnr_db(stripes(), rho, snr_db) == pytest.approx(expected_db, abs=1e-9)


def test_without_rate_both_give_the_psnr_of_the_mean_colour() -> None:
    expected_db = psnr_db(stripes(), ideal.mean_colour(stripes()))
    assert bounds.gaussian_psnr_db(stripes(), 0.0, 10.0) == pytest.approx(expected_db, abs=1e-9)
    assert bounds.water_filling_psnr_db(measure_spectrum(stripes()), 0.0, 10.0) == pytest.approx(expected_db, abs=1e-9)


def test_bands_count_by_their_size() -> None:
    pixels = picture(33, 50)  # the bands at the far ends are smaller, and weaker
    expected_db = -10 * math.log10(np.mean(np.var(pixels / 255.0, axis=(0, 1))))
    assert bounds.water_filling_psnr_db(measure_spectrum(pixels), 0.0, 0.0) == pytest.approx(expected_db, abs=1e-9)


def test_one_colour_needs_no_rate() -> None:
    pixels = np.full((20, 33, 3), (12, 130, 255), np.uint8)
    assert bounds.gaussian_psnr_db(pixels, 0.25, 0.0) == math.inf
    assert bounds.water_filling_psnr_db(measure_spectrum(pixels), 0.25, 0.0) == math.inf


@pytest.mark.parametrize(
    ("rho", "snr_db", "field"),
    [(-0.1, 0, "rho"), (math.inf, 0, "rho"), (1, math.nan, "snr_db"), (1, math.inf, "snr_db")],
)
def test_numbers_out_of_range_are_named(rho: float, snr_db: float, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: must be"):
        bounds.rate_bits_per_sample(rho, snr_db)


# --- reverse water-filling -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate_bits", "level", "rates"),
    [
        (0.0, 4.0, (0.0, 0.0)),
        (0.25, 2.0, (0.5, 0.0)),  # only the strong one is above the water
        (0.5, 1.0, (1.0, 0.0)),  # the weak one just touches it
        (1.5, 0.25, (2.0, 1.0)),
    ],
)
def test_two_components_by_hand(rate_bits: float, level: float, rates: tuple[float, float]) -> None:
    got = reverse_water_filling(Spectrum(np.array([4.0, 1.0]), np.ones(2)), rate_bits)
    assert got.level == pytest.approx(level, rel=1e-14)
    np.testing.assert_allclose(got.rates_bits, rates, atol=1e-14)
    np.testing.assert_allclose(got.distortions, (level, min(level, 1.0)), rtol=1e-14)


@given(components=spectra(), rate_bits=st.floats(0, 8))
def test_rates_add_up_and_distortions_are_the_level_or_the_variance(components: Spectrum, rate_bits: float) -> None:
    got = reverse_water_filling(components, rate_bits)
    spent = np.sum(components.counts * got.rates_bits)
    expected = rate_bits * components.counts.sum() if components.variances.any() else 0.0
    assert spent == pytest.approx(expected, abs=1e-9 * (1 + expected))
    np.testing.assert_array_equal(got.distortions, np.minimum(got.level, components.variances))
    np.testing.assert_allclose(components.variances * 2.0 ** (-2 * got.rates_bits), got.distortions, rtol=1e-12)


@given(variances=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), rate_bits=st.floats(0.0, bounds.MAX_RATE_BITS))
@example(variances=[5e-324, 1.0], rate_bits=bounds.MAX_RATE_BITS)
def test_rates_add_up_at_every_rate_and_variance(variances: list[float], rate_bits: float) -> None:
    """Also where distortions are too small for a float."""
    got = reverse_water_filling(Spectrum(np.array(variances), np.ones(len(variances))), rate_bits)
    assert got.rates_bits.sum() == pytest.approx(rate_bits * len(variances) if any(variances) else 0.0, abs=1e-6)
    assert (got.distortions <= variances).all()


@pytest.mark.parametrize("rate_bits", [-0.1, 1.1e6, math.inf, math.nan])
def test_a_rate_out_of_range_is_named(rate_bits: float) -> None:
    with pytest.raises(ValueError, match=r"^rate_bits: .* is outside 0\.\.1000000 bits per sample$"):
        reverse_water_filling(Spectrum(np.ones(1), np.ones(1)), rate_bits)
    with pytest.raises(ValueError, match=r"^rate_bits: "):
        bounds.gaussian_distortion(1.0, rate_bits)


@given(components=spectra(), rate_bits=st.floats(0, 8))
def test_a_spectrum_never_costs_more_than_white_noise_of_its_variance(components: Spectrum, rate_bits: float) -> None:
    distortion = np.average(reverse_water_filling(components, rate_bits).distortions, weights=components.counts)
    white = bounds.gaussian_distortion(float(np.average(components.variances, weights=components.counts)), rate_bits)
    assert distortion <= white * (1 + 1e-12)


@given(components=spectra(), rate_bits=st.floats(0, 8), seed=st.integers(0, 99))
def test_no_other_division_of_the_rate_is_better(components: Spectrum, rate_bits: float, seed: int) -> None:
    best = np.sum(components.counts * reverse_water_filling(components, rate_bits).distortions)
    shares = np.random.default_rng(seed).dirichlet(np.full(components.counts.size, 0.5), size=20)
    rates = shares * rate_bits * components.counts.sum() / components.counts
    others = np.sum(components.counts * components.variances * 2.0 ** (-2 * rates), axis=1)
    assert (best <= others * (1 + 1e-12)).all()


@given(level=st.floats(1e-6, 1.0), size=st.integers(1, 9), rate_bits=st.floats(0, 8))
def test_a_flat_spectrum_is_the_gaussian_source(level: float, size: int, rate_bits: float) -> None:
    got = reverse_water_filling(Spectrum(np.full(size, level), np.arange(1.0, size + 1)), rate_bits)
    np.testing.assert_allclose(got.distortions, bounds.gaussian_distortion(level, rate_bits), rtol=1e-12)


def test_at_high_rate_the_geometric_mean_of_the_variances_counts() -> None:
    components = Spectrum(np.array([1.0, 0.1, 0.001]), np.array([1.0, 2.0, 5.0]))
    geometric_mean = (1.0 * 0.1**2 * 0.001**5) ** (1 / 8)
    got = reverse_water_filling(components, 6.0)
    np.testing.assert_allclose(got.distortions, geometric_mean * 2.0**-12, rtol=1e-12)


# --- the spectrum ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 16, 33])
def test_dct_is_the_sum_of_its_definition_and_orthonormal(size: int) -> None:
    k, j = np.mgrid[:size, :size]
    matrix = np.sqrt(np.where(k == 0, 1, 2) / size) * np.cos(np.pi * k * (2 * j + 1) / (2 * size))
    x = np.random.default_rng(0).normal(size=(3, size, 4))
    np.testing.assert_allclose(dct(x, axis=1), np.einsum("kj,ajb->akb", matrix, x), atol=1e-12)
    np.testing.assert_allclose(dct(np.eye(size), axis=0) @ dct(np.eye(size), axis=0).T, np.eye(size), atol=1e-12)


@pytest.mark.parametrize("band_side", [1, 4, 16, 1000])
@pytest.mark.parametrize("size_px", [(48, 80), (33, 50), (7, 1)])
def test_a_spectrum_keeps_the_variance_and_counts_every_sample(size_px: tuple[int, int], band_side: int) -> None:
    pixels = picture(*size_px)
    components = measure_spectrum(pixels, band_side)
    assert components.counts.sum() == pixels.size
    assert (components.variances >= 0).all()
    assert np.average(components.variances, weights=components.counts) == pytest.approx(variance(pixels), rel=1e-12)
    assert variance(pixels) == pytest.approx(np.mean(np.var(pixels / 255.0, axis=(0, 1))), rel=1e-12)


def test_grey_stripes_are_one_component_of_one_band() -> None:
    # One coefficient holds the energy of the 32 x 64 px of all three colours; its band has 16 x 16 frequencies.
    expected = np.zeros((2, 4, 3))
    expected[0, 2, 2] = 3 * 32 * 64 * (100 / 255) ** 2 / 16**2
    got = measure_spectrum(stripes(), 16)
    np.testing.assert_allclose(got.variances.reshape(2, 4, 3), expected, atol=1e-12)
    np.testing.assert_array_equal(got.counts, 16.0**2)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_white_noise_leaves_water_filling_nothing_to_gain(snr_db: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    gain_db = bounds.water_filling_psnr_db(measure_spectrum(noise), 0.25, snr_db)
    gain_db -= bounds.gaussian_psnr_db(noise, 0.25, snr_db)
    assert -1e-9 <= gain_db < 0.5  # the variances of bands of 256 samples are estimates, so they differ a little


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_water_filling_gains_what_a_picture_has_of_structure(snr_db: float) -> None:
    filled_db = bounds.water_filling_psnr_db(measure_spectrum(picture()), 0.25, snr_db)
    assert filled_db > bounds.gaussian_psnr_db(picture(), 0.25, snr_db) + 1


def test_a_band_has_a_frequency_at_least() -> None:
    with pytest.raises(ValueError, match="band_side"):
        measure_spectrum(picture(), 0)
