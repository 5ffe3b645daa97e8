"""What a service is told about who may reach it."""

from pathlib import Path

import pytest

from jscc.wire.settings import ServiceSettings
from jscc.wire.tls import CredentialsError, TlsFiles

TLS = {"TLS_CERTIFICATE": "a.pem", "TLS_KEY": "a.key"}
VARIABLES = (*TLS, "TLS_CLIENT_CA", "TLS_CA", "PLAIN_TEXT", "REFLECTION")


def settings(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> ServiceSettings:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return ServiceSettings()


@pytest.mark.parametrize(
    ("environment", "offered"),
    [
        ({}, True),
        (TLS, False),
        (TLS | {"REFLECTION": "auto"}, False),
        (TLS | {"REFLECTION": "true"}, True),
        ({"REFLECTION": "false"}, False),
        ({"REFLECTION": "0"}, False),
    ],
)
def test_under_tls_reflection_is_offered_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], offered: bool
) -> None:
    assert settings(monkeypatch, environment).binding().reflection is offered


def test_the_files_of_a_server_and_how_far_plain_text_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = settings(monkeypatch, dict.fromkeys(TLS, "") | {"TLS_CLIENT_CA": "", "TLS_CA": "ca.pem"}).binding()
    assert (plain.files, plain.trusts_network) == (None, False)
    trusting = settings(monkeypatch, {"PLAIN_TEXT": "trusted-network"}).binding()
    assert (trusting.files, trusting.trusts_network) == (None, True)
    demanding = settings(monkeypatch, TLS | {"TLS_CLIENT_CA": "ca.pem"}).binding()
    assert demanding.files == TlsFiles(Path("a.pem"), Path("a.key"), Path("ca.pem"), "TLS_CLIENT_CA")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"TLS_CERTIFICATE": "a.pem"}, "TLS_KEY: missing"),
        ({"TLS_KEY": "a.key"}, "TLS_CERTIFICATE: missing"),
        ({"TLS_CLIENT_CA": "ca.pem"}, "TLS_CLIENT_CA: there is no TLS without TLS_CERTIFICATE and TLS_KEY"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    with pytest.raises(CredentialsError, match=named):
        settings(monkeypatch, environment).binding()
