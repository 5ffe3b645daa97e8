"""Weights and cards: what is written comes back, each half alone; what is damaged or does not fit is refused."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from jscc import checkpoints
from jscc.checkpoints import Card, CheckpointError
from jscc.models import UnknownMethodError, deepjscc

CONFIG = deepjscc.Config(stage_channels=(2, 3, 4, 5), latent_channels=6)


def halves(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return deepjscc.Transmitter(CONFIG), deepjscc.Receiver(CONFIG)


def card(**changes: Any) -> Card:
    return Card(
        **{
            "name": "small",
            "method": "deepjscc",
            "digest": "",
            "transmitter_digest": "",
            "config": dataclasses.asdict(CONFIG),
            **changes,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoints.save(tmp_path / "weights", card(), *halves())
    return tmp_path / "weights"


def read(folder: Path) -> Card:
    return checkpoints.read_card(folder / "small.json")


def rewrite_card(folder: Path, **changes: Any) -> Card:
    """Change fields of the card file by hand, without the library."""
    path = folder / "small.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return checkpoints.read_card(path)


def rewrite_weights(folder: Path, raw: bytes) -> Card:
    """Replace the weights file and let the card agree with its digest."""
    (folder / "small.safetensors").write_bytes(raw)
    return rewrite_card(folder, digest=hashlib.sha256(raw).hexdigest()[:16])


def test_a_card_says_what_figures_call_it_and_its_family(folder: Path) -> None:
    assert (read(folder).label, read(folder).family) == ("small", "learned")
    named = rewrite_card(folder, label="A small one", family="digital")
    assert (named.label, named.family) == ("A small one", "digital")
    older = {key: value for key, value in json.loads((folder / "small.json").read_text()).items() if key != "label"}
    (folder / "small.json").write_text(json.dumps(older))
    assert read(folder).label == "small"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "magic"}, r"small\.json: family: unknown family 'magic' \(known: learned, analog, digital\)"),
        ({"label": "x" * 61}, r"small\.json: label: 61 characters, the limit is 60"),
    ],
)
def test_a_card_of_another_family_or_with_a_long_label_is_refused(
    folder: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        rewrite_card(folder, **changes)


@pytest.mark.parametrize("half", ["transmitter", "receiver"])
def test_both_halves_come_back_at_half_precision(folder: Path, half: checkpoints.Half) -> None:
    """Rounding to float16 errs by 2^-11 of the value, or by 2^-25 below its smallest normal number."""
    original = dict(zip(("transmitter", "receiver"), halves(), strict=True))[half]
    loaded = checkpoints.load(folder, read(folder), half)
    assert not loaded.training
    expected, got = original.state_dict(), loaded.state_dict()
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype == torch.float32
        torch.testing.assert_close(got[name], tensor, rtol=2**-11, atol=2**-25)
    assert any(tensor.std() > 0.01 for tensor in expected.values() if tensor.numel() > 9)


def test_saving_what_was_loaded_changes_no_byte(folder: Path, tmp_path: Path) -> None:
    first = read(folder)
    loaded = [checkpoints.load(folder, first, half) for half in ("transmitter", "receiver")]
    again = checkpoints.save(tmp_path / "again", card(), *loaded)
    assert again.digest == first.digest
    assert (tmp_path / "again" / "small.safetensors").read_bytes() == (folder / "small.safetensors").read_bytes()


def test_the_digest_is_that_of_the_file(folder: Path) -> None:
    raw = (folder / "small.safetensors").read_bytes()
    assert read(folder).digest == hashlib.sha256(raw).hexdigest()[:16]
    assert checkpoints.digest_of(b"") == "e3b0c44298fc1c14"  # SHA-256 of nothing, FIPS 180-4


def test_equal_weights_always_get_the_same_digest(tmp_path: Path) -> None:
    """However often they are written; two orders of the file's metadata would show but once in 2^15 runs."""
    assert len({checkpoints.save(tmp_path, card(), *halves()).digest for _ in range(16)}) == 1


def test_the_digest_names_weights_and_configuration(tmp_path: Path) -> None:
    changed_config = {**dataclasses.asdict(CONFIG), "note": "other"}
    digests = {
        checkpoints.save(tmp_path, card(), *halves()).digest,
        checkpoints.save(tmp_path, card(), *halves(1)).digest,
        checkpoints.save(tmp_path, card(config=changed_config), *halves()).digest,
        checkpoints.save(tmp_path, card(method="other"), *halves()).digest,
    }
    assert len(digests) == 4


def test_a_receiver_of_another_methods_symbols_keeps_that_digest(tmp_path: Path) -> None:
    own = checkpoints.save(tmp_path, card(), *halves())
    assert own.transmitter_digest == own.digest
    other = checkpoints.save(tmp_path, card(name="listener", transmitter_digest=own.digest), *halves(1))
    assert other.transmitter_digest == own.digest != other.digest


def test_cards_come_back_whole_and_by_name(tmp_path: Path) -> None:
    training = {"steps": 3, "data": ["a", "b"], "recipe": {"lr": 1e-4}}
    kodak = ({"snr_db": -5.0, "psnr_db": 25.5}, {"snr_db": 0.0, "psnr_db": None})
    written = checkpoints.save(tmp_path, card(name="z", training=training, kodak=kodak), *halves())
    checkpoints.save(tmp_path, card(name="a"), *halves())
    first, second = checkpoints.cards(tmp_path)
    assert (first.name, second.name) == ("a", "z")
    assert (first.kodak_psnr_db, second.kodak_psnr_db) == (0.0, 25.5)
    assert second == dataclasses.replace(written, config=second.config)
    assert checkpoints.config_of(second) == CONFIG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.safetensors", "z.json", "z.safetensors"]


@pytest.mark.parametrize(("half", "other"), [("transmitter", "receiver"), ("receiver", "transmitter")])
def test_each_half_loads_alone(folder: Path, half: checkpoints.Half, other: checkpoints.Half) -> None:
    tensors = load_file(folder / "small.safetensors")
    expected = checkpoints.load(folder, read(folder), half).state_dict()
    save_file({name: tensor for name, tensor in tensors.items() if name.startswith(half)}, folder / "cut")
    alone = rewrite_weights(folder, (folder / "cut").read_bytes())
    got = checkpoints.load(folder, alone, half).state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    with pytest.raises(CheckpointError, match=r"small\.safetensors"):
        checkpoints.load(folder, alone, other)


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_damaged_file_is_refused_with_both_digests(folder: Path, position: int) -> None:
    path = folder / "small.safetensors"
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)
    found, said = hashlib.sha256(raw).hexdigest()[:16], read(folder).digest
    assert found != said
    with pytest.raises(CheckpointError, match=rf"small\.safetensors: digest {found} but the card says {said}"):
        checkpoints.load(folder, read(folder), "transmitter")


def test_a_cut_off_file_is_refused(folder: Path) -> None:
    path = folder / "small.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="digest"):
        checkpoints.load(folder, read(folder), "receiver")


def test_a_file_of_another_format_is_refused_even_if_its_card_agrees(folder: Path) -> None:
    wrong = rewrite_weights(folder, b"this is no safetensors file, but its digest is right")
    with pytest.raises(CheckpointError, match=r"small\.safetensors"):
        checkpoints.load(folder, wrong, "transmitter")


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "small.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"small\.safetensors: No such file or directory"):
        checkpoints.load(folder, read(folder), "transmitter")


def test_the_bytes_that_were_checked_are_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever replaces the file after it was read changes nothing."""
    path, expected = folder / "small.safetensors", checkpoints.load(folder, read(folder), "receiver").state_dict()
    read_bytes = Path.read_bytes

    def read_and_replace(self: Path) -> bytes:
        raw = read_bytes(self)
        self.write_bytes(b"another file by now")
        return raw

    monkeypatch.setattr(Path, "read_bytes", read_and_replace)
    got = checkpoints.load(folder, read(folder), "receiver").state_dict()
    assert path.stat().st_size == len(b"another file by now")
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


def test_a_folder_without_cards_is_named(tmp_path: Path) -> None:
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match=rf"no model card \(\*\.json\) in {empty}"):
            checkpoints.cards(empty)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("{", "card .*small.json: "),
        ("[]", r"card .*small.json: "),
        ("\xff", r"card .*small.json: "),
        ('{"name": "small"}', "missing key 'method'"),
        ('{"nam": "small"}', "unknown key 'nam'"),
        ('{"name": 3}', "name: expected text, got 3"),
    ],
)
def test_a_card_that_cannot_be_read_is_named_with_the_field(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "small.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=words) as refusal:
        checkpoints.read_card(path)
    assert str(path) in str(refusal.value)


def test_a_configuration_that_is_not_the_weights_own_is_refused(folder: Path) -> None:
    wrong = rewrite_card(folder, config={"stage_channels": [2, 3, 4, 5], "latent_channels": 7})
    with pytest.raises(CheckpointError, match=r"small\.safetensors: its method or configuration is not the card's"):
        checkpoints.load(folder, wrong, "receiver")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"latent": 7}, "card of small: unknown key 'latent'"),
        ({"latent_channels": "7"}, "card of small: latent_channels: expected a whole number"),
        ({"latent_channels": 0}, r"card of small: latent_channels must be in 1\.\.768, got 0"),
        ({"stage_channels": [1, 2, 3]}, "card of small: stage_channels must be 4 positive numbers"),
    ],
)
def test_a_configuration_that_the_method_refuses_is_named(folder: Path, values: dict[str, Any], words: str) -> None:
    wrong = rewrite_card(folder, config=values)
    with pytest.raises(ValueError, match=words):
        checkpoints.config_of(wrong)
    with pytest.raises(ValueError, match=words):
        checkpoints.load(folder, wrong, "transmitter")


def test_an_unknown_method_is_named(folder: Path) -> None:
    with pytest.raises(UnknownMethodError, match=r"'telepathy' \(known: .*deepjscc"):
        checkpoints.load(folder, rewrite_card(folder, method="telepathy"), "transmitter")


def test_writing_only_the_card_leaves_the_weights(folder: Path) -> None:
    before = (folder / "small.safetensors").read_bytes()
    checkpoints.write_card(folder, dataclasses.replace(read(folder), kodak=({"snr_db": 0.0},)))
    assert read(folder).kodak == ({"snr_db": 0.0},)
    assert (folder / "small.safetensors").read_bytes() == before
    checkpoints.load(folder, read(folder), "receiver")
