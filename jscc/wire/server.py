"""Start-up of every service: its RPCs, one model thread, health, reflection, graceful end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from jscc.limits import MAX_QUEUE_BYTES
from jscc.wire import ending
from jscc.wire.bearer import TokenGuard
from jscc.wire.handlers import handlers
from jscc.wire.queue import ModelThread
from jscc.wire.service import Service
from jscc.wire.standard import Standard
from jscc.wire.tls import TlsFiles
from jscc.wire.transport import SERVER_OPTIONS, keep_freed_memory, listen

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Binding:
    """Where and how to serve.

    Attributes:
        address: host:port; port 0 picks a free one.
        max_queue: requests that may wait for the model thread before further ones are refused.
        reflection: whether clients may ask for the .proto files.
        grace_s: how long work under way may take after SIGTERM.
        max_queue_bytes: what requests that wait or are under way may hold before further ones are refused.
        files: for TLS; None for plain text.
        trusts_network: whether plain text may leave this machine.
        token: what callers must show; "" for nothing.
    """

    address: str
    max_queue: int
    reflection: bool
    grace_s: float
    max_queue_bytes: int = MAX_QUEUE_BYTES
    files: TlsFiles | None = None
    trusts_network: bool = False
    token: str = field(default="", repr=False)


def run(service: Service, binding: Binding) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return."""
    keep_freed_memory()
    asyncio.run(_serve(service, binding))
    ending.end_at_once_on_signals()  # again: the loop has forgotten it, and the interpreter's own end takes a while


async def _serve(service: Service, binding: Binding) -> None:
    stop = asyncio.Event()
    for number in ending.SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(service, binding, stop):
        await stop.wait()


@asynccontextmanager
async def serving(service: Service, binding: Binding, stop: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Serve inside the block; finish what is under way at its end.

    Args:
        service: what to serve.
        binding: where and how.
        stop: when it is set, the service stops getting ready.

    Yields:
        The port, once the service reports SERVING or is asked to stop.

    Raises:
        CredentialsError: certificates cannot be used, or plain text would leave this machine.
        OSError: the address cannot be listened on.
    """
    bounds = binding.max_queue, binding.max_queue_bytes
    guards = (TokenGuard(binding.token),) if binding.token else ()
    thread, server = ModelThread(*bounds), grpc.aio.server(options=SERVER_OPTIONS, interceptors=guards)
    server.add_generic_rpc_handlers((handlers(service, thread, *bounds),))
    standard = Standard(server, service.full_name, service.health_names, binding.reflection)
    port = listen(server, binding.address, binding.files, binding.trusts_network)
    await server.start()
    _log.info("listening on port %d", port)
    grace_s = 0.0  # for a service that does not come up
    try:
        if await _ready(service, thread, stop or asyncio.Event()):
            await standard.health.serve()
            _log.info("serving")
        yield port
        grace_s = binding.grace_s
    finally:
        _log.info("stopping; %g s for the work under way", grace_s)
        await standard.end()
        await server.stop(grace_s)
        await asyncio.to_thread(thread.close)  # the event loop stays free for what that ends
        await service.finish()
        _log.info("stopped")


async def _ready(service: Service, thread: ModelThread, stop: asyncio.Event) -> bool:
    """Prepare and warm up; return False when the process was asked to stop meanwhile."""

    async def get_ready() -> None:
        await service.prepare()
        await thread.call(service.warm_up)

    work, asked = asyncio.create_task(get_ready()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        return work.done()
    finally:  # what was opened is closed before the loop ends
        work.cancel()
        asked.cancel()
        await asyncio.gather(work, asked, return_exceptions=True)
