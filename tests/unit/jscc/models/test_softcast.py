"""SoftCast against its closed form, and what crosses the link."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.fft import dctn, idctn
from scipy.optimize import brentq
from torch import Tensor

from jscc.channels.awgn import Awgn
from jscc.data import samples
from jscc.draws import Draws
from jscc.images import read_image
from jscc.models.softcast import Config, ReceiveOptions, Receiver, SendOptions, Transmitter
from jscc.serving import tensors
from jscc.signals import ChannelState, Side
from jscc.wire.v1 import symbols_pb2

Doubles = npt.NDArray[np.float64]
DEFAULT = Config()
NOTHING = torch.zeros(1)


@cache
def photo() -> Tensor:
    """Return a natural image [1, 3, 256, 384]."""
    return torch.from_numpy(read_image(samples.FOLDER / "astronaut.png")[:256, :384].astype(np.float32) / 255).permute(
        2, 0, 1
    )[None]


def encode(x: Tensor, snr_db: float, config: Config = DEFAULT) -> tuple[Tensor, Side]:
    s, side = Transmitter(config)(x, torch.full((len(x),), snr_db), SendOptions())
    return s, side


def decode(y: Tensor, side: Side, noise_power: Tensor, config: Config = DEFAULT) -> Tensor:
    """Decode without the cut to [0, 1], which the closed form does not know."""
    x_hat: Tensor = Receiver(config).train()(y, side, ChannelState(noise_power), ReceiveOptions())
    return x_hat


def mean_squared_error(x: Tensor, snr_db: float, told_db: float | None = None, config: Config = DEFAULT) -> float:
    """Return the error per sample after AWGN of snr_db, while the transmitter is told told_db."""
    s, side = encode(x, snr_db if told_db is None else told_db, config)
    channel = Awgn(torch.full((len(x),), snr_db))
    y, truth = channel.apply(s, channel.draw(s.shape, Draws(torch.Generator().manual_seed(0))))
    return float((decode(y, side, truth.noise_power, config) - x).square().mean())


def test_a_symbol_that_is_all_noise_counts_as_nothing() -> None:
    """The LMMSE estimate is 0 where the noise is infinite, whatever arrived, and everywhere else what it was."""
    s, side = encode(photo(), 10.0)
    lost = torch.rand(s.shape, generator=torch.Generator().manual_seed(1)) < 0.1
    found = decode(torch.where(lost, 3.0, s), side, torch.where(lost, 1e12, 0.1))
    expected = decode(torch.where(lost, 0.0, s), side, torch.tensor([0.1]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def db(ratio: float) -> float:
    return 10 * math.log10(ratio)


def closed_form(x: Doubles, snr_db: float, rho: float, side: int) -> float:
    """Return the mean squared error of the optimal linear code for the true energies of the chunks of x [3, H, W].

    Sent coefficients of variance l with power p leave l s2 / (p + s2), the others l; p = sqrt(s2 l / mu) - s2 where
    that is positive, and the mean of p over the channel uses is 1.
    """
    height, width = x.shape[1:]
    spectrum = dctn(x - x.mean(axis=(1, 2), keepdims=True), norm="ortho")
    energy = (spectrum**2).reshape(3, height // side, side, width // side, side).mean(axis=(2, 4)).ravel()
    energy = np.sort(energy)[::-1]
    sent = round(rho * energy.size)
    noise = 10 ** (-snr_db / 10)

    def power(log_mu: float) -> Doubles:
        return np.maximum(np.sqrt(noise * energy[:sent] / np.exp(log_mu)) - noise, 0)

    best = power(brentq(lambda log_mu: power(log_mu).mean() - 1, -60, 60))
    return float(((energy[:sent] * noise / (best + noise)).sum() + energy[sent:].sum()) / energy.size)


def synthetic(variance: Doubles, seed: int = 0) -> Tensor:
    """Return the image [1, 3, H, W] around grey whose DCT coefficients are +-sqrt(variance) [3, H, W]."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], variance.shape)
    return torch.from_numpy(0.5 + idctn(signs * np.sqrt(variance), norm="ortho")).float()[None]


@pytest.mark.parametrize(
    ("snr_db", "rho", "side"),
    [(0.0, 0.25, 32), (10.0, 0.25, 32), (20.0, 0.25, 32), (10.0, 0.0625, 16), (10.0, 0.5, 64)],
)
def test_a_photo_crosses_the_link_as_well_as_the_closed_form_says(snr_db: float, rho: float, side: int) -> None:
    expected = closed_form(photo()[0].double().numpy(), snr_db, rho, side)
    assert db(mean_squared_error(photo(), snr_db, config=Config(rho, side))) == pytest.approx(db(expected), abs=0.1)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
@pytest.mark.parametrize("rho", [0.25, 1.0])
def test_a_white_spectrum_loses_what_is_not_sent_and_the_noise(snr_db: float, rho: float) -> None:
    """Nothing to choose: power 1 leaves l s2 / (1 + s2) of what is sent. At rho 1 that is Shannon's limit."""
    noise = 10 ** (-snr_db / 10)
    expected = 1e-3 * (1 - rho + rho * noise / (1 + noise))
    x = synthetic(np.full((3, 128, 128), 1e-3))
    assert db(mean_squared_error(x, snr_db, config=Config(rho))) == pytest.approx(db(expected), abs=0.05)


@pytest.mark.parametrize(("snr_db", "strong", "weak"), [(0.0, 2.0, 0.0), (10.0, 1.66, 0.34)])
def test_power_is_shared_by_water_filling(snr_db: float, strong: float, weak: float) -> None:
    """Half of the coefficients have 16 times the variance of the others; the powers are worked out by hand.

    With both halves served, sqrt(l1) = 4 sqrt(l2) and p1 + p2 = 2 give level sqrt(l2) = (2 + 2 s2) / 5. At 0 dB that
    is 0.8 < s2: the weak half gets nothing. At 10 dB it is 0.44, so p1 = 1.66 and p2 = 0.34.
    """
    noise, config = 10 ** (-snr_db / 10), Config(rho=1.0)
    variance = np.full((3, 128, 128), 1e-4)
    variance[:, :64] = 16e-4
    expected = 0.5 * (16e-4 * noise / (strong + noise) + 1e-4 * noise / (weak + noise))
    assert db(mean_squared_error(synthetic(variance), snr_db, config=config)) == pytest.approx(db(expected), abs=0.05)
    s, _ = encode(synthetic(variance), snr_db, config)
    powers = [float(half.square().mean()) for half in s[0].chunk(2)]
    assert powers == pytest.approx([strong, weak], abs=0.03)


def test_quality_rises_with_the_snr() -> None:
    errors = [mean_squared_error(photo(), float(snr_db)) for snr_db in range(-10, 35, 5)]
    assert all(later < earlier for earlier, later in pairwise(errors))


@pytest.mark.parametrize(("snr_db", "wrong_db"), [(0.0, 20.0), (20.0, 0.0)])
def test_gains_are_best_for_the_snr_that_they_are_for(snr_db: float, wrong_db: float) -> None:
    assert mean_squared_error(photo(), snr_db) < 0.95 * mean_squared_error(photo(), snr_db, told_db=wrong_db)


@pytest.mark.parametrize("told_db", [0.0, 20.0, 60.0])
def test_without_noise_only_what_got_no_power_is_lost(told_db: float) -> None:
    noisy = mean_squared_error(photo(), told_db)
    s, side = encode(photo(), told_db)
    assert float((decode(s, side, NOTHING) - photo()).square().mean()) < noisy
    everything = Config(rho=1.0)
    s, side = encode(photo(), 60.0, everything)
    # The scale is told to +-0.54 %, so an error of up to -45 dB below the image's variance stays.
    error = float((decode(s, side, NOTHING, everything) - photo()).square().mean())
    assert db(error / float(photo().var())) < -45


@pytest.mark.parametrize(
    ("height_px", "width_px", "symbols", "codes"),
    # rho * 3 H W of the image padded to 16 px; five codes and one for each begun 32x32 chunk of the three planes
    [(1, 1, 192, 8), (17, 33, 1152, 11), (4096, 8, 49152, 389), (512, 768, 294912, 1157)],
)
def test_cost_of_an_image(height_px: int, width_px: int, symbols: int, codes: int) -> None:
    x = torch.rand(2, 3, height_px, width_px, generator=torch.Generator().manual_seed(0))
    s, side = encode(x, 10.0)
    layout = DEFAULT.layout(height_px, width_px, SendOptions())
    assert (layout.channel_uses, layout.code_count, layout.code_bits) == (symbols, codes, 8)
    assert s.shape == (2, symbols)
    assert side.codes.shape == (2, codes)
    assert side.header_bits == 12 + 12 + 8 * codes
    torch.testing.assert_close(s.double().square().mean(dim=1), torch.ones(2).double(), atol=1e-6, rtol=0)
    assert decode(s, side, torch.zeros(2)).shape == x.shape


@pytest.mark.parametrize("rho", [1e-6, 0.001, 1 / 3, 1.0])
def test_any_rate_fits_any_size(rho: float) -> None:
    config = Config(rho, 40)  # 112x64 px padded: 2x3 chunks to the plane, most of them incomplete
    s, side = encode(photo()[:, :, :100, :50], 20.0, config)
    assert s.shape[1] == max(1, round(rho * 3 * 112 * 64))
    assert torch.isfinite(decode(s, side, NOTHING, config)).all()


def test_both_ends_agree_after_the_wire() -> None:
    """The receiver derives order, gains and weights from what crossed, to the last bit."""
    s, side = encode(photo(), 20.0)
    raw = tensors.side_to_wire(side).SerializeToString()
    wire = symbols_pb2.SideInformation.FromString(raw)
    told = tensors.side_from_wire(wire, "cpu", lambda *size_px: DEFAULT.layout(*size_px, SendOptions()))
    assert torch.equal(told.codes, side.codes)
    assert torch.equal(decode(s, told, NOTHING), decode(s, side, NOTHING))


def test_bfloat16_around_it_changes_nothing() -> None:
    s, side = encode(photo(), 20.0)
    with torch.autocast("cpu", torch.bfloat16):
        s_autocast, side_autocast = encode(photo(), 20.0)
        x_hat = decode(s, side, NOTHING)
    assert torch.equal(s, s_autocast)
    assert torch.equal(side.codes, side_autocast.codes)
    assert torch.equal(x_hat, decode(s, side, NOTHING))


@pytest.mark.parametrize("level", [0.0, 128 / 255, 1.0])
def test_a_plain_image_needs_no_symbols(level: float) -> None:
    """The mean colour says it all, and the receiver knows: no noise reaches it, whatever else is in the batch."""
    x = torch.cat([torch.full_like(photo(), level), photo()])
    s, side = encode(x, 0.0)
    assert torch.equal(s[0], torch.ones_like(s[0]))
    noise = torch.randn(s.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decode(s + noise, side, torch.ones(2))[0], x[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("rho", "chunk_size", "name"),
    [(0.0, 32, "rho"), (1.01, 32, "rho"), (math.nan, 32, "rho"), (0.25, 7, "chunk_size"), (0.25, 4097, "chunk_size")],
)
def test_a_config_out_of_range_names_the_field(rho: float, chunk_size: int, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        Config(rho, chunk_size)
