"""Start-up of every service: raw-bytes handlers, one model thread, health, reflection, graceful end."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from jscc.wire.codec import Hop
from jscc.wire.errors import OverloadedError, status_of
from jscc.wire.transport import SERVER_OPTIONS, keep_freed_memory

Compute = Callable[[bytes, Hop], bytes]
"""Runs in the model thread: request bytes and time record in, answer bytes out."""
Direct = Callable[[bytes], Awaitable[Message]]
Stream = Callable[[bytes], AsyncIterator[Message]]

_log = logging.getLogger(__name__)


async def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Service:
    """One service to serve.

    Attributes:
        full_name: protobuf name, such as "jscc.wire.v1.EncoderService".
        compute: handlers that run in the model thread, by RPC name.
        direct: handlers that run in the event loop and must not block, by RPC name.
        streams: handlers that answer with a stream, by RPC name.
        prepare: awaited in the event loop before the service reports SERVING.
        warm_up: called in the model thread before the service reports SERVING.
        health_names: names beside "" and full_name that health checks may ask for, such as methods.
    """

    full_name: str
    compute: Mapping[str, Compute] = field(default_factory=dict)
    direct: Mapping[str, Direct] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    prepare: Callable[[], Awaitable[None]] = _nothing
    warm_up: Callable[[], None] = lambda: None
    health_names: tuple[str, ...] = ()


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


class ModelThread:
    """The one thread in which a service decodes, computes and encodes, so that the event loop stays free."""

    def __init__(self, max_queue: int) -> None:
        """Start the thread; max_queue requests may wait."""
        self._pool = ThreadPoolExecutor(1, "model")
        self._max_queue = max_queue
        self._waiting = 0

    async def run(self, compute: Compute, raw: bytes) -> bytes:
        """Run one request; the wait for the thread is its queue time.

        Raises:
            OverloadedError: max_queue requests wait already.
        """
        if self._waiting > self._max_queue:
            raise OverloadedError(f"queue: {self._max_queue} requests wait already; come again")
        self._waiting += 1
        hop = Hop.start(time.perf_counter_ns(), len(raw))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _timed, compute, raw, hop)
        finally:
            self._waiting -= 1

    async def call(self, function: Callable[[], None]) -> None:
        """Run something that is no request, such as the warm-up."""
        await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Let the thread end after the work under way."""
        self._pool.shutdown(wait=True)


def _timed(compute: Compute, raw: bytes, hop: Hop) -> bytes:
    hop.lap("queue", time.perf_counter_ns())
    return compute(raw, hop)


def run(service: Service, binding: Binding) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return."""
    keep_freed_memory()
    asyncio.run(_serve(service, binding))


async def _serve(service: Service, binding: Binding) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    thread = ModelThread(binding.max_queue)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((_handlers(service, thread),))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if binding.reflection:
        known = (service.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(known, server)
    names = ("", service.full_name, *service.health_names)
    await _report(checks, names, health_pb2.HealthCheckResponse.NOT_SERVING)
    port = _listen(server, binding.address)
    await server.start()
    _log.info("listening on port %d", port)
    if await _ready(service, thread, stop):
        await _report(checks, names, health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving")
        await stop.wait()
    _log.info("stopping; %g s for the work under way", binding.grace_s)
    await checks.enter_graceful_shutdown()
    await server.stop(binding.grace_s)
    thread.close()
    _log.info("stopped")


def _listen(server: Any, address: str) -> int:
    try:
        port: int = server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(f"LISTEN_ADDRESS={address}: cannot listen there; is the port taken?") from None
    return port


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


def _handlers(service: Service, thread: ModelThread) -> grpc.GenericRpcHandler:
    """Register every RPC with identity serialisers: the handlers see bytes."""
    handlers: dict[str, Any] = {}
    for name, compute in service.compute.items():
        handlers[name] = grpc.unary_unary_rpc_method_handler(_compute_handler(compute, thread))
    for name, direct in service.direct.items():
        handlers[name] = grpc.unary_unary_rpc_method_handler(_direct_handler(direct))
    for name, stream in service.streams.items():
        handlers[name] = grpc.unary_stream_rpc_method_handler(_stream_handler(stream))
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _compute_handler(compute: Compute, thread: ModelThread) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def handle(raw: bytes, context: Any) -> bytes:
        try:
            return await thread.run(compute, raw)
        except Exception as error:  # every error becomes a status
            await _abort(context, error)
            raise

    return handle


def _direct_handler(direct: Direct) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def handle(raw: bytes, context: Any) -> bytes:
        try:
            return (await direct(raw)).SerializeToString()
        except Exception as error:  # every error becomes a status
            await _abort(context, error)
            raise

    return handle


def _stream_handler(stream: Stream) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
    async def handle(raw: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for message in stream(raw):
                yield message.SerializeToString()
        except Exception as error:  # every error becomes a status
            await _abort(context, error)
            raise

    return handle


async def _abort(context: Any, error: Exception) -> None:
    code, details, trailers = status_of(error)
    _log.warning("refused: %s: %s", code.name, details)
    await context.abort(code, details, trailers)
