"""From declared RPCs to gRPC's handlers: limits, cancellation, statuses and observers, the same for all."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import grpc

from jscc.cancel import AbandonedError, Cancellation
from jscc.wire import codec
from jscc.wire.codec import Hop
from jscc.wire.errors import status_of
from jscc.wire.log import MAX_NAME, about
from jscc.wire.queue import Gate, ModelThread
from jscc.wire.service import Direct, Observer, Outcome, Pipeline, Service, Stream
from jscc.wire.v1 import symbols_pb2 as pb

Handler = Callable[[bytes, Any], Awaitable[bytes]]

_log = logging.getLogger(__name__)


def handlers(service: Service, thread: ModelThread, max_queue: int, max_bytes: int) -> grpc.GenericRpcHandler:
    """Return gRPC's handlers of a service, with identity serialisers: they see bytes.

    Args:
        service: what is served.
        thread: where the compute RPCs run.
        max_queue: how many direct calls may wait, and how many streams.
        max_bytes: how many bytes the requests of all direct calls may hold, and those of all streams.
    """
    gate, stream_gate = (Gate(service.concurrency, max_queue, max_bytes) for _ in range(2))
    methods: dict[str, Any] = {}
    for name, pipeline in service.compute.items():
        methods[name] = grpc.unary_unary_rpc_method_handler(_compute_handler(service, name, pipeline, thread))
    for name, direct in service.direct.items():
        own_gate = None if name in service.unlimited else gate
        methods[name] = grpc.unary_unary_rpc_method_handler(_direct_handler(service, name, direct, own_gate))
    for name, stream in service.streams.items():
        methods[name] = grpc.unary_stream_rpc_method_handler(_stream_handler(service, name, stream, stream_gate))
    return grpc.method_handlers_generic_handler(service.full_name, methods)


@dataclass
class _Call:
    """One call under way.

    Attributes:
        rpc: name of the RPC.
        observers: who is told how it ended.
        caller: whether anybody waits for it.
        begun_ns: when it arrived, monotonic.
        record: where the time went, once it is known.
    """

    rpc: str
    observers: tuple[Observer, ...]
    caller: Cancellation
    begun_ns: int = field(default_factory=time.perf_counter_ns)
    record: pb.HopTiming | None = None

    def end(self, status: grpc.StatusCode, details: str = "") -> None:
        """Tell the observers; one that fails must not fail the call."""
        outcome = Outcome(self.rpc, status.name, details, time.perf_counter_ns() - self.begun_ns, self.record)
        for observer in self.observers:
            try:
                observer.observe(outcome)
            except Exception:
                _log.exception("observer %s", type(observer).__name__)


@asynccontextmanager
async def _calling(service: Service, rpc: str, context: Any) -> AsyncIterator[_Call]:
    """Turn every error inside the block into a status, and tell the observers how the call ended."""
    about(rpc=rpc)
    call = _Call(rpc, service.observers, Cancellation(context.time_remaining()))
    try:
        yield call
    except (asyncio.CancelledError, GeneratorExit):  # gRPC's way to say that the caller left or its deadline passed
        call.caller.cancel()
        call.end(*status_of(AbandonedError(call.caller.is_late))[:2])
        raise
    except Exception as error:  # every error becomes a status
        code, details, trailers = status_of(error)
        call.end(code, details)
        await context.abort(code, details, trailers)
    else:
        call.end(grpc.StatusCode.OK)


def _compute_handler(service: Service, rpc: str, pipeline: Pipeline[Any, Any, Any], thread: ModelThread) -> Handler:
    async def handle(raw: bytes, context: Any) -> bytes:
        async with _calling(service, rpc, context) as call:
            hop = Hop.start(call.begun_ns, len(raw))
            named = codec.check(pipeline.request_type, raw)  # before it can make others wait
            about(rpc=rpc, request_id=named.request_id, method=named.method, checkpoint=named.checkpoint_digest)
            _log.info("request %s", named.request_id[:MAX_NAME])
            answer = await thread.run(pipeline, raw, hop, call.caller)
            call.record = hop.timing
        return answer

    return handle


def _direct_handler(service: Service, rpc: str, direct: Direct, gate: Gate | None) -> Handler:
    async def handle(raw: bytes, context: Any) -> bytes:
        async with _calling(service, rpc, context), gate.passage(len(raw)) if gate else nullcontext():
            return (await direct(raw)).SerializeToString()

    return handle


def _stream_handler(service: Service, rpc: str, stream: Stream, gate: Gate) -> Callable[..., AsyncIterator[bytes]]:
    async def handle(raw: bytes, context: Any) -> AsyncIterator[bytes]:
        async with _calling(service, rpc, context), gate.passage(len(raw)):
            async for message in stream(raw):
                yield message.SerializeToString()

    return handle
