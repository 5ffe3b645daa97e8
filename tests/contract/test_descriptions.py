"""What methods say of themselves for others to use: option defaults, learned values, studies."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from jscc import checkpoints, models
from jscc.limits import MAX_SNR_DB, MIN_SNR_DB
from jscc.models import Study, _contract, deepjscc
from jscc.serving.host import Host
from jscc.wire import convert
from services.orchestrator.sweep.spec import MAX_SNRS

every_method = pytest.mark.parametrize("name", models.names())


@every_method
def test_studies_are_options_that_the_method_takes(name: str) -> None:
    method = models.load(name)
    studies: tuple[Study, ...] = method.config_type().studies()
    assert isinstance(studies, tuple)
    for study in studies:
        method.options(study.options, name)
        assert 1 <= len(study.snr_db) <= MAX_SNRS
        assert all(MIN_SNR_DB <= snr_db <= MAX_SNR_DB for snr_db in study.snr_db)
        assert study.images is None or study.images >= 1
    named = [(tuple(sorted(study.options.items())), study.snr_db) for study in studies]
    assert len(set(named)) == len(named)


@every_method
def test_options_have_defaults_that_fit_the_wire(name: str) -> None:
    method = models.load(name)
    for options in (method.send_options_type(), method.receive_options_type()):
        assert convert.plain_options(convert.options_in_force(options)) == dataclasses.asdict(options)


@dataclasses.dataclass(frozen=True)
class TalkativeConfig(deepjscc.Config):
    """A Config with studies of an option that its method may have or not."""

    def studies(self) -> tuple[Study, ...]:
        """Two studies."""
        return (Study({"K": 2}, (0.0, 10.0)), Study({}, (6.5,), images=3))


@dataclasses.dataclass(frozen=True)
class TalkativeOptions(_contract.ReceiveOptions):
    """An option."""

    K: int = 4


class TalkativeReceiver(deepjscc.Receiver):
    """Tells of a learned value."""

    def learned(self) -> dict[str, list[float]]:
        """Return one value per iteration."""
        return {"step_size": [0.5, 0.25]}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkpoint of a method that says all that a method may say."""
    monkeypatch.setattr(deepjscc, "Config", TalkativeConfig)
    monkeypatch.setattr(deepjscc, "ReceiveOptions", TalkativeOptions)
    monkeypatch.setattr(deepjscc, "Receiver", TalkativeReceiver)
    chosen = TalkativeConfig(stage_channels=(12, 48, 192, 192), latent_channels=48)
    with torch.random.fork_rng(devices=[]):
        halves = deepjscc.Transmitter(chosen), deepjscc.Receiver(chosen)
    card = checkpoints.Card("talkative", "deepjscc", "", "", dataclasses.asdict(chosen), "Talkative", "digital")
    checkpoints.save(tmp_path, card, *halves)
    return tmp_path


def test_a_service_describes_options_learned_values_and_studies(folder: Path) -> None:
    (served,) = Host(folder, "receiver", "", "cpu", "float32").describe("decoder", {}).methods
    assert (served.name, served.method) == ("talkative", "deepjscc")
    assert (served.label, served.family) == ("Talkative", "digital")
    assert convert.plain_options(served.receive_options) == {"K": 4}
    assert [(item.name, list(item.values)) for item in served.learned] == [("step_size", [0.5, 0.25])]
    first, second = served.studies
    assert (convert.plain_options(first.options), list(first.snr_db), first.images) == ({"K": 2}, [0.0, 10.0], 0)
    assert (convert.plain_options(second.options), list(second.snr_db), second.images) == ({}, [6.5], 3)
    (sent,) = Host(folder, "transmitter", "", "cpu", "float32").describe("encoder", {}).methods
    assert not sent.learned


def test_a_study_of_an_option_that_is_not_there_ends_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TalkativeConfig, "studies", lambda _: (Study({"L": 2}, (0.0,)),))
    with pytest.raises(ValueError, match=r"^studies of talkative: unknown key 'L' \(known: K, header_margin_db\)$"):
        Host(folder, "receiver", "", "cpu", "float32")


@every_method
def test_learned_values_are_lists_of_numbers(name: str) -> None:
    method = models.load(name)
    for half in (method.transmitter_type, method.receiver_type):
        with torch.random.fork_rng(devices=[]):
            learned = half(method.config_type()).requires_grad_(False).learned()
        for values in learned.values():
            assert values
            assert all(isinstance(value, float) and math.isfinite(value) for value in values)
