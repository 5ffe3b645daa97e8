"""A link whose parts speak TLS in both directions: who may speak with it, and what everybody else reads."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from certificates import Authority
from conftest import DEADLINE_S, METHOD, Started, cli, probe, start, wait_until

from jscc.images import read_image

TOKEN = "correct-horse-battery"
HOPS = ("encoder", "channel", "decoder")


@dataclass
class SafeLink:
    services: dict[str, Started]
    authority: Authority

    def shows(self, name: str) -> dict[str, str]:
        """Return the settings of TLS of one who has a certificate."""
        authority = self.authority
        files = {"TLS_CERTIFICATE": authority.certificate(name), "TLS_KEY": authority.key(name), "TLS_CA": authority.ca}
        return {variable: str(file) for variable, file in files.items()}

    @property
    def hops(self) -> list[str]:
        """The arguments that name the hops."""
        return [part for name in HOPS for part in (f"--{name}", self.services[name].address)]


@pytest.fixture(scope="module")
def safe_link(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[SafeLink]:
    folder = tmp_path_factory.mktemp("safe")
    link = SafeLink({}, Authority(folder / "authority"))
    for name in (*HOPS, "orchestrator", "user"):
        link.authority.make(name)
    data = folder / "data"
    shutil.copytree(photos, data / "photos")
    if known := os.environ.get("JSCC_DATA"):
        (data / "lpips").symlink_to(Path(known) / "lpips")
    settings = {"METHODS": METHOD, "TLS_CLIENT_CA": str(link.authority.ca)}
    for name in HOPS:
        link.services[name] = start(name, folder, **settings, **link.shows(name))
    settings |= {f"{name.upper()}_ADDRESS": link.services[name].address for name in HOPS}
    settings |= {"ORCHESTRATOR_TOKEN": TOKEN, "RUNS": str(folder / "runs"), "JSCC_DATA": str(data)}
    link.services["orchestrator"] = start("orchestrator", folder, **settings, **link.shows("orchestrator"))
    try:
        for service in link.services.values():
            asked = partial(probe, service.address, **link.shows("user"))
            wait_until(lambda ask=asked: ask() == 0, service.process, service.log)  # type: ignore[misc]
        yield link
    finally:
        codes = {service.name: service.stop() for service in link.services.values()}
    assert set(codes.values()) == {0}, codes
    for service in link.services.values():
        assert TOKEN not in service.log.read_text()


def told(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def photo(photos: Path) -> str:
    return str(photos / "photo0.png")


def test_an_image_crosses_the_link_through_the_api(
    safe_link: SafeLink, tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, safe_link.shows("user") | {"ORCHESTRATOR_TOKEN": TOKEN})
    received = tmp_path / "received.png"
    at = ("--orchestrator", safe_link.services["orchestrator"].address)
    cli("send", photo, "-o", str(received), *at, "--snr-db", "20", state=tmp_path)
    assert read_image(received).shape == read_image(Path(photo)).shape


def test_an_image_crosses_the_hops(
    safe_link: SafeLink, tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, safe_link.shows("user"))
    sent = json.loads(cli("send", photo, "--json", *safe_link.hops, state=tmp_path).stdout)
    assert sent[0]["method"] == METHOD
    assert json.loads(cli("status", "--json", *safe_link.hops, state=tmp_path).stdout)["serves"]


def test_every_refusal_is_one_line_that_says_what_to_set(
    safe_link: SafeLink, tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Authority(tmp_path / "stranger")
    stranger.make("user")
    user = safe_link.shows("user")
    certificate = {"TLS_CERTIFICATE": str(stranger.certificate("user")), "TLS_KEY": str(stranger.key("user"))}
    ask, send = (
        ["status", *safe_link.hops],
        ["send", photo, "--orchestrator", safe_link.services["orchestrator"].address],
    )
    for settings, command, advice in (
        ({}, ask, "it speaks TLS; set TLS_CA"),
        ({"TLS_CA": user["TLS_CA"]}, ask, "it wants a certificate; set TLS_CERTIFICATE and TLS_KEY"),
        (user | {"TLS_CA": str(stranger.ca)}, ask, "its certificate is of no authority in TLS_CA"),
        (user | certificate, ask, "it refuses the certificate in TLS_CERTIFICATE"),
        (user | {"TLS_CA": str(tmp_path / "none")}, ask, f"TLS_CA={tmp_path / 'none'}: No such file"),
        ({}, send, "it speaks TLS; set TLS_CA"),
        (user, send, "token: missing; set ORCHESTRATOR_TOKEN"),
        (user | {"ORCHESTRATOR_TOKEN": TOKEN[::-1]}, send, "token: not the one of this service"),
    ):
        with monkeypatch.context() as only_here:
            told(only_here, settings)
            result = cli(*command, state=tmp_path, check=False)
        assert result.returncode in (1, 2), advice
        last = result.stderr.splitlines()[-1]
        assert advice in last, result.stderr
        assert "Traceback" not in result.stderr
        assert not settings.get("ORCHESTRATOR_TOKEN") or settings["ORCHESTRATOR_TOKEN"] not in result.stderr


@pytest.mark.parametrize("name", ["channel", "orchestrator"])
def test_plain_text_leaves_the_machine_only_when_it_may(tmp_path: Path, name: str) -> None:
    """An orchestrator says so before it waits for anybody."""
    refused = start(name, tmp_path, METHODS=METHOD, LISTEN_ADDRESS="0.0.0.0:0")
    assert refused.process.wait(timeout=DEADLINE_S) == 2
    last = refused.log.read_text().splitlines()[-1]
    assert last.startswith(
        "LISTEN_ADDRESS=0.0.0.0:0: plain text would leave this machine; set TLS_CERTIFICATE and TLS_KEY"
    )
    assert "PLAIN_TEXT=trusted-network" in last
