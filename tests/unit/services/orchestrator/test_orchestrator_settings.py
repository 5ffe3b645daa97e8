"""The orchestrator's addresses are checked before it waits for anyone."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.orchestrator.settings import OrchestratorSettings


def test_addresses_are_taken_without_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODER_ADDRESS", " encoder:50051 ")
    monkeypatch.setenv("DECODER_ADDRESS", "decoder:50051, [::1]:2")
    settings = OrchestratorSettings()
    assert (settings.encoder_address, settings.decoder_address) == ("encoder:50051", "decoder:50051,[::1]:2")


@pytest.mark.parametrize("name", ["ENCODER_ADDRESS", "CHANNEL_ADDRESS", "DECODER_ADDRESS"])
@pytest.mark.parametrize("text", ["foo", "x:0", "x:99999", "::1:5", "a b:1", ""])
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ValidationError, match="is no address"):
        OrchestratorSettings()


def test_the_token_is_told_to_the_server_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = "correct-horse-battery"
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", token)
    settings = OrchestratorSettings()
    assert settings.binding().token == token
    assert token not in f"{settings!r} {settings.in_force()} {settings.binding()!r}"
    monkeypatch.delenv("ORCHESTRATOR_TOKEN")
    assert OrchestratorSettings().binding().token == ""
    (tmp_path / "token").write_text(f"{token}\n")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN_FILE", str(tmp_path / "token"))
    assert OrchestratorSettings().binding().token == token
