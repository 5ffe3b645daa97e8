"""Start-up of every service: its RPCs, one model thread, health, reflection, graceful end."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from jscc.wire.handlers import handlers
from jscc.wire.queue import ModelThread
from jscc.wire.service import Service
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
    """

    address: str
    max_queue: int
    reflection: bool
    grace_s: float


def run(service: Service, binding: Binding) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return."""
    keep_freed_memory()
    asyncio.run(_serve(service, binding))


async def _serve(service: Service, binding: Binding) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
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
        OSError: the address cannot be listened on.
    """
    thread, checks = ModelThread(binding.max_queue), health.aio.HealthServicer()
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((handlers(service, thread, binding.max_queue),))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if binding.reflection:
        known = (service.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(known, server)
    names = ("", service.full_name, *service.health_names)
    await _report(checks, names, health_pb2.HealthCheckResponse.NOT_SERVING)
    port = listen(server, binding.address)
    await server.start()
    _log.info("listening on port %d", port)
    grace_s = 0.0  # for a service that does not come up
    try:
        if await _ready(service, thread, stop or asyncio.Event()):
            await _report(checks, names, health_pb2.HealthCheckResponse.SERVING)
            _log.info("serving")
        yield port
        grace_s = binding.grace_s
    finally:
        _log.info("stopping; %g s for the work under way", grace_s)
        await checks.enter_graceful_shutdown()
        await server.stop(grace_s)
        thread.close()
        _log.info("stopped")


async def _ready(service: Service, thread: ModelThread, stop: asyncio.Event) -> bool:
    """Prepare and warm up; return False when the process was asked to stop meanwhile."""

    async def get_ready() -> None:
        await service.prepare()
        await thread.call(service.warm_up)

    work, asked = asyncio.create_task(get_ready()), asyncio.create_task(stop.wait())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not work.done():
        work.cancel()
        return False
    work.result()
    return True


async def _report(checks: Any, names: tuple[str, ...], status: int) -> None:
    for name in names:
        await checks.set(name, status)
