"""What every method must be. The list of methods is the folder `jscc/models` and nothing else."""

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_methods import (
    add_noise,
    batch,
    halves,
    in_training,
    layout_of,
    receive_options,
    received,
    rows_of,
    send,
    send_options,
    small,
    squared_error,
    through_the_air,
)
from torch import nn

from jscc import checkpoints, config, models
from jscc.draws import Draws
from jscc.framing import frame
from jscc.link import Link
from jscc.models import _contract
from jscc.models._contract import Objective
from jscc.signals import ChannelState, Layout, Side

REPOSITORY = Path(__file__).parents[2]
SIZES_PX = [(1, 1), (17, 33), (64, 48)]
RECIPES = sorted((REPOSITORY / "configs").glob("*.toml"))

every_method = pytest.mark.parametrize("name", models.names())


def test_there_are_methods() -> None:
    assert models.names()
    assert models.names() == sorted(set(models.names()))
    assert not [name for name in models.names() if name.startswith("_")]


def test_methods_are_listed_without_torch() -> None:
    listing = "import sys, jscc.models; jscc.models.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", listing], check=False).returncode == 0


@every_method
def test_a_method_is_its_five_classes(name: str) -> None:
    method = models.load(name)
    assert method.name == name
    assert issubclass(method.send_options_type, _contract.SendOptions)
    assert issubclass(method.receive_options_type, _contract.ReceiveOptions)
    assert _contract.Config in method.config_type.__mro__
    for settings_type in (method.config_type, method.send_options_type, method.receive_options_type):
        frozen = settings_type()  # every field has a default
        for field in dataclasses.fields(frozen):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(frozen, field.name, getattr(frozen, field.name))
        assert settings_type.__dataclass_params__.frozen
    assert issubclass(method.transmitter_type, _contract.Transmitter)
    assert issubclass(method.receiver_type, _contract.Receiver)
    assert method.transmitter_method in models.names()


@every_method
def test_the_receiver_has_no_parameter_for_the_source_image(name: str) -> None:
    method = models.load(name)
    sending, receiving = (
        [*inspect.signature(half.forward).parameters] for half in (method.transmitter_type, method.receiver_type)
    )
    assert sending == ["self", "x", "snr_db", "options", "grid"]
    assert receiving == ["self", "y", "side", "state", "options"]


@every_method
def test_options_can_travel_and_belong_to_one_end(name: str) -> None:
    """A request's options are whole or real numbers, switches and names, each with a default."""
    values = [dataclasses.asdict(options) for options in (send_options(name), receive_options(name))]
    for option, value in (values[0] | values[1]).items():
        assert type(value) in (int, float, bool, str), option
    assert not values[0].keys() & values[1].keys()
    assert models.load(name).options(values[0] | values[1], name) == (send_options(name), receive_options(name))
    known = ", ".join(sorted(values[0] | values[1])) or "none"
    with pytest.raises(ValueError, match=rf"^{name}: unknown key 'no_such' \(known: {known}\)$"):
        models.load(name).options({"no_such": 1}, name)


@every_method
def test_a_recipe_of_the_same_name_exists(name: str) -> None:
    assert REPOSITORY / "configs" / f"{name}.toml" in RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_of_the_method_that_it_is_named_after(recipe: Path) -> None:
    table = config.load_toml(recipe)["method"]
    assert table["name"] in models.names()
    assert recipe.stem == table["name"] or recipe.stem.startswith(table["name"] + "_")
    method = models.load(table["name"])
    built = config.from_mapping(method.config_type, table["config"], str(recipe))
    assert isinstance(built.layout(512, 768, method.send_options_type()), Layout)


@every_method
@pytest.mark.parametrize(("height_px", "width_px"), SIZES_PX)
def test_images_of_any_size_cross_the_link(name: str, height_px: int, width_px: int) -> None:
    x = batch(height_px, width_px)
    layout = layout_of(name, height_px, width_px)
    s, side, x_hat = send(name, x, 0.0, 20.0)
    assert s.shape == (2, layout.slots)
    assert s.dtype == torch.float32
    uses = frame.left_to_method(layout, side).uses
    torch.testing.assert_close(s.square().sum(dim=1) / uses, torch.ones(2), atol=2e-3, rtol=0)
    for row, used in enumerate(uses.tolist()):
        assert not s[row, used:].any()
    assert (side.height_px, side.width_px) == (height_px, width_px)
    assert x_hat.shape == x.shape
    assert x_hat.dtype == torch.float32
    assert x_hat.min() >= 0
    assert x_hat.max() <= 1


@every_method
@pytest.mark.parametrize(("height_px", "width_px"), SIZES_PX)
def test_side_information_is_what_was_declared(name: str, height_px: int, width_px: int) -> None:
    layout = layout_of(name, height_px, width_px)
    _, side, _ = send(name, batch(height_px, width_px), 0.0, 20.0)
    assert side.codes.shape == (2, layout.code_count)
    assert side.code_bits == layout.code_bits
    assert 0 <= side.code_bits <= 16
    assert torch.equal(side.codes, side.codes.round())
    assert side.codes.numel() == 0 or (side.codes.min() >= 0 and side.codes.max() < 2**side.code_bits)
    assert len(side.body) == (2 if layout.has_body else 0)
    assert side.body_bytes.tolist() == ([len(body) for body in side.body] or [0, 0])


@every_method
@pytest.mark.parametrize(("height_px", "width_px"), SIZES_PX)
def test_symbols_and_image_size_are_all_that_a_receiver_needs(name: str, height_px: int, width_px: int) -> None:
    """The header crosses the same air, in the same budget of uses and power, and nothing is lost at a told SNR."""
    x = batch(height_px, width_px)
    layout, snr_db = layout_of(name, height_px, width_px), torch.tensor([10.0, 20.0])
    with torch.no_grad():
        sent = halves(name)[0].send(x, snr_db, send_options(name))
    assert sent.symbols.shape == (2, layout.channel_uses)
    torch.testing.assert_close(sent.symbols.square().mean(dim=1), torch.ones(2), atol=2e-3, rtol=0)
    assert (sent.header_uses >= layout.channel_uses - layout.slots).all()
    assert (sent.header_share > 0).all()
    decoded = through_the_air(name, x, 10.0, 20.0)
    assert decoded.lost == ("", "") or name == "digital"  # where an image has no file that fits
    assert "header" not in decoded.lost


@every_method
def test_what_arrives_is_what_the_method_sent(name: str) -> None:
    """Without noise, symbols, codes and told SNR come out of the frame as they went in."""
    x, layout = batch(64, 48), layout_of(name, 64, 48)
    transmitter, receiver = halves(name)
    with torch.no_grad():
        s, side = transmitter(x, torch.tensor([3.0, 18.0]), send_options(name))
        sent = transmitter.send(x, torch.tensor([3.0, 18.0]), send_options(name))
        uses = frame.left_to_method(layout, side).uses
        for row, used in enumerate(uses.tolist()):
            y, state = sent.symbols[row : row + 1], ChannelState(torch.tensor([1e-6]))
            arrived = frame.receive(layout, y, state, (64, 48), lambda body: receiver.read(body, (64, 48)))
            torch.testing.assert_close(arrived.symbols[0, :used], s[row, :used], atol=1e-4, rtol=1e-4)
            told = rows_of(side, [row])
            for part in ("codes", "snr_code", "margin_code", "body_bytes"):
                assert torch.equal(getattr(arrived.side, part), getattr(told, part)), part


@every_method
def test_a_lost_header_is_a_lost_image_that_is_counted(name: str) -> None:
    """At 40 dB less than was told, every image is grey, and said to be lost."""
    transmitter, receiver = halves(name)
    x, layout = batch(64, 48), layout_of(name, 64, 48)
    with torch.no_grad():
        sent = transmitter.send(x, torch.full((2,), 10.0), send_options(name))
        y, state = add_noise(sent.symbols, torch.full((2,), -30.0))
        decoded = receiver.receive(y, state, layout, (64, 48), receive_options(name))
    assert decoded.lost == ("header", "header")
    assert torch.equal(decoded.x_hat, torch.full_like(x, 0.5))


@every_method
def test_wider_margins_stand_worse_channels(name: str) -> None:
    """3 dB below what was told, the header of 12 dB margin arrives, whatever that of none does."""
    transmitter, receiver = halves(name)
    x, layout = batch(64, 48), layout_of(name, 64, 48)
    options = dataclasses.replace(send_options(name), header_margin_db=12.0)
    with torch.no_grad():
        sent = transmitter.send(x, torch.full((2,), 10.0), options)
        y, state = add_noise(sent.symbols, torch.full((2,), 7.0))
        assert "header" not in receiver.receive(y, state, layout, (64, 48), receive_options(name)).lost


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
        s, side = transmitter(x, snr_db, send_options(name))
        noise_power = torch.pow(10, -snr_db / 10)
        same = s[:1].expand(2, -1)
        x_hat = receiver(same, rows_of(side, [0, 0]), ChannelState(noise_power), receive_options(name))
        for row in range(2):
            alone, told = transmitter(x[row : row + 1], snr_db[row : row + 1], send_options(name))
            torch.testing.assert_close(s[row : row + 1], alone, atol=1e-4, rtol=1e-4)
            assert torch.equal(side.codes[row : row + 1], told.codes)
            one = rows_of(side, [0])
            state = ChannelState(noise_power[row : row + 1])
            torch.testing.assert_close(
                x_hat[row : row + 1], receiver(same[:1], one, state, receive_options(name)), atol=1e-4, rtol=1e-4
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
        s, side = transmitter(x, torch.full((2,), 20.0), send_options(name))
        y, state = add_noise(s, torch.zeros(2))[0], ChannelState(torch.full((2,), 0.01))
        noisy, clean = receiver(y, side, state, receive_options(name)), receiver(s, side, state, receive_options(name))
    assert not torch.allclose(noisy, clean, atol=1e-3)


@every_method
def test_a_received_picture_stays_within_black_and_white(name: str) -> None:
    """Whatever the air adds."""
    transmitter, receiver = halves(name)
    x, snr_db = batch(17, 33), torch.full((2,), 20.0)
    with torch.no_grad():
        s, side = transmitter(x, snr_db, send_options(name))
        x_hat = receiver(1000 * s, side, ChannelState(torch.full((2,), 0.01)), receive_options(name))
    assert torch.isfinite(x_hat).all()
    assert x_hat.min() >= 0
    assert x_hat.max() <= 1


@every_method
def test_wrong_symbols_and_codes_are_refused(name: str) -> None:
    receiver = halves(name)[1]
    s, side, _ = send(name, batch(17, 33), 0.0, 0.0)
    state = ChannelState(torch.ones(2))
    with pytest.raises(ValueError, match=r"^symbols: "):
        receiver(s[:, :-1], side, state, receive_options(name))
    with pytest.raises(ValueError, match=r"^(symbols|side\.codes): "):
        receiver(s, dataclasses.replace(side, height_px=200), state, receive_options(name))
    extra = dataclasses.replace(side, codes=torch.zeros(2, side.codes.shape[1] + 1))
    with pytest.raises(ValueError, match=r"^side\.codes: "):
        receiver(s, extra, state, receive_options(name))


@every_method
def test_codes_of_nothing_but_zeros_can_be_received(name: str) -> None:
    """So a decoder can warm up without its transmitter."""
    layout = layout_of(name, 64, 48)
    side = Side.told(torch.zeros(1, 3, 64, 48), torch.zeros(1), 0, torch.zeros(1, layout.code_count), layout.code_bits)
    with torch.no_grad():
        x_hat = halves(name)[1](torch.zeros(1, layout.slots), side, ChannelState(torch.ones(1)), receive_options(name))
    assert x_hat.shape == (1, 3, 64, 48)
    assert torch.isfinite(x_hat).all()


@every_method
def test_noise_of_one_power_may_be_told_symbol_by_symbol(name: str) -> None:
    s, side, _ = send(name, batch(64, 48), 3.0, 15.0)
    y, side, state = received(s, side, torch.tensor([3.0, 15.0]))
    each = ChannelState(state.noise_power[:, None].repeat(1, s.shape[1]))
    with torch.no_grad():
        expected, found = (halves(name)[1](y, side, told, receive_options(name)) for told in (state, each))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@every_method
def test_gradients_reach_the_transmitter_through_the_channel(name: str) -> None:
    if models.load(name).transmitter_method != name:
        pytest.skip("only a receiver: another method trains its transmitter")
    if not halves(name)[0].differentiable:
        assert not [parameter for half in halves(name) for parameter in half.parameters()]
        pytest.skip("no gradient, and nothing that would need one")
    x, snr_db = batch(17, 33).requires_grad_(), torch.tensor([0.0, 20.0])
    with in_training(name) as (transmitter, receiver):
        s, side = transmitter(x, snr_db, send_options(name))
        x_hat = receiver(*received(s, side, snr_db), receive_options(name))
        (x_hat - x.detach()).square().mean().backward()
        assert x.grad is not None  # also of a method with nothing to train
        assert torch.isfinite(x.grad).all()
        assert x.grad.any()
        gradients = [parameter.grad for parameter in transmitter.parameters()]
        reached = [gradient for gradient in gradients if gradient is not None and gradient.any()]
        assert all(torch.isfinite(gradient).all() for gradient in reached)
        assert len(reached) >= len(gradients) / 2


@every_method
@pytest.mark.parametrize("share", [1, 2, 3])
def test_processes_that_share_a_batch_do_what_one_does(name: str, share: int) -> None:
    if not halves(name)[0].differentiable:
        pytest.skip("nothing to train")
    x, snr_db = batch(32, 32, 6), torch.linspace(-5, 20, 6)

    def part(link: Link, rows: slice) -> Objective:
        draws = Draws(torch.Generator().manual_seed(3), rows, len(x))
        return link.objective(x[rows], snr_db[rows], draws, squared_error)

    with in_training(name) as both, torch.no_grad():
        link = Link(models.load(name), *both)
        whole = part(link, slice(0, 6))
        parts = [part(link, slice(first, first + share)) for first in range(0, 6, share)]
    torch.testing.assert_close(torch.cat([it.x_hat for it in parts]), whole.x_hat, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.stack([it.loss for it in parts]).mean(), whole.loss, atol=0, rtol=1e-4)
    assert whole.terms["squared_error"] == squared_error(whole.x_hat, x).loss


@every_method
def test_each_half_loads_alone_and_does_the_same(name: str, tmp_path: Path) -> None:
    card = checkpoints.Card(name, name, "", "", dataclasses.asdict(small(name)))
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
    assert checkpoints.config_of(card) == small(name)
    x, snr_db = batch(17, 33), torch.tensor([0.0, 20.0])
    s, side, x_hat = send(name, x, 0.0, 20.0)
    with torch.no_grad():
        s_loaded, _ = loaded["transmitter"](x, snr_db, send_options(name))
        x_hat_loaded = loaded["receiver"](*received(s, side, snr_db), receive_options(name))
    # Weights are rounded to 11 bits: symbols of power 1 and pixels in [0, 1] move by far less than noise of 20 dB.
    assert (s - s_loaded).square().mean().sqrt() < 0.05
    assert (x_hat - x_hat_loaded).square().mean().sqrt() < 0.02
