"""OFDM over the delay lines of TR 38.901, against theory, its tables and Sionna. Every statistical bound has the false
alarm FALSE_ALARM of a new seed; averages over images are as good as normal.
"""

import importlib.util
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats

from jscc import channels
from jscc.channels import MissingExtraError, Realisation, _tr38901
from jscc.draws import Draws
from jscc.framing import wiener
from jscc.grid import Grid
from jscc.ofdm import Ofdm
from jscc.signals import noise_generator

pytestmark = pytest.mark.skipif(importlib.util.find_spec("sionna") is None, reason="needs the extra `radio`")

FALSE_ALARM = 1e-6
DEVIATIONS = stats.norm.isf(FALSE_ALARM / 2)
COLUMNS, ROWS, IMAGES = 48, 9, 1200
MOVING = {"subcarriers": COLUMNS, "delay_spread_ns": 300.0, "speed_m_s": 100.0}
Gains = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]

every_line = pytest.mark.parametrize(("name", "model"), [(name, model) for name in ("tdl", "cdl") for model in "ABCDE"])


def drawn(name: str, reals: int, seed: int = 0, images: int = 1, **options: Any) -> Realisation:
    channel = channels.make(name, torch.zeros(images), options)
    return channel.draw(torch.Size([images, reals]), Draws(noise_generator(seed)))


def gains(name: str, **options: Any) -> Gains:
    """The gains [images, rows, columns] of many images."""
    parts = [drawn(name, 2 * COLUMNS * ROWS, seed, IMAGES // 8, **MOVING, **options).gain for seed in range(8)]
    found: Gains = torch.cat([part for part in parts if part is not None]).numpy().astype(np.complex128)
    return found.reshape(IMAGES, ROWS, COLUMNS)


def theory(name: str, model: str, row: int, column: int) -> complex:
    """E[h(m + row, c + column) h*(m, c)]: Jakes' spectrum of every tap, 0.7 of it for a line of sight; of rays,
    J0(2 pi f m sin(zenith)), which a level way in any direction makes of a ray, over its cluster's zeniths.
    """
    link, line = Ofdm(**MOVING), _tr38901.profile(name.upper(), model)  # type: ignore[arg-type]
    turns = 2 * math.pi * link.doppler * row
    in_time = np.full(len(line.powers), special.j0(turns), complex)
    if name == "cdl":
        offsets = [sign * each for sign in (1, -1) for each in OFFSETS]
        zenith = np.deg2rad(np.array(line.table["zoa"])[:, None] + line.table["cZSA"] * np.array(offsets))
        in_time = special.j0(turns * np.sin(zenith)).mean(1).astype(complex)
    if line.has_line_of_sight:
        in_time[0] = (
            np.exp(0.7j * turns) if name == "tdl" else special.j0(turns * math.sin(math.radians(line.table["zoa"][0])))
        )
    in_frequency = np.exp(-2j * math.pi * link.spread * column * line.delays.numpy())
    return complex((line.powers.numpy() * in_time * in_frequency).sum())


OFFSETS = (0.0447, 0.1413, 0.2492, 0.3715, 0.5129, 0.6797, 0.8844, 1.1481, 1.5195, 2.1551)


@pytest.mark.slow
@every_line
def test_gains_have_the_powers_and_correlations_of_theory(name: str, model: str) -> None:
    """E|h|^2 = 1, and over rows, over columns and over both what the tables say; twelve parts, each with its bound."""
    h = gains(name, model=model)
    for row, column in ((0, 0), (0, 5), (0, 47), (1, 0), (8, 0), (3, 20)):
        products = h[:, row, column] * h[:, 0, 0].conj()
        expected = theory(name, model, row, column)
        for found, value in ((products.real, expected.real), (products.imag, expected.imag)):
            assert abs(found.mean() - value) < DEVIATIONS * found.std() / math.sqrt(IMAGES) + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("model", ["A", "C", "D", "E"])
def test_a_tapped_delay_line_is_complex_normal_beside_its_line_of_sight(model: str) -> None:
    """2 |h|^2 over the scattered power p is chi-square of two degrees, off centre by 2 (1 - p) / p (Rice)."""
    line = _tr38901.profile("TDL", model)
    straight = float(line.powers[0]) if line.has_line_of_sight else 0.0
    power = np.abs(gains("tdl", model=model)[:, 4, 30]) ** 2
    law = stats.ncx2(2, 2 * straight / (1 - straight)) if straight else stats.chi2(2)
    assert stats.kstest(2 * power / (1 - straight), law.cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("model", "k_factor_db"), [("D", 13.3), ("E", 22.0)])
def test_the_line_of_sight_has_the_power_of_the_standard(model: str, k_factor_db: float) -> None:
    """TR 38.901, tables 7.7.2-4 and 7.7.2-5: K of the first tap."""
    for kind in ("TDL", "CDL"):
        powers = _tr38901.profile(kind, model).powers
        assert 10 * math.log10(float(powers[0] / powers[1])) == pytest.approx(k_factor_db, abs=0.01)


@pytest.mark.parametrize("kind", ["TDL", "CDL"])
@pytest.mark.parametrize("model", _tr38901.MODELS)
def test_delays_are_scaled_to_the_spread(kind: str, model: str) -> None:
    """The tables' root mean square delay is 1, but for the rounding of theirs."""
    line = _tr38901.profile(kind, model)
    mean = float((line.powers * line.delays).sum())
    assert float(line.powers.sum()) == pytest.approx(1)
    assert math.sqrt(float((line.powers * line.delays.square()).sum()) - mean**2) == pytest.approx(1, abs=0.02)


# --- the same air ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tdl", "cdl"])
@pytest.mark.parametrize("model", ["A", "D"])
def test_methods_of_other_rates_meet_the_same_gains(name: str, model: str) -> None:
    long, *others = (
        drawn(name, reals, subcarriers=24, model=model).gain for reals in (60_002, 60_001, 4097, 600, 7, 1)
    )
    assert long is not None
    for short in others:
        assert short is not None
        assert torch.equal(short, long[:, : short.shape[1]])


@pytest.mark.parametrize("name", ["tdl", "cdl"])
def test_neither_threads_nor_order_nor_batch_nor_global_state_changes_the_air(name: str) -> None:
    before, digests = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3, 4):
            torch.manual_seed(threads)
            torch.set_num_threads(threads)
            drawn(name, 600, 6)
            digests.add(drawn(name, 20_000, 5).digest)
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1
    whole = drawn(name, 2000, images=4)
    for rows in (slice(0, 1), slice(1, 4)):
        shape = torch.Size([rows.stop - rows.start, 2000])
        channel = channels.make(name, torch.zeros(shape[0]), {})
        mine = channel.draw(shape, Draws(noise_generator(0), rows, 4))
        assert mine.gain is not None
        assert whole.gain is not None
        assert torch.equal(mine.gain, whole.gain[rows])


def test_nothing_of_sionna_is_imported() -> None:
    code = (
        "import sys, torch; from jscc import channels; from jscc.draws import Draws;"
        " channels.make('cdl', torch.zeros(1), {}).draw(torch.Size([1, 9]), Draws(torch.Generator()));"
        " sys.exit('sionna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- beside Sionna ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("model", ["A", "D"])
def test_tables_and_correlations_are_those_of_sionna(model: str) -> None:
    from sionna.phy.channel.tr38901 import TDL
    from sionna.phy.ofdm import tdl_freq_cov_mat

    line, theirs = _tr38901.profile("TDL", model), TDL(model, 300e-9, 3.5e9)
    first = int(line.has_line_of_sight)  # which they have in the tap beside it
    powers = line.powers[first:].clone()
    powers[0] += line.powers[0] if first else 0
    np.testing.assert_allclose(theirs.delays.numpy() * 1e9, 300 * line.delays[first:], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(theirs.mean_powers.numpy(), powers, rtol=1e-4, atol=1e-6)
    covariance = tdl_freq_cov_mat(model, 30e3, COLUMNS, 300e-9).numpy()
    for column in (1, 20, 47):
        assert abs(covariance[column, 0] - theory("tdl", model, 0, column)) < 1e-3


@pytest.mark.slow
def test_the_response_is_that_of_sionna() -> None:
    """Of the same paths; theirs is in float32."""
    from sionna.phy.channel import cir_to_ofdm_channel

    channel = channels.make("tdl", torch.zeros(2), {**MOVING, "model": "B"})
    line, paths = _tr38901.profile("TDL", "B"), torch.randn(2, 23, ROWS, dtype=torch.complex128)
    found = channel._response(paths, line.delays)  # type: ignore[attr-defined]
    delays = (line.delays * 300e-9).float().expand(2, 1, 1, -1)
    frequencies = 30e3 * torch.arange(COLUMNS, dtype=torch.float32)
    theirs = cir_to_ofdm_channel(frequencies, paths.to(torch.complex64)[:, None, None, None, None], delays)
    np.testing.assert_allclose(found.view(2, ROWS, COLUMNS), theirs[:, 0, 0, 0, 0], atol=2e-4)


@pytest.mark.slow
def test_estimates_over_one_ofdm_symbol_are_those_of_sionna() -> None:
    """Where all pilots are within reach, both are the linear estimate of least mean squared error."""
    from sionna.phy.ofdm import LMMSEChannelEstimator, PilotPattern, ResourceGrid

    spread, noise_power = 0.02, 0.1
    mask = torch.zeros(1, 1, 1, COLUMNS, dtype=torch.bool)
    mask[..., 7::8] = True
    pattern = PilotPattern(mask, torch.ones(1, 1, COLUMNS // 8, dtype=torch.complex64))
    resources = ResourceGrid(1, COLUMNS, 30e3, pilot_pattern=pattern)
    apart = torch.arange(COLUMNS)[:, None] - torch.arange(COLUMNS)
    covariance = (1 / (1 + 2j * math.pi * spread * apart)).to(torch.complex64)
    estimator = LMMSEChannelEstimator(resources, torch.ones(1, 1, dtype=torch.complex64), covariance, order="f-t")
    y = torch.view_as_complex(torch.randn(COLUMNS, 2, generator=torch.Generator().manual_seed(0)))
    theirs, their_error = estimator(y.view(1, 1, 1, 1, COLUMNS), torch.tensor(noise_power))
    grid = Grid("block", 8, 1, True, COLUMNS, 0.0, spread)
    gain, error = wiener.estimate(grid, y * (1 + 1j), noise_power)
    np.testing.assert_allclose(gain, theirs.flatten(), atol=1e-4)
    np.testing.assert_allclose(error, their_error.flatten(), atol=1e-4)


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "F"}, r"model must be one of A, B, C, D, E, got 'F'"),
        ({"delay_spread_ns": -1.0}, r"delay_spread_ns must be in 0\.\.10000, got -1\.0"),
        ({"carrier_ghz": math.nan}, r"carrier_ghz must be in 0\.5\.\.100, got nan"),
        ({"speed_m_s": 501.0}, r"speed_m_s must be in 0\.\.500, got 501\.0"),
        ({"subcarriers": 11}, r"subcarriers must be in 12\.\.4096, got 11"),
        ({"spacing_khz": 0.0}, r"spacing_khz must be in 1\.\.960, got 0\.0"),
        (
            {"speed_m_s": 500.0, "carrier_ghz": 60.0},
            r"speed_m_s: 500 m/s at 60 GHz are 3\.57 cycles from one OFDM symbol to the next, the limit is 0\.5; "
            "choose a larger spacing_khz",
        ),
        (
            {"delay_spread_ns": 10_000.0, "spacing_khz": 120.0},
            r"delay_spread_ns: 10000 ns are 1\.20 cycles of 120 kHz, the limit is 0\.5; choose a smaller spacing_khz",
        ),
    ],
)
@pytest.mark.parametrize("name", ["tdl", "cdl"])
def test_options_out_of_their_ranges_are_refused_by_name(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^channel {name}: {message}$"):
        channels.make(name, torch.zeros(1), options)


@pytest.mark.parametrize("name", ["tdl", "cdl"])
def test_an_installation_without_the_tables_is_told_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    wanted = rf"^channel {name}: needs the extra `radio`: pip install 'jscc-link\[radio\]'$"
    with pytest.raises(MissingExtraError, match=wanted):
        channels.make(name, torch.zeros(1), {})
