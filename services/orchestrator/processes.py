"""The link as local processes on free ports: what `jscc-link up` starts where there is no Docker."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from services.orchestrator.link import Addresses

HOPS = ("encoder", "channel", "decoder")
STOP_TIMEOUT_S = 40.0

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Process:
    """One started service.

    Attributes:
        hop: which service.
        address: 127.0.0.1:port.
        pid: process id.
        log: file with its output.
    """

    hop: str
    address: str
    pid: int
    log: str

    @property
    def is_running(self) -> bool:
        """Whether the process lives and is still this service."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            command = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False
        return state != "Z" and f"services.{self.hop}".encode() in command


class LocalLink:
    """The processes of one link; what runs is kept in a file, so that another command finds them."""

    def __init__(self, folder: Path, outlives_us: bool = True) -> None:
        """Use `folder` for the state file and the logs; unless it outlives us, the link ends when this process does."""
        self._folder = folder
        self._prepare = None if outlives_us else _end_with_parent
        self._state = folder / "link.json"
        self.processes: dict[str, Process] = self._read()

    def _read(self) -> dict[str, Process]:
        if not self._state.is_file():
            return {}
        found = [Process(**entry) for entry in json.loads(self._state.read_text(encoding="utf-8"))]
        return {process.hop: process for process in found}

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._state.with_suffix(".tmp")
        temporary.write_text(json.dumps([asdict(process) for process in self.processes.values()], indent=1))
        os.replace(temporary, self._state)

    @property
    def addresses(self) -> Addresses:
        """Where the services listen."""
        found = {hop: process.address for hop, process in self.processes.items()}
        return Addresses(found["encoder"], found["channel"], (found["decoder"],))

    @property
    def is_running(self) -> bool:
        """Whether every service runs."""
        return len(self.processes) == len(HOPS) and all(process.is_running for process in self.processes.values())

    def start(self, environment: dict[str, str]) -> list[str]:
        """Start what does not run, on the port that it had before.

        Args:
            environment: settings of the services beside the caller's own environment.

        Returns:
            Names of the services that were started.
        """
        missing = [hop for hop in HOPS if hop not in self.processes or not self.processes[hop].is_running]
        for hop in missing:
            earlier = self.processes.get(hop)
            address = earlier.address if earlier else f"127.0.0.1:{_free_port()}"
            self.processes[hop] = self._spawn(hop, address, environment)
        self._write()
        return missing

    def _spawn(self, hop: str, address: str, environment: dict[str, str]) -> Process:
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{hop}.log"
        settings = {"LISTEN_ADDRESS": address, "THREADS": str(_threads(hop))}
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"services.{hop}"],
                env={**settings, **os.environ, **environment, "LISTEN_ADDRESS": address},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._prepare,
            )
        return Process(hop, address, process.pid, str(log))

    def last_words(self) -> str:
        """Return the end of the log of every service that should run and does not."""
        dead = [process for process in self.processes.values() if not process.is_running]
        return "\n".join(f"{process.hop}: {_tail(Path(process.log))}" for process in dead)

    def stop(self) -> None:
        """Ask every service to end, wait until it has, and forget it."""
        for process in self.processes.values():
            if process.is_running:
                os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in self.processes.values():
            while process.is_running and time.monotonic() < deadline:
                _reap(process.pid)
                time.sleep(0.05)
        self.processes = {}
        self._state.unlink(missing_ok=True)


def state_folder() -> Path:
    """Return where `jscc-link up` keeps its state: $JSCC_STATE, else ~/.local/state/jscc-link."""
    return Path(os.environ.get("JSCC_STATE") or Path.home() / ".local" / "state" / "jscc-link")


def _end_with_parent() -> None:
    """Ask Linux to end this process gracefully when its parent dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _threads(hop: str) -> int:
    """Share the cores between the two services that run networks; they work at the same time."""
    return max(1, len(os.sched_getaffinity(0)) // 2) if hop != "channel" else 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # started by an earlier command
        return


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1] if lines else "no output"
