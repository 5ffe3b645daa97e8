"""Several decoders behind one encoder, each a process of its own, and pairs that do not fit."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Started, cli, start, wait_until_serving

from jscc import checkpoints
from jscc.checkpoints import Card

SHIPPED = checkpoints.cards(ROOT / "checkpoints")
LISTENERS = [card for card in SHIPPED if card.transmitter_digest != card.digest]
"""Shipped checkpoints that are only another receiver."""


@pytest.fixture(scope="module")
def folder(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small deepjscc, softcast, and a receiver with weights of its own for deepjscc's symbols."""
    folder = tmp_path_factory.mktemp("three")
    for file in (*tiny_checkpoints.iterdir(), *(ROOT / "checkpoints").glob("softcast.*")):
        shutil.copy(file, folder)
    heard = checkpoints.read_card(folder / "deepjscc.json")
    halves = [checkpoints.load(folder, heard, half) for half in ("transmitter", "receiver")]
    with torch.no_grad():
        for parameter in halves[1].parameters():
            parameter.mul_(0.99)
    card = Card("listener", heard.method, "", heard.digest, heard.config)
    checkpoints.save(folder, card, halves[0], halves[1])
    return folder


@pytest.fixture
def local(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """State folder of a local link of these checkpoints, taken down afterwards."""
    monkeypatch.setenv("CHECKPOINTS", str(folder))
    monkeypatch.setenv("METHODS", "")
    yield tmp_path
    cli("down", state=tmp_path)


def noise_digest(output: str) -> str:
    (found,) = re.findall(r"noise\W+([0-9a-f]{16})", output)
    return found


def test_three_decoder_processes_behind_one_encoder(local: Path, folder: Path, photos: Path) -> None:
    started = cli("up", "--decoders", "listener,softcast", state=local).stderr
    assert "started: encoder, channel, decoder, decoder-listener, decoder-softcast" in started
    processes = json.loads((local / "link.json").read_text())
    assert [item["hop"] for item in processes] == ["encoder", "channel", "decoder", "decoder", "decoder"]
    assert len({item["pid"] for item in processes}) == 5
    listened = checkpoints.read_card(folder / "listener.json").transmitter_digest
    assert f"of symbols of deepjscc {listened}" in cli("status", state=local).stdout
    photo, received = str(photos / "photo0.png"), {}
    for name in ("deepjscc", "listener", "softcast"):
        output = local / f"{name}.png"
        answer = cli("send", photo, "--method", name, "--snr-db", "10", "-o", str(output), state=local).stdout
        received[name] = noise_digest(answer), output.read_bytes()
    assert received["listener"][0] == received["deepjscc"][0]  # the same symbols met the same noise
    assert len({image for _, image in received.values()}) == 3

    os.kill(processes[3]["pid"], signal.SIGKILL)
    assert "started: decoder-listener\n" in cli("up", state=local).stderr  # on its port, and the others go on
    output = local / "again.png"
    cli("send", photo, "--method", "listener", "--snr-db", "10", "-o", str(output), state=local)
    assert output.read_bytes() == received["listener"][1]
    refused = cli("up", "--decoders", "softcast", state=local, check=False)
    assert refused.returncode == 1
    assert "decoders: the link is up with decoders for all,-listener,-softcast and listener" in refused.stderr


def test_a_decoder_without_its_transmitter_is_named_and_no_obstacle(
    local: Path, folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METHODS", "softcast")  # of the encoder; a decoder of its own is told what to serve
    cli("up", "--decoders", "listener", state=local)
    digests = {card.name: card.digest for card in checkpoints.cards(folder)}
    sentence = (
        f"serves 'listener', which needs the symbols of 'deepjscc' {digests['deepjscc']}; "
        f"the encoder serves 'softcast' {digests['softcast']}"
    )
    assert sentence in cli("status", state=local).stdout
    photo = str(photos / "photo0.png")
    refused = cli("send", photo, "--method", "listener", state=local, check=False)
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "softcast" in cli("send", photo, state=local).stdout


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Card], list[str]]]:
    """A shipped receiver and the one that shares its transmitter, or else any two, each in a process of its own."""
    heard = [card for card in SHIPPED if card.digest in {listener.transmitter_digest for listener in LISTENERS}]
    chosen = [*LISTENERS[:1], *heard[:1]] if LISTENERS else [SHIPPED[0], SHIPPED[-1]]
    logs = tmp_path_factory.mktemp("shipped")
    services = [start("encoder", logs, METHODS=",".join(card.name for card in chosen)), start("channel", logs)]
    for card in chosen:
        (logs / card.name).mkdir()
        services.append(start("decoder", logs / card.name, METHODS=card.name))
    try:
        for service in services:
            wait_until_serving(service)
        yield chosen, addresses(*services)
    finally:
        codes = [service.stop() for service in services]
    assert set(codes) == {0}


def addresses(encoder: Started, channel: Started, *decoders: Started) -> list[str]:
    everyone = ",".join(decoder.address for decoder in decoders)
    return ["--encoder", encoder.address, "--channel", channel.address, "--decoder", everyone]


def test_shipped_receivers_work_in_processes_of_their_own(
    shipped: tuple[list[Card], list[str]], photos: Path, tmp_path: Path
) -> None:
    chosen, given = shipped
    noise = {}
    for card in chosen:
        answer = cli("send", str(photos / "photo1.png"), "--method", card.name, *given, state=tmp_path).stdout
        assert f"{card.name} ({card.digest})" in answer
        noise.setdefault(card.transmitter_digest, set()).add(noise_digest(answer))
    assert all(len(digests) == 1 for digests in noise.values())
