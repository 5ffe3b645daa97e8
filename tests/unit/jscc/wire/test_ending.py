"""A service ends quietly at every moment: while it loads, while it gets ready, and when its parent is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

LOADING = """
import sys, time
from jscc.wire import ending
ending.end_at_once_on_signals()
if "stdin" in sys.argv:
    ending.end_with_stdin()
print("loading", flush=True)
time.sleep(3600)
"""
GETTING_READY = """
import asyncio
from jscc.wire import server
from jscc.wire.service import Service

async def prepare():
    print("preparing", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.5)  # longer than the rest of the end takes
        print("closed", flush=True)

async def finish():
    print("finished", flush=True)

service = Service("jscc.wire.v1.ChannelService", prepare=prepare, finish=finish)
server.run(service, server.Binding("127.0.0.1:0", 1, False, 0))
"""


@pytest.fixture
def lifeline() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test has closed it


def start(code: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start it and wait for its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(("loading", "preparing"))
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_still_loads_ends_at_once_with_0(number: signal.Signals) -> None:
    process = start(LOADING)
    process.send_signal(number)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_a_service_that_gets_ready_closes_what_it_has_opened_and_ends_with_0() -> None:
    """In the order of this: nothing is closed under the hands of what still closes things itself."""
    process = start(GETTING_READY)
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("closed\nfinished\n", "")
    assert process.returncode == 0


def test_a_service_ends_with_its_parents_end_of_the_pipe_and_not_before(lifeline: tuple[int, int]) -> None:
    process = start(LOADING, "stdin", stdin=lifeline[0])
    os.write(lifeline[1], b"not the end")
    assert process.poll() is None
    os.close(lifeline[1])
    assert process.communicate() == ("", "")
    assert process.returncode == 0
