"""The unrolled receiver: what it is before training is known in closed form."""

from itertools import pairwise

import pytest
import torch
from factories import REPOSITORY
from torch import Tensor

from jscc import cancel, config
from jscc.cancel import AbandonedError, Cancellation
from jscc.draws import Draws
from jscc.framing.frame import Arrived
from jscc.models._contract import Score, SendOptions
from jscc.models.model_based import Config, ReceiveOptions, Receiver, Transmitter
from jscc.signals import ChannelState, Side, dequantise_log2, noise_variance

CONFIGS = REPOSITORY / "configs"


def images(count: int = 4) -> list[Tensor]:
    """Return smooth random images: low-frequency noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(72, 72), mode="bicubic", align_corners=True)
    grain = 0.05 * torch.randn(fine.shape, generator=generator)
    return [(image.clamp(0, 1) * 255).byte() for image in fine + grain]


@pytest.fixture(scope="module")
def started() -> tuple[Transmitter, Receiver]:
    torch.manual_seed(0)
    chosen = Config(stage_channels=(12, 48, 48), latent_channels=12, iterations=4, denoiser_channels=8)
    transmitter, receiver = Transmitter(chosen), Receiver(chosen)
    receiver.initialise(transmitter, images())
    return transmitter.eval(), receiver.eval()


SCALE_CODE = 128.0
SCALE = dequantise_log2(torch.tensor(SCALE_CODE), -8.0, 8.0, 8)


def side_of(side_px: int = 64) -> Side:
    x = torch.zeros(1, 3, side_px, side_px)
    return Side.told(x, torch.zeros(1), 0, torch.full((1, 1), SCALE_CODE), 8)


@pytest.mark.parametrize("name", ["model_based", "model_based_12"])
def test_the_shipped_recipes_have_the_papers_size(name: str) -> None:
    """2.6 million parameters within 5 %, denoisers of about 50 thousand each, and the rates that the paper mixes up."""
    chosen = config.from_mapping(Config, config.load_toml(CONFIGS / f"{name}.toml")["method"]["config"], name)
    transmitter, receiver = Transmitter(chosen), Receiver(chosen)
    total = sum(parameter.numel() for half in (transmitter, receiver) for parameter in half.parameters())
    assert total == pytest.approx(2.6e6, rel=0.05)
    assert len(receiver.denoisers) == 6
    for denoiser in receiver.denoisers:
        assert sum(parameter.numel() for parameter in denoiser.parameters()) == pytest.approx(5e4, rel=0.1)
    layout = chosen.layout(512, 768, SendOptions())
    rho = {"model_based": 0.25, "model_based_12": 0.0625}[name]
    assert layout.slots / (3 * 512 * 768) == rho
    assert rho < layout.channel_uses / (3 * 512 * 768) < 1.005 * rho  # the header comes on top


@pytest.mark.parametrize("snr_db", [-5.0, 10.0])
def test_untrained_iterations_are_the_lmmse_estimate(started: tuple[Transmitter, Receiver], snr_db: float) -> None:
    """With a Gaussian prior of powers p the estimate of z from y = z + n is p / (p + sigma^2) y, a fixed point."""
    _, receiver = started
    y = torch.randn(1, 12 * 8 * 8, generator=torch.Generator().manual_seed(1))
    state = ChannelState(noise_variance(torch.tensor([snr_db])))
    power = receiver.log_power(torch.tensor([snr_db])).exp()[:, :, None, None]
    expected = power / (power + state.noise_power) * SCALE * y.reshape(1, 12, 8, 8) / power.sqrt()
    for estimate in receiver._iterate(y, side_of(), state):
        torch.testing.assert_close(estimate, expected, rtol=1e-4, atol=1e-5)


def test_the_lmmse_estimate_weighs_every_symbol_by_its_own_noise(started: tuple[Transmitter, Receiver]) -> None:
    _, receiver = started
    generator = torch.Generator().manual_seed(1)
    y, noise_power = torch.randn(1, 12 * 8 * 8, generator=generator), torch.rand(1, 12 * 8 * 8, generator=generator)
    state = ChannelState(noise_power)
    power = receiver.log_power(state.snr_db).exp()[:, :, None, None]
    each = power / (power + noise_power.reshape(1, 12, 8, 8))
    expected = each * SCALE * y.reshape(1, 12, 8, 8) / power.sqrt()
    torch.testing.assert_close(receiver._iterate(y, side_of(), state)[-1], expected, rtol=1e-4, atol=1e-5)


def test_the_data_term_knows_the_noise_power(started: tuple[Transmitter, Receiver]) -> None:
    """Equal symbols, other noise: without noise they are believed as they are."""
    _, receiver = started
    y = torch.randn(1, 12 * 8 * 8, generator=torch.Generator().manual_seed(1))
    believed = receiver._iterate(y, side_of(), ChannelState(torch.zeros(1)))[0]
    amplitude = (receiver.log_power(torch.tensor([40.0])) / 2).exp()[:, :, None, None]
    torch.testing.assert_close(believed, SCALE * y.reshape(1, 12, 8, 8) / amplitude)
    doubted = receiver._iterate(y, side_of(), ChannelState(torch.ones(1)))[0]
    assert doubted.norm() < 0.8 * believed.norm()


def test_every_k_is_a_decoder_and_all_is_the_last(started: tuple[Transmitter, Receiver]) -> None:
    transmitter, receiver = started
    with torch.no_grad():
        for denoiser in receiver.denoisers:
            torch.nn.init.normal_(denoiser.last.weight, std=0.02)
        x = images(1)[0][None, :, :64, :64].float() / 255
        s, side = transmitter(x, torch.tensor([10.0]), SendOptions())
        state = ChannelState(noise_variance(torch.tensor([10.0])))
        decoded = [receiver(s, side, state, ReceiveOptions(K=k)) for k in range(1, 5)]
        assert torch.equal(receiver(s, side, state, ReceiveOptions()), decoded[-1])
        assert all(not torch.equal(a, b) for a, b in pairwise(decoded))
        for denoiser in receiver.denoisers:
            torch.nn.init.zeros_(denoiser.last.weight)


def test_more_iterations_than_there_are_is_an_error(started: tuple[Transmitter, Receiver]) -> None:
    _, receiver = started
    with pytest.raises(ValueError, match=r"options.K: 5 iterations, this checkpoint has 4"):
        receiver(torch.randn(1, 12 * 64), side_of(), ChannelState(torch.ones(1)), ReceiveOptions(K=5))
    with pytest.raises(ValueError, match=r"K must be in 0..16, got 17"):
        ReceiveOptions(K=17)


def test_iterations_end_when_nobody_waits(started: tuple[Transmitter, Receiver]) -> None:
    _, receiver = started
    caller, reached = Cancellation(), []
    hooks = [
        denoiser.register_forward_hook(lambda *_, number=number: reached.append(number) or caller.cancel())
        for number, denoiser in enumerate(receiver.denoisers)
    ]
    with cancel.working_for(caller), pytest.raises(AbandonedError):
        receiver(torch.randn(1, 12 * 64), side_of(), ChannelState(torch.ones(1)), ReceiveOptions())
    assert reached == [0]
    for hook in hooks:
        hook.remove()


def test_supervision_reaches_every_step_size(started: tuple[Transmitter, Receiver]) -> None:
    """The first step size too: the paper's start at z = y leaves it without a gradient."""
    transmitter, receiver = started
    for denoiser in receiver.denoisers:
        torch.nn.init.normal_(denoiser.last.weight, std=0.02)
    x = torch.stack(images(2))[:, :, :64, :64].float() / 255
    s, side = transmitter(x, torch.tensor([0.0, 10.0]), SendOptions())
    noise_power = noise_variance(torch.tensor([0.0, 10.0]))
    generator = torch.Generator().manual_seed(2)
    y = s + noise_power.sqrt()[:, None] * torch.randn(s.shape, generator=generator)
    receiver.zero_grad()
    scored: list[Tensor] = []

    def criterion(x_hat: Tensor, target: Tensor) -> Score:
        scored.append(x_hat)
        return Score((x_hat - target).square().mean(), {"brightness": x_hat.mean()})

    received = Arrived(y, side, ChannelState(noise_power))
    loss, x_hat, terms = receiver.objective(x, received, ReceiveOptions(), criterion, Draws(generator))
    loss.backward()  # type: ignore[no-untyped-call]
    assert len(scored) == 2
    assert not torch.equal(*scored)
    assert terms["brightness"] == x_hat.mean()  # of the last iteration, in whatever order they are scored
    assert receiver.step_size.grad is not None
    assert (receiver.step_size.grad != 0).all()
    with torch.no_grad():
        for denoiser in receiver.denoisers:
            torch.nn.init.zeros_(denoiser.last.weight)


def test_the_learned_step_sizes_can_be_asked_for(started: tuple[Transmitter, Receiver]) -> None:
    assert started[1].learned() == {"step_size": [1.0] * 4}
