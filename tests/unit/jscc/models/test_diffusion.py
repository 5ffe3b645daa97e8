"""The diffusion receiver against what its formulas promise."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jscc import cancel
from jscc.cancel import AbandonedError, Cancellation
from jscc.draws import Draws
from jscc.framing.frame import Arrived
from jscc.models import _contract, deepjscc, diffusion
from jscc.models._contract import Score
from jscc.models.diffusion import Config, ReceiveOptions, Receiver
from jscc.signals import ChannelState, Side

SMALL = Config(stage_channels=(4, 4, 4, 8), latent_channels=4, widths=(16, 16), blocks=1)


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    torch.manual_seed(0)
    built = Receiver(SMALL)
    for name, parameter in built.network.named_parameters():
        if "output" in name:
            nn.init.normal_(parameter, std=0.05)
    return built.eval()


def received(count: int = 1, side_px: int = 32) -> tuple[Tensor, Side, ChannelState]:
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(count, 4 * (side_px // 16) ** 2, generator=generator)
    return y, told(side_px, side_px, count), ChannelState(torch.full((count,), 0.5))


def told(height_px: int, width_px: int, count: int = 1) -> Side:
    nothing = torch.zeros(count, dtype=torch.long)
    return Side(
        height_px, width_px, torch.full((count, 1), 128.0), 8, nothing, nothing, nothing, torch.full((count, 3), 0.5)
    )


def test_it_listens_to_deepjscc() -> None:
    assert diffusion.Transmitter is deepjscc.Transmitter


@torch.no_grad()
def test_without_strength_or_steps_it_is_deepjsccs_receiver(receiver: Receiver) -> None:
    """Bit for bit, after taking over its weights."""
    torch.manual_seed(3)
    first = deepjscc.Receiver(SMALL).eval()
    other = Receiver(SMALL).eval()
    other.listen_to(first)
    expected = first(*received(), _contract.ReceiveOptions())
    assert torch.equal(other(*received(), ReceiveOptions(strength=0.0)), expected)
    assert torch.equal(other(*received(), ReceiveOptions(steps=0)), expected)
    assert not torch.equal(receiver(*received(), ReceiveOptions(steps=2)), expected)


@torch.no_grad()
def test_the_seed_decides_the_image(receiver: Receiver) -> None:
    one, again, other = (receiver(*received(), ReceiveOptions(seed=seed)) for seed in (7, 7, 8))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    y, side, state = received()
    both = receiver(y.expand(2, -1), side, ChannelState(state.noise_power.expand(2)), ReceiveOptions(seed=7))
    torch.testing.assert_close(both, one.expand(2, -1, -1, -1), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_sampling_with_the_true_velocity_gives_the_true_residual(receiver: Receiver, steps: int) -> None:
    """DDIM follows r_t = cos(t) r + sin(t) eps exactly when it is told v = (cos(t) r_t - r) / sin(t)."""
    generator = torch.Generator().manual_seed(5)
    residual = 0.3 * torch.randn(1, 3, 32, 32, generator=generator)

    class Oracle(nn.Module):
        down = receiver.network.down

        def forward(self, noisy: Tensor, first: Tensor, snr_db: Tensor, t: Tensor) -> Tensor:
            return (math.cos(t.item()) * noisy - residual) / math.sin(t.item())

    told = copy.deepcopy(receiver)
    told.network = Oracle()
    snr_db = torch.tensor([0.0])
    noise = torch.randn(residual.shape, generator=generator)
    sampled = told._sample(noise, torch.rand(residual.shape, generator=generator), snr_db, steps)
    torch.testing.assert_close(sampled / math.exp(diffusion.LOG_DEVIATION[0]), residual, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_image_of_any_size_comes_back_in_its_size(receiver: Receiver) -> None:
    y, _, state = received(1, 48)
    image = receiver(y, told(33, 47), state, ReceiveOptions(steps=1))
    assert image.shape == (1, 3, 33, 47)


def test_training_moves_the_refinement_only(receiver: Receiver) -> None:
    receiver.train()
    assert not receiver.first.training
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    loss, x_hat, _ = receiver.objective(
        x, Arrived(*received(2)), ReceiveOptions(), lambda a, b: Score((a - b).square().mean(), {}), Draws(generator)
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert x_hat.shape == x.shape
    assert all(parameter.grad is None for parameter in receiver.first.parameters())
    assert all(parameter.grad is not None for parameter in receiver.network.parameters())
    receiver.eval()


@pytest.mark.parametrize(
    ("height_px", "width_px", "steps", "most"),
    [(4096, 4096, 1, None), (512, 768, 50, None), (4096, 4096, 2, 1), (1024, 1024, 20, 19), (2048, 2048, 50, 4)],
)
def test_steps_times_pixels_have_a_budget(
    receiver: Receiver, height_px: int, width_px: int, steps: int, most: int | None
) -> None:
    """20 million, refused before any work: symbols of another size are not even looked at."""
    y, _, state = received()
    side = told(height_px, width_px)
    refused = rf"^options\.steps: {steps} steps of .* the limit is 20000000; .* {most} steps$"
    with pytest.raises(ValueError, match=r"^symbols: " if most is None else refused):
        receiver(y, side, state, ReceiveOptions(steps=steps))
    with pytest.raises(ValueError, match=r"^symbols: "):
        receiver(y, side, state, ReceiveOptions(steps=50, strength=0.0))


@torch.no_grad()
def test_sampling_ends_at_the_next_step_when_nobody_waits(receiver: Receiver) -> None:
    caller, steps = Cancellation(), 0

    class Leaving(nn.Module):
        down = receiver.network.down

        def forward(self, noisy: Tensor, first: Tensor, snr_db: Tensor, t: Tensor) -> Tensor:
            nonlocal steps
            steps += 1
            if steps == 3:
                caller.cancel()
            return noisy

    told = copy.deepcopy(receiver)
    told.network = Leaving()
    with cancel.working_for(caller), pytest.raises(AbandonedError):
        told(*received(), ReceiveOptions(steps=50))
    assert steps == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 51}, "steps must be in 0..50, got 51"),
        ({"strength": 1.5}, "strength must be in 0..1, got 1.5"),
        ({"seed": -1}, "seed must be in 0..2"),
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReceiveOptions(**wrong)
