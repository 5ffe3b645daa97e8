"""The link as local processes on free ports: what `jscc-link up` starts where there is no Docker."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from platformdirs import user_state_path

from jscc import config
from jscc.cards import Card, choose
from jscc.machine import cores
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.process import HOPS, Process, end, name_of, spawn
from services.orchestrator.link.waiting import Notice, Say


class LocalLink:
    """The processes of one link; what runs is kept in a file, so that another command finds them.

    Attributes:
        processes: what was started, by name; it may have ended since.
    """

    def __init__(
        self, folder: Path, decoders: tuple[str, ...] = (), outlives_us: bool = True, say: Say = lambda _line: None
    ) -> None:
        """Find what runs already.

        Args:
            folder: of the state file and the logs.
            decoders: what each decoder serves, see `decoder_groups`; empty for those of before, else for just one.
            outlives_us: whether the link goes on when this process ends.
            say: called with what is waited for, when that takes longer than a moment.

        Raises:
            ValueError: the link is up with other decoders, or its state file is damaged.
        """
        self._folder, self._wanted, self._say = folder, decoders, say
        self._lifeline = None if outlives_us else os.pipe()  # kept open until this process ends, however it does
        self._state = folder / "link.json"
        self._adopt()

    def _adopt(self) -> None:
        """Take what the state file tells; forget it where other decoders are wanted and nothing of it runs."""
        self.processes = self._read()
        earlier = tuple(process.methods for process in self.processes.values() if process.hop == "decoder")
        self._decoders = self._wanted or earlier or ("",)
        if earlier and self._decoders != earlier:
            if any(process.is_running for process in self.processes.values()):
                shown = " and ".join(item or "everything" for item in earlier)
                raise ValueError(f"decoders: the link is up with decoders for {shown}; `jscc-link down` ends it")
            self.processes = {}

    def _read(self) -> dict[str, Process]:
        try:
            entries = json.loads(self._state.read_text(encoding="utf-8"))
            if not isinstance(entries, list):
                raise ValueError(f"expected a list, got {config.shown(entries)}")
            found = [config.from_mapping(Process, entry, f"process {place}") for place, entry in enumerate(entries)]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ValueError(f"{self._state}: {error.strerror}; JSCC_STATE names another folder") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{self._state}: damaged ({error}); end what still runs (pgrep -af services), then delete the file"
            ) from None
        return {process.name: process for process in found}

    def _write(self) -> None:
        temporary = self._state.with_suffix(".tmp")
        temporary.write_text(json.dumps([asdict(process) for process in self.processes.values()], indent=1))
        os.replace(temporary, self._state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands from starting and stopping meanwhile, and read again what they did before."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / "link.lock").open("a")
        except OSError as error:
            raise ValueError(f"{self._folder}: {error.strerror}; JSCC_STATE names another folder") from None
        notice = Notice("another jscc-link command to start or stop the link", self._say)
        with lock:
            while not _is_taken(lock.fileno()):
                notice.tick()
                time.sleep(0.05)
            self._adopt()
            yield

    @property
    def addresses(self) -> Addresses:
        """Where the services listen.

        Raises:
            ValueError: one of them was never started.
        """
        found = {process.hop: process.address for process in self.processes.values()}
        for hop in HOPS:
            if hop not in found:
                raise ValueError(f"link: the {hop} was not started; `jscc-link up` starts it")
        decoders = tuple(process.address for process in self.processes.values() if process.hop == "decoder")
        return Addresses(found["encoder"], found["channel"], decoders)

    @property
    def is_running(self) -> bool:
        """Whether every service runs."""
        hops = {process.hop for process in self.processes.values()}
        return hops == set(HOPS) and all(process.is_running for process in self.processes.values())

    def start(self, settings: dict[str, str] | None = None) -> list[str]:
        """Start what does not run, on the port that it had before, if that is free.

        Args:
            settings: of the services, where the caller's environment says nothing else.

        Returns:
            Names of the services that were started.

        Raises:
            ValueError: the link is up with other decoders, or the state cannot be kept.
            OSError: a process cannot be started; what this call started has ended again.
        """
        started: list[str] = []
        with self._alone():
            try:
                for hop, methods in self._services():
                    earlier = self.processes.get(name_of(hop, methods))
                    if earlier is None or not earlier.is_running:
                        started.append(name_of(hop, methods))
                        self._start_one(hop, methods, settings or {})
            except BaseException:
                self._end(started)
                raise
        return started

    def _services(self) -> list[tuple[str, str]]:
        return [("encoder", ""), ("channel", ""), *(("decoder", methods) for methods in self._decoders)]

    def _start_one(self, hop: str, methods: str, settings: dict[str, str]) -> None:
        name = name_of(hop, methods)
        earlier = self.processes.get(name)
        address = earlier.address if earlier and _is_free(earlier.address) else _free_address()
        log, threads = self._folder / f"{name}.log", {"THREADS": str(_threads(hop))}
        lifeline = self._lifeline and self._lifeline[0]
        self.processes[name] = spawn((hop, methods), address, log, threads | settings, lifeline)
        self._write()  # after each, so that nothing runs that the file does not tell

    def last_words(self) -> str:
        """Return the end of the log of every service that should run and does not."""
        dead = [process for process in self.processes.values() if not process.is_running]
        return "; ".join(f"{process.name}: {process.last_words()} (log {process.log})" for process in dead)

    def end(self, names: list[str]) -> None:
        """End some of the services; when others go on, their ports are kept for them."""
        with self._alone():
            self._end(names)

    def stop(self) -> list[str]:
        """Ask every service to end, wait until it has, and forget it.

        Returns:
            Names of those that ran.
        """
        if not self._folder.is_dir():
            return []
        with self._alone():
            return self._end(list(self.processes))

    def _end(self, names: list[str]) -> list[str]:
        ran = end([self.processes[name] for name in names if name in self.processes], self._say)
        if not any(process.is_running for process in self.processes.values()):
            self.processes = {}
            self._state.unlink(missing_ok=True)
        return ran


def state_folder() -> Path:
    """Return where `jscc-link up` keeps its state: $JSCC_STATE, else ~/.local/state/jscc-link."""
    return Path(os.environ.get("JSCC_STATE") or user_state_path("jscc-link"))


def decoder_groups(text: str, cards: list[Card]) -> tuple[str, ...]:
    """Divide methods among decoders.

    Args:
        text: names of methods separated by commas, each of which gets a decoder of its own, and one more serves the
            rest; "each" for a decoder per method; empty for one decoder.
        cards: the checkpoints that are there.

    Returns:
        What each decoder is told to serve, as in the setting METHODS; empty for one decoder that serves everything.

    Raises:
        UnknownCheckpointError: a name that is not there.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if names == ["each"]:
        names = sorted({card.method for card in cards})
    alone = {card.name for name in names for card in choose(cards, name)}
    if not names or alone == {card.name for card in cards}:
        return tuple(names)
    return (",".join(["all", *(f"-{name}" for name in names)]), *names)


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _threads(hop: str) -> int:
    """Share the cores between the two services that run networks; they work at the same time."""
    return max(1, cores() // 2) if hop != "channel" else 1


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the earlier process fade slowly
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
