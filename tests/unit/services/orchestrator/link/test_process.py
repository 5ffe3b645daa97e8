"""Processes that were started: told from later ones of the same id, ended even when they do not hear."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.orchestrator.link import process
from services.orchestrator.link.process import Process, end

SLEEP = "import sys, time; print('up', flush=True); time.sleep(3600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"

Start = Callable[..., tuple[Process, "subprocess.Popen[bytes]"]]


def silently(_line: str) -> None:
    return None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start something that looks like the encoder, and wait until it runs."""
    children: list[subprocess.Popen[bytes]] = []

    def start_one(code: str = SLEEP) -> tuple[Process, subprocess.Popen[bytes]]:
        child = subprocess.Popen([sys.executable, "-c", code, "services.encoder"], stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        started_s = psutil.Process(child.pid).create_time() - psutil.boot_time()
        return Process("encoder", "127.0.0.1:1", child.pid, started_s, str(tmp_path / "log")), child

    yield start_one
    for child in children:
        child.kill()
        child.communicate()


def test_a_process_is_found_and_ended(start: Start) -> None:
    entry, child = start()
    assert entry.is_running
    assert end([entry], silently) == ["encoder"]
    assert not entry.is_running
    assert not psutil.pid_exists(child.pid)
    assert end([entry], silently) == []


def test_a_process_whose_id_is_another_ones_by_now_is_left_alone(start: Start) -> None:
    """After a crash of the machine the file tells of ids that other programs have, perhaps another link's encoder."""
    entry, child = start()
    earlier = dataclasses.replace(entry, started_s=entry.started_s - 10)
    of_another_program = dataclasses.replace(entry, hop="decoder")
    for stale in (earlier, of_another_program):
        assert not stale.is_running
        assert end([stale], silently) == []
    assert child.poll() is None


def test_a_process_that_has_just_begun_is_running(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows no arguments of a process between its exec and the end of it."""
    entry, child = start()
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _process: [])
    assert entry.is_running
    assert not dataclasses.replace(entry, started_s=entry.started_s - 10).is_running
    child.kill()
    psutil.Process(child.pid).wait()
    assert not entry.is_running


def test_a_process_that_has_ended_and_was_not_waited_for_is_not_running(start: Start) -> None:
    entry, child = start()
    child.kill()
    psutil.Process(child.pid).wait()
    assert not entry.is_running


def test_a_stopped_process_ends_too(start: Start) -> None:
    entry, child = start()
    child.send_signal(signal.SIGSTOP)
    assert entry.is_running
    assert end([entry], silently) == ["encoder"]
    assert not entry.is_running


def test_a_process_that_does_not_end_is_killed_and_that_is_said(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_TIMEOUT_S", 0.2)
    entry, _ = start(DEAF)
    said: list[str] = []
    assert end([entry], said.append) == ["encoder"]
    assert not entry.is_running
    assert said == ["killed: encoder did not end within 0.2 s"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "no output"),
        ("first\nlast\n", "last"),
        ('{"event": "serving", "level": "info"}\n', "serving"),
        (
            '{"event": "unexpected error", "exception": "Traceback\\n  File x\\nKeyError: 3"}',
            "unexpected error: KeyError: 3",
        ),
        ('{"level": "info"}', '{"level": "info"}'),
        ("[1, 2]", "[1, 2]"),
        ("\xff\xfe", "\ufffd\ufffd"),
        ("x" * 200_000 + "\nend", "end"),
    ],
)
def test_last_words_are_for_people(tmp_path: Path, written: str, words: str) -> None:
    log = tmp_path / "encoder.log"
    log.write_bytes(written.encode("latin-1"))
    assert Process("encoder", "127.0.0.1:1", 2, 0.0, str(log)).last_words() == words
    log.unlink()
    assert Process("encoder", "127.0.0.1:1", 2, 0.0, str(log)).last_words() == "no log"


@pytest.mark.slow
def test_a_service_lives_as_long_as_the_process_that_started_it_not_as_the_thread(tmp_path: Path) -> None:
    """A link that is started again is so by whatever thread notices that it must be."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    reading, writing = os.pipe()
    log, started = tmp_path / "channel.log", list[Process]()

    def start() -> None:
        started.append(process.spawn(("channel", ""), address, log, {}, reading))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    (service,) = started
    try:
        while '"serving"' not in log.read_text():
            assert service.is_running, log.read_text()
            time.sleep(0.01)
        assert service.is_running
    finally:
        os.close(writing)
        os.close(reading)
    psutil.wait_procs([found] if (found := service.handle()) else [])
    assert '"stopped"' in log.read_text()
