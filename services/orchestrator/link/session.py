"""Opening the link that a command works on: given addresses, the link that is up, or processes of its own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jscc.serving.runtime import start_torch
from jscc.wire.errors import LinkError
from jscc.wire.transport import keep_freed_memory
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.star import Addresses, Link
from services.orchestrator.link.transmission import Engine, load_lpips

START_TIMEOUT_S = 300.0
"""A busy machine takes minutes to load and warm up every method; a service that has ended is noticed at once."""

Revive = Callable[[], str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Session:
    """An open link.

    Attributes:
        engine: sends images through it.
        revive: restarts dead services and says what it did; None where the services are someone else's.
        note: how the link came about, one line.
    """

    engine: Engine
    revive: Revive | None
    note: str


def given_addresses(encoder: str | None, channel: str | None, decoder: str | None) -> Addresses | None:
    """Return the addresses that a user gave, or None where none were given.

    Raises:
        ValueError: some were given, but not all three.
    """
    given = {"--encoder": encoder, "--channel": channel, "--decoder": decoder}
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        return None
    if missing:
        raise ValueError(f"{missing[0]}: give all of --encoder, --channel and --decoder, or none")
    assert encoder is not None
    assert channel is not None
    assert decoder is not None
    return Addresses(encoder, channel, tuple(decoder.split(",")))


@asynccontextmanager
async def open_session(addresses: Addresses | None, workers: int, say: Say) -> AsyncIterator[Session]:
    """Open a link and an engine on it; what was started for it is stopped afterwards.

    Args:
        addresses: of services that run elsewhere; None for local ones.
        workers: threads that read and score.
        say: called with every line that a person should know.

    Raises:
        LinkError: the services do not serve.
    """
    keep_freed_memory()
    start_torch(1)  # scoring runs in several threads of one core each, beside services that want the cores too
    if addresses is not None:
        async with _opened(addresses, workers, say) as engine:
            yield Session(engine, None, "services at the given addresses")
        return
    up = LocalLink(state_folder())
    if up.is_running:
        async with _opened(up.addresses, workers, say) as engine:
            yield Session(engine, None, "local link that was up already")
        return
    with tempfile.TemporaryDirectory(prefix="jscc-link-") as folder:
        own = LocalLink(Path(folder), outlives_us=False)
        own.start({})
        try:
            async with _opened(own.addresses, workers, say, own) as engine:
                yield Session(engine, _reviver(own), "local link of this command's own")
        finally:
            own.stop()


@asynccontextmanager
async def _opened(addresses: Addresses, workers: int, say: Say, own: LocalLink | None = None) -> AsyncIterator[Engine]:
    async with Link(addresses) as link:
        await wait_for_start(link, own)
        await link.discover()
        engine = Engine(link, load_lpips(say), workers)
        try:
            yield engine
        finally:
            engine.close()


async def wait_for_start(link: Link, own: LocalLink | None, timeout_s: float = START_TIMEOUT_S) -> None:
    """Wait until all services serve; notice at once when a process of our own has ended.

    Raises:
        LinkError: a service ended or does not serve within timeout_s seconds.
    """
    waiting = asyncio.create_task(link.wait_until_serving(timeout_s))
    try:
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=0.5)
            words = own.last_words() if own is not None and not own.is_running else ""
            if words and not waiting.done():
                raise LinkError("link", "127.0.0.1", "UNAVAILABLE", f"a service ended while starting: {words}")
        await waiting
    finally:
        waiting.cancel()


def _reviver(own: LocalLink) -> Revive:
    def revive() -> str:
        restarted = own.start({})
        return f"restarted: {', '.join(restarted)}" if restarted else "every process of the link still runs"

    return revive
