"""Several decoders behind one encoder, each a process of its own, and pairs that do not fit."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import factories
import pytest
import torch
from conftest import ROOT, cli

from jscc import checkpoints


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
    card = factories.card("listener", heard.method, transmitter_digest=heard.digest, config=heard.config)
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
