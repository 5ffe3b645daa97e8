"""What every method must be. The list of methods is the folder `jscc/models` and nothing else."""

import dataclasses
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from jscc import checkpoints, config, models
from jscc.channels.awgn import Awgn
from jscc.draws import Draws
from jscc.signals import ChannelState, Layout, Side

REPOSITORY = Path(__file__).parents[2]
SIZES_PX = [(1, 1), (17, 33), (64, 48)]
RECIPES = sorted((REPOSITORY / "configs").glob("*.toml"))

every_method = pytest.mark.parametrize("name", models.names())


@cache
def halves(name: str) -> tuple[nn.Module, nn.Module]:
    """Return both halves of the default Config, with every weight moved a little.

    Fresh networks hold zeros, such as gates that do not look at the SNR yet; trained ones do not.
    """
    method = models.load(name)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        chosen = method.config_type()
        transmitter, receiver = method.transmitter_type(chosen), method.receiver_type(chosen)
    with torch.no_grad():
        for parameter in (*transmitter.parameters(), *receiver.parameters()):
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return transmitter.eval(), receiver.eval()


def batch(height_px: int, width_px: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height_px, width_px, generator=torch.Generator().manual_seed(0))


def options(name: str) -> Any:
    return models.load(name).options_type()


def add_noise(s: Tensor, snr_db: Tensor, seed: int = 2) -> tuple[Tensor, ChannelState]:
    channel = Awgn(snr_db)
    y, truth = channel.apply(s, channel.draw(s.shape, Draws(torch.Generator().manual_seed(seed))))
    return y, truth.state()


@torch.no_grad()
def send(name: str, x: Tensor, *snrs_db: float) -> tuple[Tensor, Side, Tensor]:
    transmitter, receiver = halves(name)
    snr_db = torch.tensor(snrs_db)
    s, side = transmitter(x, snr_db, options(name))
    return s, side, receiver(*received(s, side, snr_db), options(name))


def received(s: Tensor, side: Side, snr_db: Tensor) -> tuple[Tensor, Side, ChannelState]:
    y, state = add_noise(s, snr_db)
    return y, side, state


def test_there_are_methods() -> None:
    assert models.names()
    assert models.names() == sorted(set(models.names()))
    assert not [name for name in models.names() if name.startswith("_")]


@every_method
def test_a_method_is_its_four_classes(name: str) -> None:
    method = models.load(name)
    assert method.name == name
    for settings_type in (method.config_type, method.options_type):
        assert dataclasses.is_dataclass(settings_type)
        frozen = settings_type()  # every field has a default
        for field in dataclasses.fields(frozen):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(frozen, field.name, getattr(frozen, field.name))
        assert settings_type.__dataclass_params__.frozen
    assert issubclass(method.transmitter_type, nn.Module)
    assert issubclass(method.receiver_type, nn.Module)
    assert method.transmitter_method in models.names()


@every_method
def test_the_receiver_has_no_parameter_for_the_source_image(name: str) -> None:
    method = models.load(name)
    assert [*inspect.signature(method.transmitter_type.forward).parameters] == ["self", "x", "snr_db", "options"]
    assert [*inspect.signature(method.receiver_type.forward).parameters] == ["self", "y", "side", "state", "options"]


@every_method
def test_options_can_travel(name: str) -> None:
    """A request's options are whole or real numbers, switches and names, each with a default."""
    for field in dataclasses.fields(options(name)):
        assert type(getattr(options(name), field.name)) in (int, float, bool, str), field.name


@every_method
def test_a_recipe_of_the_same_name_exists(name: str) -> None:
    assert REPOSITORY / "configs" / f"{name}.toml" in RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_of_the_method_that_it_is_named_after(recipe: Path) -> None:
    table = config.load_toml(recipe)["method"]
    assert table["name"] in models.names()
    assert recipe.stem == table["name"] or recipe.stem.startswith(table["name"] + "_")
    built = config.from_mapping(models.load(table["name"]).config_type, table["config"], str(recipe))
    assert isinstance(built.layout(512, 768), Layout)


@every_method
@pytest.mark.parametrize(("height_px", "width_px"), SIZES_PX)
def test_images_of_any_size_cross_the_link(name: str, height_px: int, width_px: int) -> None:
    x = batch(height_px, width_px)
    layout = models.load(name).config_type().layout(height_px, width_px)
    s, side, x_hat = send(name, x, 0.0, 20.0)
    assert s.shape == (2, layout.channel_uses)
    assert s.dtype == torch.float32
    torch.testing.assert_close(s.square().mean(dim=1), torch.ones(2), atol=1e-4, rtol=0)
    assert (side.height_px, side.width_px) == (height_px, width_px)
    assert x_hat.shape == x.shape
    assert x_hat.dtype == torch.float32
    assert x_hat.min() >= 0
    assert x_hat.max() <= 1


@every_method
@pytest.mark.parametrize(("height_px", "width_px"), SIZES_PX)
def test_side_information_is_what_was_declared(name: str, height_px: int, width_px: int) -> None:
    layout = models.load(name).config_type().layout(height_px, width_px)
    _, side, _ = send(name, batch(height_px, width_px), 0.0, 20.0)
    assert side.codes.shape == (2, layout.code_count)
    assert side.code_bits == layout.code_bits
    assert 0 <= side.code_bits <= 16
    assert torch.equal(side.codes, side.codes.round())
    assert side.codes.numel() == 0 or (side.codes.min() >= 0 and side.codes.max() < 2**side.code_bits)
    assert side.header_bits == 12 + 12 + layout.code_count * layout.code_bits  # two sizes of 12 bits each


@every_method
def test_the_same_input_gives_the_same_output(name: str) -> None:
    x = batch(17, 33)
    torch.manual_seed(1)
    first = send(name, x, 3.0, 15.0)
    torch.manual_seed(2)
    again = send(name, x, 3.0, 15.0)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].codes, again[1].codes)
    assert torch.equal(first[2], again[2])


@every_method
def test_every_image_has_its_own_snr(name: str) -> None:
    """A row of a batch is what it would be alone; the same picture at another SNR comes out differently."""
    x = batch(17, 33, 1).expand(2, -1, -1, -1)
    transmitter, receiver = halves(name)
    snr_db = torch.tensor([-5.0, 20.0])
    with torch.no_grad():
        s, side = transmitter(x, snr_db, options(name))
        noise_power = torch.pow(10, -snr_db / 10)
        same = s[:1].expand(2, -1)
        codes = side.codes[:1].expand(2, -1)
        x_hat = receiver(same, dataclasses.replace(side, codes=codes), ChannelState(noise_power), options(name))
        for row in range(2):
            alone, told = transmitter(x[row : row + 1], snr_db[row : row + 1], options(name))
            torch.testing.assert_close(s[row : row + 1], alone, atol=1e-4, rtol=1e-4)
            assert torch.equal(side.codes[row : row + 1], told.codes)
            one = dataclasses.replace(side, codes=codes[:1])
            state = ChannelState(noise_power[row : row + 1])
            torch.testing.assert_close(
                x_hat[row : row + 1], receiver(same[:1], one, state, options(name)), atol=1e-4, rtol=1e-4
            )
    looks = [(s[0] - s[1]).abs().max() > 1e-3, (x_hat[0] - x_hat[1]).abs().max() > 1e-3]
    assert any(looks)


@every_method
def test_images_of_a_batch_do_not_mix(name: str) -> None:
    x = batch(64, 48)
    s, _, x_hat = send(name, x, 20.0, 20.0)
    changed = torch.stack([x[0], 1 - x[1]])
    s_changed, _, x_hat_changed = send(name, changed, 20.0, 20.0)
    torch.testing.assert_close(s[0], s_changed[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x_hat[0], x_hat_changed[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(s[1], s_changed[1], atol=1e-2)


@every_method
def test_the_received_symbols_matter(name: str) -> None:
    """Not only the side information and the state: noise of 0 dB changes a picture where 20 dB are told."""
    transmitter, receiver = halves(name)
    x = batch(64, 48)
    with torch.no_grad():
        s, side = transmitter(x, torch.full((2,), 20.0), options(name))
        y, state = add_noise(s, torch.zeros(2))[0], ChannelState(torch.full((2,), 0.01))
        noisy, clean = receiver(y, side, state, options(name)), receiver(s, side, state, options(name))
    assert not torch.allclose(noisy, clean, atol=1e-3)


@every_method
def test_a_received_picture_stays_within_black_and_white(name: str) -> None:
    """Whatever the air adds."""
    transmitter, receiver = halves(name)
    x, snr_db = batch(17, 33), torch.full((2,), 20.0)
    with torch.no_grad():
        s, side = transmitter(x, snr_db, options(name))
        x_hat = receiver(1000 * s, side, ChannelState(torch.full((2,), 0.01)), options(name))
    assert torch.isfinite(x_hat).all()
    assert x_hat.min() >= 0
    assert x_hat.max() <= 1


@every_method
def test_wrong_symbols_and_codes_are_refused(name: str) -> None:
    receiver = halves(name)[1]
    s, side, _ = send(name, batch(17, 33), 0.0, 0.0)
    state = ChannelState(torch.ones(2))
    with pytest.raises(ValueError, match=r"^symbols: "):
        receiver(s[:, :-1], side, state, options(name))
    with pytest.raises(ValueError, match=r"^(symbols|side\.codes): "):
        receiver(s, dataclasses.replace(side, height_px=200), state, options(name))
    extra = dataclasses.replace(side, codes=torch.zeros(2, side.codes.shape[1] + 1))
    with pytest.raises(ValueError, match=r"^side\.codes: "):
        receiver(s, extra, state, options(name))


@every_method
def test_gradients_reach_the_transmitter_through_the_channel(name: str) -> None:
    if models.load(name).transmitter_method != name:
        pytest.skip("only a receiver: another method trains its transmitter")
    transmitter, receiver = halves(name)
    if not getattr(transmitter, "differentiable", True):
        assert not [*transmitter.parameters(), *receiver.parameters()]
        pytest.skip("no gradient, and nothing that would need one")
    x, snr_db = batch(17, 33).requires_grad_(), torch.tensor([0.0, 20.0])
    try:
        transmitter.train()
        receiver.train()
        s, side = transmitter(x, snr_db, options(name))
        x_hat = receiver(*received(s, side, snr_db), options(name))
        (x_hat - x.detach()).square().mean().backward()
        assert x.grad is not None  # also of a method with nothing to train
        assert torch.isfinite(x.grad).all()
        assert x.grad.any()
        gradients = [parameter.grad for parameter in transmitter.parameters()]
        reached = [gradient for gradient in gradients if gradient is not None and gradient.any()]
        assert all(torch.isfinite(gradient).all() for gradient in reached)
        assert len(reached) >= len(gradients) / 2
    finally:
        transmitter.zero_grad(set_to_none=True)
        transmitter.eval()
        receiver.eval()


@every_method
def test_each_half_loads_alone_and_does_the_same(name: str, tmp_path: Path) -> None:
    method = models.load(name)
    card = checkpoints.Card(name, name, "", "", dataclasses.asdict(method.config_type()))
    card = checkpoints.save(tmp_path, card, *halves(name))
    tensors = load_file(tmp_path / f"{name}.safetensors")
    loaded: dict[str, nn.Module] = {}
    for half in ("transmitter", "receiver"):
        folder = tmp_path / half
        folder.mkdir()
        only = {key: tensor for key, tensor in tensors.items() if key.startswith(half + ".")}
        save_file(only, folder / f"{name}.safetensors")
        digest = checkpoints.digest_of((folder / f"{name}.safetensors").read_bytes())
        loaded[half] = checkpoints.load(folder, dataclasses.replace(card, digest=digest), half)  # type: ignore[arg-type]
    assert checkpoints.config_of(card) == method.config_type()
    x, snr_db = batch(17, 33), torch.tensor([0.0, 20.0])
    s, side, x_hat = send(name, x, 0.0, 20.0)
    with torch.no_grad():
        s_loaded, _ = loaded["transmitter"](x, snr_db, options(name))
        x_hat_loaded = loaded["receiver"](*received(s, side, snr_db), options(name))
    # Weights are rounded to 11 bits: symbols of power 1 and pixels in [0, 1] move by far less than noise of 20 dB.
    assert (s - s_loaded).square().mean().sqrt() < 0.05
    assert (x_hat - x_hat_loaded).square().mean().sqrt() < 0.02
