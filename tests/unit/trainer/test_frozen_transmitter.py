"""A method that is only another receiver trains against a frozen transmitter and is shipped without it."""

from pathlib import Path

import factories
import pytest
import torch
from trainer_runs import DEEPJSCC, random_photos, write_recipe

from jscc import checkpoints, models
from jscc.checkpoints import Card
from jscc.models import deepjscc, diffusion
from trainer import __main__ as command_line
from trainer import evaluate, settings
from trainer.build import build, take_over

CONFIG = {"stage_channels": [4, 6, 8, 8], "latent_channels": 8}


@pytest.fixture
def heard(tmp_path: Path) -> Card:
    torch.manual_seed(0)
    chosen = deepjscc.Config((4, 6, 8, 8), 8)
    card = factories.card("heard", "deepjscc", config=CONFIG)
    return checkpoints.save(tmp_path / "shipped", card, deepjscc.Transmitter(chosen), deepjscc.Receiver(chosen))


@pytest.fixture
def recipe_file(tmp_path: Path, heard: Card, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    random_photos(tmp_path / "photos")
    return write(tmp_path, f'listens_to = "{tmp_path / "shipped" / heard.name}"')


def write(tmp_path: Path, listens_to: str) -> Path:
    return write_recipe(
        tmp_path / "tiny.toml",
        [tmp_path / "photos"],
        "diffusion",
        f"{DEEPJSCC}\nwidths = [8, 8]\nblocks = 1",
        listens_to,
        data={"batch_size": "2", "validation_photos": "1", "initialise_photos": None},
        loss={"kind": '"mse"'},
        run={"log_steps": None, "validate_minutes": None},
    )


def run(*arguments: str | Path) -> None:
    assert command_line.main([str(argument) for argument in arguments]) == 0


def test_training_leaves_the_transmitter_as_it_is_and_export_leaves_it_out(
    tmp_path: Path, recipe_file: Path, heard: Card
) -> None:
    run("train", recipe_file, "--steps", "3", "--out", tmp_path / "run")
    trained = evaluate.load_link(tmp_path / "run", torch.device("cpu"))
    transmitter = checkpoints.load(tmp_path / "shipped", heard, "transmitter")
    for name, tensor in transmitter.state_dict().items():
        assert torch.equal(tensor, trained.transmitter.state_dict()[name]), name
    fresh = build(settings.load(recipe_file).method, 0).receiver.state_dict()
    moved = [name for name, tensor in trained.receiver.state_dict().items() if not torch.equal(tensor, fresh[name])]
    assert moved
    assert all(name.startswith("network.") for name in moved)

    run("export", tmp_path / "run", "--checkpoints", tmp_path / "shipped")
    card = checkpoints.read_card(tmp_path / "shipped" / "diffusion.json")
    assert card.transmitter_digest == heard.digest != card.digest
    shipped = evaluate.load_link(tmp_path / "shipped" / "diffusion", torch.device("cpu"))
    for name, tensor in transmitter.state_dict().items():
        assert torch.equal(tensor, shipped.transmitter.state_dict()[name]), name
    with pytest.raises(checkpoints.CheckpointError):
        checkpoints.load(tmp_path / "shipped", card, "transmitter")


def test_a_run_from_shipped_weights_keeps_the_receiver_that_it_listens_to(
    tmp_path: Path, recipe_file: Path, heard: Card
) -> None:
    run("train", recipe_file, "--steps", "1", "--out", tmp_path / "run")
    run("export", tmp_path / "run", "--checkpoints", tmp_path / "shipped")
    torch.manual_seed(1)
    chosen = deepjscc.Config((4, 6, 8, 8), 8)
    checkpoints.save(tmp_path / "shipped", heard, deepjscc.Transmitter(chosen), deepjscc.Receiver(chosen))
    link = build(settings.load(recipe_file).method, 0)
    newest = {name: tensor.clone() for name, tensor in link.receiver.state_dict().items() if name.startswith("first.")}
    card = take_over(link, tmp_path / "shipped" / "diffusion")
    shipped = checkpoints.tensors(tmp_path / "shipped", card)
    for name, tensor in link.receiver.state_dict().items():
        assert torch.equal(tensor, newest[name] if name in newest else shipped[f"receiver.{name}"]), name
    assert newest


def test_a_receiver_without_its_transmitter_is_refused(tmp_path: Path, recipe_file: Path) -> None:
    run("train", recipe_file, "--steps", "1", "--out", tmp_path / "run")
    run("export", tmp_path / "run", "--checkpoints", tmp_path / "alone")
    with pytest.raises(ValueError, match="needs the transmitter of checkpoint"):
        evaluate.load_link(tmp_path / "alone" / "diffusion", torch.device("cpu"))


@pytest.mark.parametrize(
    ("listens_to", "message"),
    [
        ("", "method: listens_to: 'diffusion' needs a checkpoint of 'deepjscc'"),
        ('listens_to = "nowhere/heard"', "nowhere/heard.json"),
    ],
)
def test_a_recipe_must_say_whom_it_listens_to(
    tmp_path: Path, recipe_file: Path, listens_to: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["train", str(write(tmp_path, listens_to)), "--steps", "1", "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path, recipe_file: Path) -> None:
    softcast = models.load("softcast")
    chosen = softcast.config_type()
    halves = softcast.transmitter_type(chosen), softcast.receiver_type(chosen)
    checkpoints.save(tmp_path / "shipped", factories.card("other", "softcast"), *halves)
    recipe = settings.load(write(tmp_path, f'listens_to = "{tmp_path / "shipped" / "other"}"'))
    with pytest.raises(ValueError, match="is of 'softcast', not of 'deepjscc'"):
        build(recipe.method, 0)


def test_the_first_reconstruction_is_of_the_checkpoint_it_listens_to(recipe_file: Path, heard: Card) -> None:
    link = build(settings.load(recipe_file).method, 0)
    assert isinstance(link.receiver, diffusion.Receiver)
    expected = checkpoints.load(recipe_file.parent / "shipped", heard, "receiver")
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, link.receiver.first.state_dict()[name]), name
