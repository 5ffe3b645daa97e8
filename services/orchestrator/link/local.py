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

from jscc.checkpoints import Card, choose
from jscc.machine import cores
from services.orchestrator.link.star import Addresses

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
        methods: what it was told to serve, as in the setting METHODS; empty for what the environment says.
    """

    hop: str
    address: str
    pid: int
    log: str
    methods: str = ""

    @property
    def name(self) -> str:
        """What tells it from the other services of the link."""
        return _name(self.hop, self.methods)

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

    def __init__(self, folder: Path, decoders: tuple[str, ...] = (), outlives_us: bool = True) -> None:
        """Find what runs already.

        Args:
            folder: of the state file and the logs.
            decoders: what each decoder serves, see `decoder_groups`; empty for those of before, else for just one.
            outlives_us: whether the link goes on when this process ends.

        Raises:
            ValueError: the link is up with other decoders.
        """
        self._folder = folder
        self._prepare = None if outlives_us else _end_with_parent
        self._state = folder / "link.json"
        self.processes: dict[str, Process] = self._read()
        earlier = tuple(process.methods for process in self.processes.values() if process.hop == "decoder")
        self._decoders = decoders or earlier or ("",)
        if earlier and self._decoders != earlier:
            if any(process.is_running for process in self.processes.values()):
                shown = " and ".join(item or "everything" for item in earlier)
                raise ValueError(f"decoders: the link is up with decoders for {shown}; `jscc-link down` ends it")
            self.processes = {}

    def _read(self) -> dict[str, Process]:
        if not self._state.is_file():
            return {}
        found = [Process(**entry) for entry in json.loads(self._state.read_text(encoding="utf-8"))]
        return {process.name: process for process in found}

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._state.with_suffix(".tmp")
        temporary.write_text(json.dumps([asdict(process) for process in self.processes.values()], indent=1))
        os.replace(temporary, self._state)

    @property
    def addresses(self) -> Addresses:
        """Where the services listen."""
        found = {process.hop: process.address for process in self.processes.values()}
        decoders = tuple(process.address for process in self.processes.values() if process.hop == "decoder")
        return Addresses(found["encoder"], found["channel"], decoders)

    @property
    def is_running(self) -> bool:
        """Whether every service runs."""
        return bool(self.processes) and all(process.is_running for process in self.processes.values())

    def start(self, environment: dict[str, str]) -> list[str]:
        """Start what does not run, on the port that it had before.

        Args:
            environment: settings of the services beside the caller's own environment.

        Returns:
            Names of the services that were started.
        """
        wanted = [("encoder", ""), ("channel", ""), *(("decoder", methods) for methods in self._decoders)]
        started = []
        for hop, methods in wanted:
            earlier = self.processes.get(_name(hop, methods))
            if earlier is None or not earlier.is_running:
                address = earlier.address if earlier else f"127.0.0.1:{_free_port()}"
                process = self._spawn((hop, methods), address, environment)
                self.processes[process.name] = process
                started.append(process.name)
        self._write()
        return started

    def _spawn(self, what: tuple[str, str], address: str, environment: dict[str, str]) -> Process:
        hop, methods = what
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{_name(hop, methods)}.log"
        settings = {"THREADS": str(_threads(hop))}
        own = {"LISTEN_ADDRESS": address, **({"METHODS": methods} if methods else {})}
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"services.{hop}"],
                env={**settings, **os.environ, **environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._prepare,
            )
        return Process(hop, address, process.pid, str(log), methods)

    def last_words(self) -> str:
        """Return the end of the log of every service that should run and does not."""
        dead = [process for process in self.processes.values() if not process.is_running]
        return "\n".join(f"{process.name}: {_tail(Path(process.log))}" for process in dead)

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


def decoder_groups(text: str, cards: list[Card]) -> tuple[str, ...]:
    """Divide methods among decoders.

    Args:
        text: names of methods separated by commas, each of which gets a decoder of its own, and one more serves the
            rest; "each" for a decoder per method; empty for one decoder.
        cards: the checkpoints that are there.

    Returns:
        What each decoder is told to serve, as in the setting METHODS; empty for one decoder that serves everything.

    Raises:
        UnknownMethodError: a name that is not there.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["each"]:
        names = sorted({card.method for card in cards})
    alone = {card.name for name in names for card in choose(cards, name)}
    if not names or alone == {card.name for card in cards}:
        return tuple(names)
    return (",".join(["all", *(f"-{name}" for name in names)]), *names)


def _name(hop: str, methods: str) -> str:
    """Name a service as docker-compose.yml does: the one that serves the rest is plainly the decoder."""
    return f"{hop}-{methods.replace('_', '-')}" if methods and not methods.startswith("all,") else hop


def _end_with_parent() -> None:
    """Ask Linux to end this process gracefully when its parent dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _threads(hop: str) -> int:
    """Share the cores between the two services that run networks; they work at the same time."""
    return max(1, cores() // 2) if hop != "channel" else 1


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
