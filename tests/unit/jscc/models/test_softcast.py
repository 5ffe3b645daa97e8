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

from jscc.data import samples
from jscc.framing import frame
from jscc.images import read_image
from jscc.models import softcast
from jscc.models.softcast import Config, ReceiveOptions, Receiver, SendOptions, Transmitter
from jscc.signals import ChannelState, Side

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


def left_by_header(x: Tensor, side: Side, config: Config = DEFAULT) -> tuple[int, float]:
    """Return how many channel uses the header leaves, and by how much noise grows as it takes power."""
    air = frame.left_to_method(config.layout(x.shape[2], x.shape[3], SendOptions()), side)
    gain, uses = air.gain, air.uses
    return int(uses[0]), float(gain[0]) ** -2


def mean_squared_error(x: Tensor, snr_db: float, told_db: float | None = None, config: Config = DEFAULT) -> float:
    """Return the error per sample after AWGN of snr_db, while the transmitter is told told_db, of what is sent beside a
    header that arrives."""
    s, side = encode(x, snr_db if told_db is None else told_db, config)
    noise_power = torch.tensor([10 ** (-snr_db / 10) * left_by_header(x, side, config)[1]])
    y = s + noise_power.sqrt() * torch.randn(s.shape, generator=torch.Generator().manual_seed(0))
    return float((decode(y, side, noise_power, config) - x).square().mean())


def test_a_symbol_that_is_all_noise_counts_as_nothing() -> None:
    """The LMMSE estimate is 0 where the noise is infinite, whatever arrived, and everywhere else what it was."""
    s, side = encode(photo(), 10.0)
    lost = torch.rand(s.shape, generator=torch.Generator().manual_seed(1)) < 0.1
    found = decode(torch.where(lost, 3.0, s), side, torch.where(lost, 1e12, 0.1))
    expected = decode(torch.where(lost, 0.0, s), side, torch.tensor([0.1]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def db(ratio: float) -> float:
    return 10 * math.log10(ratio)


def closed_form(x: Doubles, noise: float, sent: int, side: int) -> float:
    """Return the mean squared error of the optimal linear code for the true energies of the chunks of x [3, H, W].

    Sent coefficients of variance l with power p leave l s2 / (p + s2), the others l; p = sqrt(s2 l / mu) - s2 where
    that is positive, and the mean of p over the channel uses is 1.
    """
    height, width = x.shape[1:]
    spectrum = dctn(x - x.mean(axis=(1, 2), keepdims=True), norm="ortho")
    energy = (spectrum**2).reshape(3, height // side, side, width // side, side).mean(axis=(2, 4)).ravel()
    energy = np.repeat(np.sort(energy)[::-1], side * side)

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
    [(0.0, 0.25, 32), (10.0, 0.25, 32), (20.0, 0.25, 32), (10.0, 0.25, 16), (10.0, 0.0625, 32), (10.0, 0.5, 64)],
)
def test_a_photo_crosses_the_link_as_well_as_the_closed_form_says(snr_db: float, rho: float, side: int) -> None:
    """In the channel uses and the power that the header leaves, of which the first are nearly all."""
    config = Config(rho, side)
    uses, more_noise = left_by_header(photo(), encode(photo(), snr_db, config)[1], config)
    assert 0.7 < uses / (rho * photo().numel()) < 1
    expected = closed_form(photo()[0].double().numpy(), 10 ** (-snr_db / 10) * more_noise, uses, side)
    assert db(mean_squared_error(photo(), snr_db, config=config)) == pytest.approx(db(expected), abs=0.1)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
@pytest.mark.parametrize("rho", [0.25, 1.0])
def test_a_white_spectrum_loses_what_is_not_sent_and_the_noise(snr_db: float, rho: float) -> None:
    """Nothing to choose: power 1 leaves l s2 / (1 + s2) of what is sent. At rho 1 that is Shannon's limit.

    The energy is told as 1.19 times what it is, the nearest of 63 steps over 36 octaves; at s2 = 1 the weights that
    follow from it leave 0.5037 instead of 0.5, which is the most and 0.03 dB; noise of 49 152 coefficients the rest.
    """
    x = synthetic(np.full((3, 128, 128), 1e-3))
    uses, more_noise = left_by_header(x, encode(x, snr_db, Config(rho))[1], Config(rho))
    noise, share = 10 ** (-snr_db / 10) * more_noise, uses / x.numel()
    assert rho - 0.1 < share < rho
    expected = 1e-3 * (1 - share + share * noise / (1 + noise))
    assert db(mean_squared_error(x, snr_db, config=Config(rho))) == pytest.approx(db(expected), abs=0.08)


@pytest.mark.parametrize(("snr_db", "weak_is_served"), [(0.0, False), (10.0, True)])
def test_power_is_shared_by_water_filling(snr_db: float, weak_is_served: bool) -> None:
    """Half of the coefficients have 16 times the variance of the others; the powers are worked out by hand.

    Of n uses n1 are of the strong half and n2 of the weak one. With both served, sqrt(l1) = 4 sqrt(l2) and
    n1 p1 + n2 p2 = n give L = level sqrt(l2) = n (1 + s2) / (4 n1 + n2), p1 = 4 L - s2 and p2 = L - s2. At 0 dB that
    L is below s2: the weak half gets nothing. Variances are told to half a step of 36/63 octaves, which moves L by a
    tenth at most.
    """
    config, x = Config(rho=1.0), synthetic(two_levels())
    s, side = encode(x, snr_db, config)
    uses, more_noise = left_by_header(x, side, config)
    noise, first = 10 ** (-snr_db / 10) * more_noise, x.numel() // 2
    second = uses - first
    level = uses * (1 + noise) / (4 * first + second)
    strong, weak = (4 * level - noise, level - noise) if weak_is_served else (uses / first, 0.0)
    assert (level > noise) == weak_is_served
    error = 16e-4 * noise / (strong + noise) * first + 1e-4 * noise / (weak + noise) * second
    expected = (error + 1e-4 * (x.numel() - uses)) / x.numel()
    assert db(mean_squared_error(x, snr_db, config=config)) == pytest.approx(db(expected), abs=0.05)
    powers = [float(part.square().mean()) for part in (s[0, :first], s[0, first:uses])]
    assert powers == pytest.approx([strong, weak], abs=0.1 * level)


def two_levels() -> Doubles:
    variance = np.full((3, 128, 128), 1e-4)
    variance[:, :64] = 16e-4
    return variance


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
    # rho * 3 H W of the image padded to 16 px; four codes and one for each begun 32x32 chunk of the three planes. Small
    # images take 1280 symbols and 48 for each chunk, 1424 and 1568, so that there is room for the header.
    [(1, 1, 1424, 7), (17, 33, 1568, 10), (4096, 8, 49152, 388), (512, 768, 294912, 1156)],
)
def test_cost_of_an_image(height_px: int, width_px: int, symbols: int, codes: int) -> None:
    x = torch.rand(2, 3, height_px, width_px, generator=torch.Generator().manual_seed(0))
    s, side = encode(x, 10.0)
    layout = DEFAULT.layout(height_px, width_px, SendOptions())
    assert (layout.channel_uses, layout.code_count, layout.code_bits) == (symbols, codes, 8)
    assert s.shape == (2, layout.slots)
    assert side.codes.shape == (2, codes)
    uses = frame.left_to_method(layout, side).uses
    torch.testing.assert_close(s.double().square().sum(dim=1) / uses, torch.ones(2).double(), atol=1e-5, rtol=0)
    assert decode(s, side, torch.zeros(2)).shape == x.shape


@pytest.mark.parametrize("rho", [1e-6, 0.001, 1 / 3, 1.0])
def test_any_rate_fits_any_size(rho: float) -> None:
    config = Config(rho, 40)  # 112x64 px padded: 2x3 chunks to the plane, most of them incomplete
    s, side = encode(photo()[:, :, :100, :50], 20.0, config)
    channel_uses = max(round(rho * 3 * 112 * 64), 1280 + 48 * 3 * 6)
    assert config.layout(100, 50, SendOptions()).channel_uses == channel_uses
    assert s.shape[1] == channel_uses - 128  # one word
    assert torch.isfinite(decode(s, side, NOTHING, config)).all()


def test_both_ends_agree_after_the_air() -> None:
    """The receiver derives order, gains and weights from what crossed, to the last bit."""
    size_px, snr_db = (256, 384), torch.tensor([20.0])
    sent = Transmitter(DEFAULT).send(photo(), snr_db, SendOptions()).symbols
    y = sent + 0.1 * torch.randn(sent.shape, generator=torch.Generator().manual_seed(0))
    receiver, state = Receiver(DEFAULT), ChannelState(torch.tensor([0.01]))
    layout = DEFAULT.layout(*size_px, SendOptions())
    told = frame.receive(layout, y, state, size_px, lambda body: receiver.read(body, size_px)).side
    s, side = encode(photo(), 20.0)
    assert torch.equal(told.codes, side.codes)
    assert torch.equal(decode(s, told, NOTHING), decode(s, side, NOTHING))


@pytest.mark.parametrize(("rows", "columns"), [(3, 1), (3, 7), (48, 24)])
def test_energies_come_back_from_their_bytes(rows: int, columns: int) -> None:
    """Whatever they are: flat, smooth, or as wild as 6 bits can be."""
    generator = np.random.default_rng(0)
    wild = generator.integers(0, 64, (rows, columns))
    flat = np.full((rows, columns), 63)
    smooth = np.clip(40 + generator.integers(-1, 2, (rows, columns)).cumsum(axis=1), 0, 63)
    for energies in (wild, flat, smooth, 0 * flat):
        assert softcast._read(softcast._write(energies), rows, columns) == energies.ravel().tolist()


def test_smooth_energies_take_few_bits() -> None:
    """Steps of -1, 0 and 1 with the shares that are expected of them: about their entropy.

    At counts of 380 to 240 to 240 thousand and 113 thousand for all else, a step costs at most
    log2(973 / 240) = 2.02 bits.
    """
    steps = np.random.default_rng(0).choice([-1, 0, 1], (60, 40), p=[0.28, 0.44, 0.28])
    energies = np.clip(40 + steps.cumsum(axis=1), 20, 60)
    information = -np.log2([0.28, 0.44, 0.28]) @ [0.28, 0.44, 0.28]
    assert information < 8 * len(softcast._write(energies)) / energies.size < 2.1


def test_bytes_that_tell_no_energies_are_refused() -> None:
    """Differences whose sum leaves 0..63."""
    rising = softcast._write(np.array([[63, 63, 63]]))
    told = softcast.bits.encode([(np.array([63 + 23, 63 + 1, 63], np.int32), softcast._counts())])  # 63, 64, 64
    assert softcast._read(rising, 1, 3) == [63, 63, 63]
    with pytest.raises(ValueError, match=r"^energies of code 63 to 64, expected 0\.\.63$"):
        softcast._read(told, 1, 3)
    with pytest.raises(ValueError, match=r"^a body of 3 bytes, the shortest has 4$"):
        Receiver(DEFAULT).read(b"abc", (16, 16))


def test_a_header_that_misleads_is_a_lost_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum misses one error in 2^32; what cannot be is lost too, and nothing is raised."""
    sent = Transmitter(DEFAULT).send(photo(), torch.tensor([20.0]), SendOptions()).symbols
    receiver, layout = Receiver(DEFAULT), DEFAULT.layout(256, 384, SendOptions())

    def refuse(data: bytes, rows: int, columns: int) -> list[int]:
        raise ValueError("energies of code -1 to 3, expected 0..63")

    monkeypatch.setattr(softcast, "_read", refuse)
    x_hat, lost = receiver.receive(sent, ChannelState(torch.tensor([0.01])), layout, (256, 384), ReceiveOptions())
    assert lost == ("header",)
    colour = photo().mean((2, 3))[:, :, None, None]  # red and blue in 4 bits, green in 5
    assert ((x_hat - colour).abs() <= torch.tensor([1 / 30, 1 / 62, 1 / 30])[:, None, None] + 1e-6).all()


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
    uses, _ = left_by_header(x, side)
    assert torch.equal(s[0, :uses], torch.ones(uses))
    assert not s[0, uses:].any()
    noise = torch.randn(s.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decode(s + noise, side, torch.ones(2))[0], x[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("rho", "chunk_size", "name"),
    [(0.0, 32, "rho"), (1.01, 32, "rho"), (math.nan, 32, "rho"), (0.25, 7, "chunk_size"), (0.25, 4097, "chunk_size")],
)
def test_a_config_out_of_range_names_the_field(rho: float, chunk_size: int, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        Config(rho, chunk_size)
