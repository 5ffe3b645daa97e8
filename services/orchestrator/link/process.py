"""One service as a local process: started, told from a later process of the same id, and ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from jscc.cards import chosen_folder
from services.orchestrator.link.addresses import check_address
from services.orchestrator.link.waiting import Notice, Say

HOPS = ("encoder", "channel", "decoder")
STOP_TIMEOUT_S = 40.0
"""Longer than the services' GRACE_S; what has not ended by then is killed."""

_PROJECT = Path(__file__).parents[3]
_SAME_START_S = 1.5
"""The kernel tells when it started in whole seconds, which may change by one when the clock is set."""
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Process:
    """One started service.

    Attributes:
        hop: which service.
        address: 127.0.0.1:port.
        pid: process id.
        started_s: when it started, in seconds after the machine did; tells it from a later process of the same id.
        log: file with its output.
        methods: what it was told to serve, as in the setting METHODS; empty for what the environment says.
    """

    hop: str
    address: str
    pid: int
    started_s: float
    log: str
    methods: str = ""

    def __post_init__(self) -> None:
        """Check what may have been read from a file.

        Raises:
            ValueError: a field cannot be a process's; names it.
        """
        if self.hop not in HOPS:
            raise ValueError(f"hop: expected one of {', '.join(HOPS)}, got {self.hop[:100]!r}")
        if not 1 < self.pid < 2**31:
            raise ValueError(f"pid: {self.pid} is no process id")
        check_address("address", self.address)

    @property
    def name(self) -> str:
        """What tells it from the other services of the link."""
        return name_of(self.hop, self.methods)

    @property
    def is_running(self) -> bool:
        """Whether the process lives and is still this service."""
        return self.handle() is not None

    def handle(self) -> psutil.Process | None:
        """Return the process; None when it has ended, even if its id is another's by now."""
        try:
            found = psutil.Process(self.pid)
            if found.status() == psutil.STATUS_ZOMBIE:
                found.wait(0)  # a child of ours is forgotten by the kernel; of another's this raises
                return None
            is_ours, command = abs(_started_s(found) - self.started_s) < _SAME_START_S, found.cmdline()
            # One that has just begun has no arguments yet: on a busy machine that takes the kernel 30 ms and more.
            return found if is_ours and (not command or f"services.{self.hop}" in command) else None
        except psutil.Error:
            return None

    def last_words(self) -> str:
        """Return the last line of its log, without what surrounds a logged event."""
        try:
            with Path(self.log).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return "no log"
        return _plain(lines[-1]) if lines else "no output"


def name_of(hop: str, methods: str) -> str:
    """Name a service as docker-compose.yml does: the one that serves the rest is plainly the decoder."""
    return f"{hop}-{methods.replace('_', '-')}" if methods and not methods.startswith("all,") else hop


def spawn(what: tuple[str, str], address: str, log: Path, settings: Mapping[str, str], lifeline: int | None) -> Process:
    """Start a service.

    Args:
        what: the service, and the methods that it serves; empty for what the environment says.
        address: to listen on.
        log: where its output goes; that of an earlier one is kept beside it.
        settings: of the service, where the caller's environment says nothing else.
        lifeline: reading end of a pipe whose other end this process alone has, so that the service ends with it; None
            for one that goes on.

    Raises:
        OSError: it cannot be started, or the log not be written.
    """
    hop, methods = what
    if log.exists():
        os.replace(log, log.with_suffix(".previous.log"))
    own = {"LISTEN_ADDRESS": address, "CHECKPOINTS": str(chosen_folder().absolute())}
    own |= {"METHODS": methods} if methods else {}
    own["END_WITH_STDIN"] = str(lifeline is not None)
    paths = [str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]  # whatever packages the caller stands among
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", f"services.{hop}"],
            env={**settings, **os.environ, "PYTHONPATH": os.pathsep.join(paths), **own},
            stdin=subprocess.DEVNULL if lifeline is None else lifeline,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    child.returncode = 0  # else it would complain that nobody waits for it; psutil does, perhaps in another command
    return Process(hop, address, child.pid, _started_s(psutil.Process(child.pid)), str(log), methods)


def end(processes: Iterable[Process], say: Say) -> list[str]:
    """Ask processes to end, wait until they have, and kill those that do not.

    Returns:
        The names of those that ran.
    """
    running = {process.name: found for process in processes if (found := process.handle())}
    for found in running.values():
        with suppress(psutil.NoSuchProcess):
            found.terminate()
            found.resume()  # a stopped process hears nothing
    left = list(running.values())
    notice = Notice(lambda: f"{_names(running, left)} to end, up to {STOP_TIMEOUT_S:g} s", say)
    while left and notice.waited_s < STOP_TIMEOUT_S:
        _, left = psutil.wait_procs(left, timeout=min(notice.left_s + 0.01, STOP_TIMEOUT_S))
        if left:
            notice.tick()
    if left:
        say(f"killed: {_names(running, left)} did not end within {STOP_TIMEOUT_S:g} s")
    for found in left:
        with suppress(psutil.NoSuchProcess):
            found.kill()
    psutil.wait_procs(left, timeout=STOP_TIMEOUT_S)
    return list(running)


def _names(running: Mapping[str, psutil.Process], left: list[psutil.Process]) -> str:
    return ", ".join(name for name, found in running.items() if found in left)


def _started_s(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()  # without the wall clock, which may be set


def _plain(line: str) -> str:
    """Return the event of a line of JSON, with the last line of its exception; another line as it is."""
    try:
        entry = json.loads(line)
        exception = str(entry.get("exception", "")).strip().splitlines()[-1:]
        return ": ".join([str(entry["event"]), *exception])
    except (ValueError, LookupError, AttributeError):
        return line
