"""Opening the link that a command works on: given addresses, the link that is up, or processes of its own."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jscc.serving.runtime import start_torch
from jscc.wire.transport import keep_freed_memory
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.serving import GIVEN_WAIT_S, START_TIMEOUT_S, clients_of, until_serving
from services.orchestrator.link.star import Star
from services.orchestrator.link.transmission import Engine, load_scorer
from services.orchestrator.link.vigil import Vigil
from services.orchestrator.link.waiting import Say


@dataclass(frozen=True)
class Session:
    """An open link.

    Attributes:
        engine: sends images through it.
        own: the link where it is this command's own, which may be started again; None where it is someone else's.
        note: how the link came about, one line.
    """

    engine: Engine
    own: LocalLink | None
    note: str


@asynccontextmanager
async def open_session(
    addresses: Addresses | None, workers: int, say: Say, wait_s: float | None = None
) -> AsyncIterator[Session]:
    """Open a link and an engine on it; what was started for it is stopped afterwards.

    Args:
        addresses: of services that run elsewhere; None for local ones.
        workers: threads that read and score.
        say: called with every line that a person should know.
        wait_s: how long the services may take until they serve; None for GIVEN_WAIT_S where they run elsewhere and
            START_TIMEOUT_S where they are local.

    Raises:
        LinkError: the services do not serve.
    """
    keep_freed_memory()
    start_torch(1)  # scoring runs in several threads of one core each, beside services that want the cores too
    if addresses is not None:
        await until_serving(addresses, wait_s or GIVEN_WAIT_S, say)
        async with _opened(addresses, workers, say) as engine:
            yield Session(engine, None, "services at the given addresses")
        return
    up = LocalLink(state_folder())
    if up.is_running:
        await until_serving(up.addresses, wait_s or START_TIMEOUT_S, say, up)
        async with _opened(up.addresses, workers, say) as engine:
            yield Session(engine, None, "local link that was up already")
        return
    with tempfile.TemporaryDirectory(prefix="jscc-link-") as folder:
        own = LocalLink(Path(folder), outlives_us=False, say=say)
        try:
            own.start()
            await until_serving(own.addresses, wait_s or START_TIMEOUT_S, say, own)
            async with _opened(own.addresses, workers, say) as engine:
                yield Session(engine, own, "local link of this command's own")
        finally:
            own.stop()


@asynccontextmanager
async def _opened(addresses: Addresses, workers: int, say: Say) -> AsyncIterator[Engine]:
    async with Star(addresses) as link, Vigil(clients_of(addresses), say) as vigil:
        await link.discover()
        engine = Engine(link, load_scorer(say), workers, vigil)
        try:
            yield engine
        finally:
            engine.close()
