"""The link from the command line: what it says of services that come, go and hang, and what it leaves behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import DEADLINE_S, ROOT, cli

HOPS = ["encoder", "channel", "decoder"]


def entries(state: Path) -> dict[str, dict[str, Any]]:
    return {entry["hop"]: entry for entry in json.loads((state / "link.json").read_text())}


def wait_until_ended(pid: int) -> None:
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=DEADLINE_S)


def addresses(state: Path, order: list[str]) -> list[str]:
    """Return the options that give these services as encoder, channel and decoder."""
    found = entries(state)
    return [text for hop, of in zip(HOPS, order, strict=True) for text in (f"--{hop}", found[of]["address"])]


@pytest.fixture(scope="module")
def up(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """State folder of a link of one small checkpoint."""
    state = tmp_path_factory.mktemp("up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHECKPOINTS", str(tiny_checkpoints))
        patch.setenv("METHODS", "")
        cli("up", state=state)
    yield state
    assert "stopped 3 services" in cli("down", state=state).stdout
    assert cli("down", state=state).stdout == "no link is up\n"


def test_status_is_one_document(up: Path) -> None:
    result = cli("status", "--json", state=up)
    told = json.loads(result.stdout)
    assert result.stderr == ""
    assert (told["serves"], told["default_method"], told["methods"]) == (True, "deepjscc", ["deepjscc"])
    assert [(item["service"], item["state"]) for item in told["services"]] == [(hop, "serving") for hop in HOPS]
    assert [item["pid"] for item in told["services"]] == [entries(up)[hop]["pid"] for hop in HOPS]


def test_methods_are_listed_alike_with_and_without_a_link(
    up: Path, tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINTS", str(tiny_checkpoints))
    of_link = json.loads(cli("methods", "--json", state=up).stdout)
    without = cli("methods", "--json", state=tmp_path)
    of_checkpoints = json.loads(without.stdout)
    assert of_link["source"] == "link"
    assert of_checkpoints["source"] == str(tiny_checkpoints)
    assert of_link["methods"] == of_checkpoints["methods"]
    assert "no link is up" in without.stderr
    assert not list(tmp_path.iterdir())  # nothing was started


@pytest.mark.parametrize("how", [("--rate", "20,40", "--arrivals", "constant"), ("--concurrency", "2")])
def test_a_link_is_put_under_load(up: Path, photos: Path, tmp_path: Path, how: tuple[str, ...]) -> None:
    image = str(photos / "photo0.png")
    result = cli("load", image, *how, "--seconds", "0.2", "--out", str(tmp_path / "load"), "--json", state=up)
    told = json.loads(result.stdout)
    assert "208x176 px" in told["title"]
    assert all(point["done"] + point["shed"] >= 1 and point["failed"] == 0 for point in told["points"])
    if "--rate" in how:
        assert [point["sent"] + point["shed"] for point in told["points"]] == [4, 8]
    assert sorted(path.name for path in (tmp_path / "load").iterdir()) == [
        "load.csv", "saturation.pdf", "saturation.png",
    ]  # fmt: skip


def test_addresses_that_were_mixed_up_are_told_at_once(up: Path) -> None:
    given = addresses(up, ["channel", "encoder", "decoder"])
    result = cli("status", *given, state=up, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "another service answers there, no encoder" in result.stderr
    assert "another service answers there, no channel" in result.stderr
    assert "another service answers there, no encoder" in cli("methods", *given, state=up, check=False).stderr


def test_a_stopped_service_is_told_from_one_that_has_ended(up: Path) -> None:
    pid = entries(up)["decoder"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        result = cli("status", state=up, check=False)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert result.returncode == 1
    assert "it accepts connections and does not answer" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_service_that_has_ended_is_named_and_started_again_on_its_port(
    up: Path, tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINTS", str(tiny_checkpoints))
    monkeypatch.setenv("METHODS", "")
    monkeypatch.setenv("CHECKPOINTS", str(tiny_checkpoints))
    before = entries(up)
    os.kill(before["decoder"]["pid"], signal.SIGKILL)
    wait_until_ended(before["decoder"]["pid"])
    result = cli("status", state=up, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "decoder at" in result.stderr
    assert "has ended; `jscc-link up` starts it again; its log" in result.stderr
    assert "{" not in result.stderr  # a sentence, no line of JSON
    assert "started: decoder\n" in cli("up", state=up).stderr
    after = entries(up)
    assert after["decoder"]["address"] == before["decoder"]["address"]
    assert after["encoder"]["pid"] == before["encoder"]["pid"]


def test_a_damaged_state_is_named_by_every_command(tmp_path: Path) -> None:
    (tmp_path / "link.json").write_text("{")
    for command in (["up"], ["down"], ["status"], ["methods"]):
        result = cli(*command, state=tmp_path, check=False)
        assert result.returncode == 1
        assert f"{tmp_path / 'link.json'}: damaged" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_link_that_does_not_come_up_leaves_nothing(
    tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel needs no weights and would go on."""
    folder, state = tmp_path / "checkpoints", tmp_path / "state"
    folder.mkdir()
    shutil.copy(tiny_checkpoints / "deepjscc.json", folder)
    monkeypatch.setenv("CHECKPOINTS", str(folder))
    monkeypatch.setenv("METHODS", "")
    result = cli("up", state=state, check=False)
    assert result.returncode == 1
    (error,) = [line for line in result.stderr.splitlines() if not line.startswith("waiting for ")]
    assert "deepjscc.safetensors: No such file or directory" in error
    assert not (state / "link.json").exists()
    mine = [found for found in psutil.process_iter(["environ"]) if str(folder) in str(found.info["environ"])]
    assert [found for found in mine if found.pid != os.getpid() and found.status() != psutil.STATUS_ZOMBIE] == []


def test_an_interrupted_start_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.orchestrator.cli.app", "up"],
        cwd=ROOT,
        env={**os.environ, "METHODS": "softcast", "JSCC_STATE": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s, started = time.monotonic() + DEADLINE_S, dict[str, Any]()
    while set(started) != set(HOPS):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        started = entries(tmp_path) if (tmp_path / "link.json").exists() else {}
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "link.json").exists()
    assert not any(psutil.pid_exists(entry["pid"]) for entry in started.values())


def test_two_at_once_from_another_folder_start_one_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped checkpoints are found, whatever the folder holds that is called like ours."""
    monkeypatch.delenv("CHECKPOINTS", raising=False)
    monkeypatch.setenv("METHODS", "softcast")
    state, folder = tmp_path / "state", tmp_path / "elsewhere"
    for name in ("services", "jscc", "checkpoints"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('not this one')")
    (folder / "checkpoints" / "config.json").write_text("{}")

    def bring_up(_number: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", "from services.orchestrator.cli.app import main; main()", "up"],
            cwd=tmp_path,
            env={**os.environ, "JSCC_STATE": str(state), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        ).stderr

    try:
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(bring_up, range(2)))
        assert sorted("started: encoder, channel, decoder" in text for text in said) == [False, True]
        assert sorted("the link was up already" in text for text in said) == [False, True]
        assert json.loads(cli("status", "--json", state=state, cwd=tmp_path).stdout)["methods"] == [
            "softcast",
            "softcast_0625",
        ]
    finally:
        assert "stopped 3 services" in cli("down", state=state, cwd=tmp_path).stdout


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    photos: Path, tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    """4 photographs x 2 SNRs x 3 draws. JPEG, WebP and two Gaussian sources: 4 photographs x 2 SNRs x 6 curves."""
    monkeypatch.setenv("CHECKPOINTS", str(tiny_checkpoints))
    monkeypatch.setenv("METHODS", "")
    what = ["--dataset", str(photos), "--snr-db=0,10", "--draws", "3", "--out", str(tmp_path / "out")]
    result = cli("sweep", "--dry-run", *what, *(["--json"] if as_json else []), state=tmp_path / "state")
    assert result.stderr == ""
    if as_json:
        told = json.loads(result.stdout)
        assert (told["images"], told["methods"], told["snr_db"], told["draws"]) == (4, ["deepjscc"], [0.0, 10.0], 3)
        assert told["work"] == [
            {"what": "transmissions", "total": 24, "kept": 0, "left": 24},
            {"what": "references", "total": 48, "kept": 0, "left": 48},
        ]
        assert told["folder"] == str(tmp_path / "out")
    else:
        lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
        assert {"transmissions 24 0 24", "references 48 0 48"} <= set(lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["send", "bench", "load", "sweep"])
def test_how_long_services_are_waited_for_can_be_said(photos: Path, tmp_path: Path, command: str) -> None:
    with socket.socket() as nobody:  # bound, and nothing listens there
        nobody.bind(("127.0.0.1", 0))
        given = [text for hop in HOPS for text in (f"--{hop}", f"127.0.0.1:{nobody.getsockname()[1]}")]
        asked = {"sweep": ["--dataset", str(photos), "--out", str(tmp_path / "out")], "load": ["--rate", "1"]}
        what = asked.get(command, [])
        image = [] if command == "sweep" else [str(photos / "photo0.png")]
        result = cli(command, *image, *what, *given, "--wait-s", "1", state=tmp_path / "state", check=False)
    assert result.returncode == 1
    assert "nothing listens there; waited" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
