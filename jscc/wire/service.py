"""What a servicer declares: its RPCs, how each is computed, and who watches."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from jscc.wire import codec
from jscc.wire.codec import Array, Hop
from jscc.wire.v1 import symbols_pb2 as pb

Direct = Callable[[bytes], Awaitable[Message]]
Stream = Callable[[bytes], AsyncIterator[Message]]

M = TypeVar("M", bound=Message)
Q = TypeVar("Q")
R = TypeVar("R")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline(Generic[M, Q, R]):
    """An RPC with a tensor in both directions, in three steps that all run in the model thread.

    Attributes:
        request_type: generated class of the request.
        parse: checks a request and its tensor, and makes of them what is computed on.
        compute: from a list of those to a list of results in the same order; a list of one today.
        answer: from a result to the answer and its tensor, the fields for the tensor and the timing empty.
    """

    request_type: type[M]
    parse: Callable[[M, Array], Q]
    compute: Callable[[list[Q]], list[R]]
    answer: Callable[[R], tuple[Message, Array]]

    def __call__(self, raw: bytes, hop: Hop) -> bytes:
        """Answer one request.

        Args:
            raw: what arrived.
            hop: its time record; the last lap ended when the model thread took it.

        Raises:
            CodecError: the bytes are not such a request.
            Exception: whatever a step raises.
        """
        request = self.parse(*codec.decode(self.request_type, raw))
        hop.lap("deserialize", time.perf_counter_ns())
        (result,) = self.compute([request])
        hop.lap("compute", time.perf_counter_ns())
        return codec.encode_timed(*self.answer(result), hop, time.perf_counter_ns)

    def rehearse(self, request: M, array: Array) -> None:
        """Answer a request of our own, so that the first one that arrives is answered as fast as the others."""
        raw = codec.encode(request, array)
        self(raw, Hop.start(time.perf_counter_ns(), len(raw)))


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        rpc: name of the RPC.
        status: name of the gRPC status.
        details: the message to the caller; empty for OK.
        duration_ns: from the arrival of the request to the answer, for a stream to its end.
        record: where the time went, as the answer says; None where there is no such answer.
    """

    rpc: str
    status: str
    details: str
    duration_ns: int
    record: pb.HopTiming | None = None


class Observer(Protocol):
    """Sees every call of a service, health checks aside."""

    def observe(self, outcome: Outcome) -> None:
        """Take note of a call. Runs in the event loop, so it must be quick."""


class RefusalLog:
    """Logs a line for every call that was not answered."""

    def observe(self, outcome: Outcome) -> None:
        """Log the call if it failed."""
        if outcome.status != "OK":
            _log.warning("refused: %s: %s: %s", outcome.rpc, outcome.status, outcome.details)


async def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Service:
    """One service to serve.

    Attributes:
        full_name: protobuf name, such as "jscc.wire.v1.EncoderService".
        compute: RPCs that run in the model thread, by name.
        direct: RPCs that run in the event loop and must not block it, by name.
        streams: the same, but answered with a stream.
        concurrency: how many direct calls are under way at once, and how many streams; further ones wait in line.
        unlimited: names of direct RPCs that never wait because they cost next to nothing.
        prepare: awaited in the event loop before the service reports SERVING.
        warm_up: called in the model thread before the service reports SERVING.
        finish: awaited once nothing is under way any more, whether it got ready or not; closes what `prepare` opened.
        health_names: names beside "" and full_name that health checks may ask for, such as methods.
        observers: see every call.
    """

    full_name: str
    compute: Mapping[str, Pipeline[Any, Any, Any]] = field(default_factory=dict)
    direct: Mapping[str, Direct] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    concurrency: int = 4
    unlimited: frozenset[str] = frozenset({"Describe"})
    prepare: Callable[[], Awaitable[None]] = _nothing
    warm_up: Callable[[], None] = lambda: None
    finish: Callable[[], Awaitable[None]] = _nothing
    health_names: tuple[str, ...] = ()
    observers: tuple[Observer, ...] = (RefusalLog(),)
