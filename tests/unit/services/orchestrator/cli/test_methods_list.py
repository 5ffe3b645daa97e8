"""What `jscc-link methods` says without a link: the same as the checkpoints hold."""

import ast
import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from jscc import checkpoints, models
from services.orchestrator.cli import methods


def test_a_checkpoint_is_listed_with_its_rate_and_size(tiny_checkpoints: Path) -> None:
    (listed,) = methods.of_checkpoints(tiny_checkpoints, lambda _line: None)
    (card,) = checkpoints.cards(tiny_checkpoints)
    halves = [checkpoints.load(tiny_checkpoints, card, half) for half in ("transmitter", "receiver")]
    assert (listed.name, listed.method, listed.digest) == ("deepjscc", "deepjscc", card.digest)
    assert listed.rho == (48 + 128 / (32 * 48)) / (3 * 16 * 16)  # 48 channels at 1/16 of 512x768 px, and one word
    assert listed.parameters == sum(item.numel() for half in halves for item in half.parameters())
    assert listed.kodak_psnr_db is None
    assert listed.is_default


def test_the_default_is_the_best_of_the_highest_rate(tiny_checkpoints: Path, tmp_path: Path) -> None:
    card = json.loads((tiny_checkpoints / "deepjscc.json").read_text())
    for name, psnr_db in (("a", None), ("b", 30.0), ("c", 31.0), ("d", 31.0)):
        kodak = [] if psnr_db is None else [{"snr_db": 0.0, "psnr_db": psnr_db}]
        (tmp_path / f"{name}.json").write_text(json.dumps({**card, "name": name, "kodak": kodak}))
    listed = methods.of_checkpoints(tmp_path, lambda _line: None)
    assert [item.name for item in listed if item.is_default] == ["c"]
    assert [item.kodak_psnr_db for item in listed] == [None, 30.0, 31.0, 31.0]


def test_what_cannot_be_built_is_left_out_with_a_word(tiny_checkpoints: Path, tmp_path: Path) -> None:
    for file in tiny_checkpoints.iterdir():
        shutil.copy(file, tmp_path)
    card = json.loads((tmp_path / "deepjscc.json").read_text())
    (tmp_path / "later.json").write_text(json.dumps({**card, "name": "later", "method": "telepathy"}))
    (tmp_path / "wrong.json").write_text(json.dumps({**card, "name": "wrong", "config": {"latent_channels": -1}}))
    said: list[str] = []
    assert [item.name for item in methods.of_checkpoints(tmp_path, said.append)] == ["deepjscc"]
    assert [line.split(":")[0] for line in said] == ["later", "wrong"]


@pytest.mark.parametrize("name", models.names())
def test_every_option_has_a_meaning(name: str) -> None:
    method = models.load(name)
    kinds = (method.send_options_type, method.receive_options_type)
    options = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    said = methods.meanings(name)
    assert "header_margin_db" in options <= set(said)
    assert all(said[option] for option in options)


def test_a_meaning_is_what_the_code_says() -> None:
    source = (Path(models.__file__).parent / "diffusion.py").read_text()
    (options,) = [node for node in ast.parse(source).body if getattr(node, "name", "").endswith("Options")]
    assert isinstance(options, ast.ClassDef)
    said = methods.meanings("diffusion")
    assert " ".join(said["seed"].split()) in " ".join((ast.get_docstring(options) or "").split())


@pytest.mark.parametrize("name", ["telepathy", "../config", "", "a/b"])
def test_a_method_that_is_not_here_has_no_meanings(name: str) -> None:
    assert methods.meanings(name) == {}
