"""The linear analog code against theory, and the network that starts as it."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jscc.channels.awgn import Awgn
from jscc.draws import Draws
from jscc.models import _linear, deepjscc
from jscc.models._contract import ReceiveOptions, SendOptions
from jscc.models._layers import ResidualBlock, SNRAttention
from jscc.models._linear import LinearCode


def code_of(*variance: float) -> LinearCode:
    return LinearCode(torch.eye(len(variance)), torch.tensor(variance), torch.zeros(3))


def powers(code: LinearCode, snr_db: Tensor) -> Tensor:
    """Return the power [n, kept] that every coefficient is sent with."""
    gain, _ = code.gains(snr_db, len(code.variance))
    return gain.double().square() * code.variance.double()


# --- the transform ---------------------------------------------------------------------------------------------------


def test_the_basis_is_orthonormal_and_sorted(smooth_images: list[Tensor]) -> None:
    code = _linear.fit(smooth_images, 8)
    torch.testing.assert_close(code.basis @ code.basis.T, torch.eye(192), atol=1e-5, rtol=0)
    assert (code.variance.diff() <= 0).all()
    assert (code.variance >= 0).all()


def test_the_fit_is_the_eigendecomposition_of_the_covariance() -> None:
    """Images of exactly one patch leave nothing to chance: numpy's covariance about the mean colour is the answer."""
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 2, 2), dtype=np.uint8)
    code = _linear.fit([torch.from_numpy(image) for image in images], 2)
    rows = images.reshape(40, 12) / 255
    mean = (images / 255).mean(axis=(0, 2, 3))
    centred = rows - np.repeat(mean, 4)
    covariance = centred.T @ centred / 40
    np.testing.assert_allclose(code.mean.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(code.variance.numpy(), np.linalg.eigvalsh(covariance)[::-1], rtol=1e-4, atol=1e-7)
    diagonal = code.basis.numpy() @ covariance @ code.basis.numpy().T
    np.testing.assert_allclose(diagonal, np.diag(code.variance.numpy()), atol=1e-6)


def test_the_fit_depends_on_its_seed_alone(smooth_images: list[Tensor]) -> None:
    torch.manual_seed(1)
    first = _linear.fit(smooth_images[:4], 4, patches_per_image=20)
    torch.manual_seed(2)
    again = _linear.fit(smooth_images[:4], 4, patches_per_image=20)
    other = _linear.fit(smooth_images[:4], 4, patches_per_image=20, seed=1)
    assert torch.equal(first.basis, again.basis)
    assert not torch.equal(first.variance, other.variance)


# --- the power -------------------------------------------------------------------------------------------------------

SPECTRUM = code_of(*(2.0**-i for i in range(24)))
GRID_DB = torch.linspace(-20, 40, 13)


def test_water_filling_spends_exactly_the_power() -> None:
    torch.testing.assert_close(powers(SPECTRUM, GRID_DB).mean(dim=1), torch.ones(13, dtype=torch.float64))


def test_water_filling_is_optimal() -> None:
    """KKT: the distortion l s2 / (p + s2) falls by l s2 / (p + s2)^2 per power, equally fast wherever p > 0.

    Where p = 0 it would fall by l / s2, more slowly.
    """
    p, lam = powers(SPECTRUM, GRID_DB), SPECTRUM.variance.double()[None, :]
    s2 = torch.pow(10.0, -GRID_DB.double() / 10)[:, None]
    slope = lam * s2 / (p + s2).square()
    for row in range(len(GRID_DB)):
        active = p[row] > 0
        level = slope[row][active]
        torch.testing.assert_close(level, level.mean().expand_as(level), rtol=1e-5, atol=0)
        assert (slope[row][~active] <= level.mean() * (1 + 1e-5)).all()
    assert (p[0] == 0).any()  # both cases occur
    assert (p[-1] > 0).all()


@pytest.mark.parametrize("snr_db", [-20.0, -3.0, 0.0, 3.0, 20.0])
def test_two_coefficients_have_a_closed_form(snr_db: float) -> None:
    """With variances 4 and 1: p = sqrt(l) c - s2, c = (2 + 2 s2) / (2 + 1); or all on the first when c <= s2."""
    s2 = 10 ** (-snr_db / 10)
    c = (2 + 2 * s2) / 3
    expected = [2 * c - s2, c - s2] if c > s2 else [2.0, 0.0]
    got = powers(code_of(4.0, 1.0), torch.tensor([snr_db]))[0]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_equal_variances_share_equally() -> None:
    gain, _ = code_of(0.25, 0.25, 0.25).gains(torch.tensor([-10.0, 30.0]), 3)
    torch.testing.assert_close(gain, torch.full((2, 3), 2.0))


def test_the_receivers_weights_are_those_of_the_lmmse_estimate() -> None:
    """E[c y] / E[y^2] = g l / (g^2 l + s2) for y = g c + n."""
    gain, weight = SPECTRUM.gains(GRID_DB, 24)
    lam, s2 = SPECTRUM.variance, torch.pow(10.0, -GRID_DB / 10)[:, None]
    torch.testing.assert_close(weight, gain * lam / (gain.square() * lam + s2), rtol=1e-4, atol=1e-7)


def test_only_the_kept_coefficients_count() -> None:
    gain, _ = SPECTRUM.gains(GRID_DB, 5)
    assert gain.shape == (13, 5)
    torch.testing.assert_close(gain, code_of(*SPECTRUM.variance[:5].tolist()).gains(GRID_DB, 5)[0])


# --- the packet ------------------------------------------------------------------------------------------------------


def hadamard_by_hand(x: Tensor) -> Tensor:
    """Map [3, p, p] to [12, p/2, p/2]: sum, columns, rows and diagonal of every 2x2 block, each over two."""
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    parts = torch.stack([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 2
    return parts.flatten(0, 1)


@pytest.mark.parametrize("channels", [1, 3, 12])
def test_a_step_is_orthonormal(channels: int) -> None:
    matrix = _linear.hadamard_step(channels).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(4 * channels))


@pytest.mark.parametrize(("patch_px", "levels"), [(2, 1), (4, 1), (4, 2), (8, 2), (16, 3)])
def test_the_packet_is_orthonormal_and_equals_its_steps(patch_px: int, levels: int) -> None:
    packet = _linear.hadamard_packet(patch_px, levels)
    torch.testing.assert_close(packet @ packet.T, torch.eye(3 * patch_px**2), atol=1e-5, rtol=0)
    patch = torch.rand(3, patch_px, patch_px, generator=torch.Generator().manual_seed(0))
    expected = patch
    for _ in range(levels):
        expected = hadamard_by_hand(expected)
    torch.testing.assert_close(patch.flatten() @ packet, expected.flatten(), atol=1e-5, rtol=0)


# --- layers that can carry it ----------------------------------------------------------------------------------------


def test_the_attention_starts_as_the_identity() -> None:
    x = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(SNRAttention(5)(x, torch.tensor([-5.0, 20.0])), x)


def test_the_attention_can_hold_any_smooth_table_of_gates() -> None:
    grid_db = torch.linspace(-20, 40, 241)
    table = torch.stack([1 / (1 + torch.pow(10, -grid_db / 10)), torch.full_like(grid_db, 1.5)], dim=1)
    attention = SNRAttention(2)
    attention.set_table(grid_db, table)
    torch.testing.assert_close(attention.gate(grid_db), table, rtol=0, atol=0.01)
    beyond = attention.gate(torch.tensor([-50.0, 90.0]))
    torch.testing.assert_close(beyond, attention.gate(torch.tensor([-20.0, 40.0])))


def test_the_residual_block_starts_as_the_identity() -> None:
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ResidualBlock(4)(x), x)


# --- the network that starts as the code -----------------------------------------------------------------------------


def fresh(config: deepjscc.Config) -> tuple[deepjscc.Transmitter, deepjscc.Receiver]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return deepjscc.Transmitter(config).eval(), deepjscc.Receiver(config).eval()


@pytest.fixture(scope="module")
def initialised(smooth_images: list[Tensor]) -> tuple[deepjscc.Transmitter, deepjscc.Receiver]:
    """The full-size model."""
    halves = fresh(deepjscc.Config())
    halves[1].initialise(halves[0], smooth_images)
    return halves


@pytest.fixture(scope="module")
def code(smooth_images: list[Tensor]) -> LinearCode:
    return _linear.fit(smooth_images, 16)


def batch(images: list[Tensor]) -> Tensor:
    return torch.stack(images).float() / 255


def coefficients(code: LinearCode, x: Tensor) -> Tensor:
    """Return [B, 768, rows, columns]: every 16x16 patch less the mean colour, in the code's basis."""
    patches = F.unfold(x - code.mean[:, None, None], 16, stride=16)
    rows, columns = x.shape[2] // 16, x.shape[3] // 16
    return torch.einsum("ij,bjp->bip", code.basis, patches).reshape(len(x), -1, rows, columns)


def psnr_db(x: Tensor, x_hat: Tensor) -> float:
    return float((-10 * (x - x_hat).square().mean(dim=(1, 2, 3)).log10()).mean())


@torch.no_grad()
def through(halves: tuple[deepjscc.Transmitter, deepjscc.Receiver], x: Tensor, snr_db: float) -> Tensor:
    told = torch.full((len(x),), snr_db)
    s, side = halves[0](x, told, SendOptions())
    channel = Awgn(told)
    y, truth = channel.apply(s, channel.draw(s.shape, Draws(torch.Generator().manual_seed(1))))
    x_hat: Tensor = halves[1](y, side, truth.state(), ReceiveOptions())
    return x_hat


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 20.0])
def test_the_transmitter_sends_the_water_filled_coefficients(
    initialised: tuple[deepjscc.Transmitter, deepjscc.Receiver],
    code: LinearCode,
    smooth_images: list[Tensor],
    snr_db: float,
) -> None:
    """The symbols are gain times coefficient, in the code's order; the gates are fitted, which may cost a tenth."""
    x = batch(smooth_images[:4])
    told = torch.full((4,), snr_db)
    with torch.no_grad():
        s, _ = initialised[0](x, told, SendOptions())
    gain, _ = code.gains(told[:1], 192)
    expected = (coefficients(code, x)[:, :192] * gain[0, :, None, None]).flatten(1)
    expected = expected / expected.square().mean(dim=1, keepdim=True).sqrt()
    error = (s - expected).square().mean(dim=1).sqrt()
    assert error.max() < 0.1  # of symbols with root mean square 1; unrelated ones would differ by 1.41


@pytest.mark.parametrize(("snr_db", "tolerance_db"), [(-5.0, 0.5), (10.0, 0.5), (20.0, 1.5)])
def test_the_link_reaches_the_quality_that_theory_promises(
    initialised: tuple[deepjscc.Transmitter, deepjscc.Receiver],
    code: LinearCode,
    smooth_images: list[Tensor],
    snr_db: float,
    tolerance_db: float,
) -> None:
    """Distortion per patch = sum of l s2 / (p + s2) over what is sent plus the variance of what is not.

    The network may do better, since its power is normalised per image, and worse by the fit of the gates, most at high
    SNR, where the gates' floor of 1/500 lets noise of unused coefficients in.
    """
    gain, _ = code.gains(torch.tensor([snr_db]), 192)
    lam, s2 = code.variance.double(), 10 ** (-snr_db / 10)
    power = gain[0].double().square() * lam[:192]
    mse = float((lam[:192] * s2 / (power + s2)).sum() + lam[192:].sum()) / 768
    x = batch(smooth_images)
    got = -10 * math.log10(float((through(initialised, x, snr_db) - x).square().mean()))
    assert got == pytest.approx(-10 * math.log10(mse), abs=tolerance_db)


def test_the_start_is_far_better_than_chance(
    initialised: tuple[deepjscc.Transmitter, deepjscc.Receiver], smooth_images: list[Tensor]
) -> None:
    x = batch(smooth_images[:2])[:, :, :32, :]
    random = psnr_db(x, through(fresh(deepjscc.Config()), x, 20.0))
    linear = psnr_db(x, through(initialised, x, 20.0))
    assert linear > random + 15
    qualities = [psnr_db(x, through(initialised, x, snr_db)) for snr_db in (-5.0, 7.5, 20.0)]
    assert all(worse + 3 < better for worse, better in itertools.pairwise(qualities))
