"""A service of our own, called over gRPC: its limits, its observers, and what becomes of callers that leave."""

import asyncio
import contextlib
import io
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc import cancel
from jscc.limits import MAX_QUEUE_BYTES
from jscc.wire import codec
from jscc.wire.client import Client
from jscc.wire.errors import LinkError
from jscc.wire.log import JsonLines
from jscc.wire.server import Binding, serving
from jscc.wire.service import Outcome, Pipeline, RefusalLog, Service
from jscc.wire.transport import client_channel
from jscc.wire.v1 import channel_pb2
from jscc.wire.v1 import symbols_pb2 as pb

TIMEOUT_S = 120.0
SYMBOLS = np.ones((1, 4), np.float32)
REQUEST = channel_pb2.TransmitRequest(context=pb.RequestContext(request_id="x"))
GARBAGE = [bytes(1_000_000), bytes.fromhex("c80100") * 300_000, b"", b"\xff" * 50]


@dataclass
class Watcher:
    """An observer that tests can wait for."""

    outcomes: list[Outcome] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._changed.set()

    def count(self, status: str) -> int:
        return [outcome.status for outcome in self.outcomes].count(status)

    async def until(self, is_enough: Callable[[], bool]) -> None:
        while not is_enough():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), TIMEOUT_S)


class Works:
    """A service whose every RPC waits until it is released."""

    def __init__(self) -> None:
        self.entered, self.release, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.batches: list[int] = []
        self.direct_release = asyncio.Event()
        self.waiting = 0
        self.watcher = Watcher()

    def compute(self, requests: list[codec.Array]) -> list[codec.Array]:
        self.batches.append(len(requests))
        self.entered.set()
        try:
            while not self.release.wait(0.01):
                cancel.check()
        finally:
            self.ended.set()
        return requests

    async def direct(self, raw: bytes) -> pb.RequestContext:
        self.waiting += 1
        await self.direct_release.wait()
        return pb.RequestContext(request_id="done")

    async def describe(self, raw: bytes) -> pb.RequestContext:
        return pb.RequestContext(request_id="described")

    async def stream(self, raw: bytes) -> AsyncIterator[pb.RequestContext]:
        yield pb.RequestContext(request_id="begun")
        await self.direct_release.wait()

    def service(self, **changes: Any) -> Service:
        transmit = Pipeline(
            channel_pb2.TransmitRequest,
            lambda request, symbols: symbols,
            self.compute,
            lambda symbols: (channel_pb2.TransmitResponse(), symbols),
        )
        return Service(
            "jscc.wire.v1.ChannelService",
            compute={"Transmit": transmit},
            direct={"Send": self.direct, "Describe": self.describe},
            streams={"Run": self.stream},
            **{"concurrency": 2, "observers": (self.watcher,), **changes},
        )


@asynccontextmanager
async def served(
    works: Works, max_queue: int = 64, max_queue_bytes: int = MAX_QUEUE_BYTES, **changes: Any
) -> AsyncIterator[Client]:
    binding = Binding("127.0.0.1:0", max_queue, reflection=False, grace_s=0, max_queue_bytes=max_queue_bytes)
    try:
        async with serving(works.service(**changes), binding) as port:
            client = Client("channel", f"127.0.0.1:{port}")
            try:
                yield client
            finally:
                await client.close()
    finally:
        works.release.set()


def transmit(client: Client, timeout_s: float = TIMEOUT_S) -> "asyncio.Task[Any]":
    call = client.exchange("Transmit", (REQUEST, SYMBOLS), channel_pb2.TransmitResponse, timeout_s)
    return asyncio.create_task(call)


def call(client: Client, rpc: str, timeout_s: float = TIMEOUT_S) -> "asyncio.Task[pb.RequestContext]":
    return asyncio.create_task(client.call(rpc, pb.RequestContext(), pb.RequestContext, timeout_s))


async def is_healthy(client: Client) -> bool:
    async with client_channel(client.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def refused_with(client: Client, raw: bytes) -> LinkError:
    with pytest.raises(LinkError) as refusal:
        await client._attempt("Transmit", raw, TIMEOUT_S)
    return refusal.value


async def test_an_observer_sees_rpc_status_and_record() -> None:
    works = Works()
    works.release.set()
    async with served(works) as client:
        _, answer, times = await transmit(client)
        refusal = await refused_with(client, b"\xff")
        await call(client, "Describe")
        await works.watcher.until(lambda: len(works.watcher.outcomes) == 3)
    np.testing.assert_array_equal(answer, SYMBOLS)
    sent, refused, described = works.watcher.outcomes
    assert (sent.rpc, sent.status, sent.details) == ("Transmit", "OK", "")
    record = sent.record
    assert record is not None
    assert record == times.to_wire()
    assert record.queue_ns + record.deserialize_ns + record.compute_ns + record.serialize_ns <= sent.duration_ns
    assert min(record.queue_ns, record.deserialize_ns, record.compute_ns, record.serialize_ns) > 0
    assert (refused.rpc, refused.status, refused.record) == ("Transmit", "INVALID_ARGUMENT", None)
    assert refused.details == refusal.details
    assert (described.rpc, described.status, described.record) == ("Describe", "OK", None)
    assert works.batches == [1]


async def test_a_refusal_is_logged_in_one_line_whatever_an_observer_does(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def observe(self, outcome: Outcome) -> None:
            raise RuntimeError("broken")

    works = Works()
    works.release.set()
    with caplog.at_level(logging.WARNING):
        async with served(works, observers=(Broken(), RefusalLog())) as client:
            refusal = await refused_with(client, b"\xff")
            await transmit(client)
    assert refusal.code == "INVALID_ARGUMENT"
    refusals = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert refusals == [f"refused: Transmit: INVALID_ARGUMENT: {refusal.details}"]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a service writes to its log."""
    written, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(written), root.level
    handler.setFormatter(JsonLines("channel"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def of_calls(lines: io.StringIO) -> list[dict[str, str]]:
    """The lines of the log that are about calls: not those of the service's own life."""
    return [line for line in map(json.loads, lines.getvalue().splitlines()) if "rpc" in line]


class TestLog:
    """Every line of a request bears its names, in the event loop and in the model thread, and no other request's."""

    NAMES = MappingProxyType({"rpc": "Transmit", "request_id": "x", "method": "softcast", "checkpoint": "d1"})
    REQUEST = channel_pb2.TransmitRequest(
        context=pb.RequestContext(request_id="x", method="softcast", checkpoint_digest="d1")
    )

    async def send(self, works: Works, request: Message, **changes: Any) -> None:
        async with served(works, observers=(RefusalLog(), works.watcher), **changes) as client:
            with contextlib.suppress(LinkError):
                await client._attempt("Transmit", codec.encode(request, SYMBOLS), TIMEOUT_S)
            await works.watcher.until(lambda: len(works.watcher.outcomes) == 1)

    async def test_a_line_of_the_model_thread_and_an_unexpected_error(self, lines: io.StringIO) -> None:
        works = Works()

        def compute(requests: list[codec.Array]) -> list[codec.Array]:
            logging.getLogger("network").warning("odd weights")
            raise KeyError("broken")

        works.compute = compute
        await self.send(works, self.REQUEST)
        found = of_calls(lines)
        assert [line["event"].partition("\n")[0] for line in found] == [
            "request x",
            "odd weights",
            "unexpected error",
            "refused: Transmit: INTERNAL: internal error (KeyError); the service's log has more",
        ]
        assert all(line.items() >= self.NAMES.items() for line in found)
        assert {line["service"] for line in found} == {"channel"}

    async def test_a_refusal_before_anything_was_computed(self, lines: io.StringIO) -> None:
        works = Works()
        async with served(works, max_queue=0, observers=(RefusalLog(), works.watcher)) as client:
            busy = transmit(client)
            await asyncio.to_thread(works.entered.wait, TIMEOUT_S)
            with pytest.raises(LinkError):
                await client._attempt("Transmit", codec.encode(self.REQUEST, SYMBOLS), TIMEOUT_S)
            await works.watcher.until(lambda: works.watcher.count("UNAVAILABLE") > 0)
            works.release.set()
            await busy
        refused = [line for line in of_calls(lines) if "UNAVAILABLE" in line["event"]]
        assert refused
        assert all(line.items() >= self.NAMES.items() for line in refused)

    async def test_names_are_cut_and_stay_on_one_line(self, lines: io.StringIO) -> None:
        works = Works()
        works.release.set()
        await self.send(works, channel_pb2.TransmitRequest(context=pb.RequestContext(request_id="a\n" * 50_000)))
        (line,) = of_calls(lines)
        assert line["request_id"] == "a\n" * 100
        assert len(line["event"]) < 250
        assert "method" not in line


async def test_garbage_never_waits_for_the_model_thread() -> None:
    """It is refused while the thread is busy and the queue full, and takes nobody's place."""
    works = Works()
    async with served(works, max_queue=1) as client:
        calls = [transmit(client)]
        await asyncio.to_thread(works.entered.wait, TIMEOUT_S)
        calls.append(transmit(client))
        codes = {(await refused_with(client, raw)).code for raw in GARBAGE}
        assert await is_healthy(client)
        works.release.set()
        await asyncio.gather(*calls)
    assert codes == {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
    assert works.batches == [1, 1]


async def test_150_calls_at_once_all_succeed() -> None:
    """One computes, 64 wait, 85 are refused; they come again more often than gRPC's own four attempts."""
    works = Works()
    async with served(works, max_queue=64) as client:
        calls = [transmit(client) for _ in range(150)]
        await works.watcher.until(lambda: works.watcher.count("UNAVAILABLE") > 4 * 85)
        works.release.set()
        answers = await asyncio.gather(*calls)
    assert len(answers) == 150
    assert len(works.batches) == 150


async def test_a_call_gives_up_when_its_deadline_comes_before_its_turn() -> None:
    works = Works()
    async with served(works, max_queue=0) as client:
        first = transmit(client)
        await asyncio.to_thread(works.entered.wait, TIMEOUT_S)
        with pytest.raises(LinkError) as refusal:
            await transmit(client, timeout_s=0.2)  # less than the time to come again
        assert refusal.value.is_outage
        works.release.set()
        await first


async def test_direct_calls_have_a_bounded_queue_and_say_when_to_come_again() -> None:
    """Sixty at once held as many images in memory and health for 18 s. Health and Describe have no limit."""
    works = Works()
    async with served(works, max_queue=3) as client:
        calls = [call(client, "Send") for _ in range(60)]
        await works.watcher.until(lambda: works.watcher.count("UNAVAILABLE") >= 60 - 5)
        assert works.waiting == 2
        refusals = {outcome.details for outcome in works.watcher.outcomes}
        assert refusals == {"queue: 3 requests wait already; come again in 0.25 s"}
        assert (await call(client, "Describe")).request_id == "described"
        assert await is_healthy(client)
        works.direct_release.set()
        assert [answer.request_id for answer in await asyncio.gather(*calls)] == ["done"] * 60
    assert works.waiting == 60


async def test_bytes_are_limited_as_requests_are() -> None:
    """Two requests of a megabyte fit two megabytes and a half; computed, direct and as streams, a third is refused."""
    works, mebibyte = Works(), 1 << 20
    text = pb.RequestContext(request_id="x" * mebibyte)
    symbols = np.ones((1, mebibyte // 4), np.float32)
    async with served(works, max_queue=64, max_queue_bytes=5 * mebibyte // 2) as client:
        calls = [
            asyncio.create_task(
                client.exchange("Transmit", (REQUEST, symbols), channel_pb2.TransmitResponse, TIMEOUT_S)
            )
            for _ in range(3)
        ]
        calls += [asyncio.create_task(client.call("Send", text, pb.RequestContext, TIMEOUT_S)) for _ in range(3)]
        streams = [client.stream("Run", text, pb.RequestContext) for _ in range(3)]
        assert [(await anext(stream)).request_id for stream in streams[:2]] == ["begun", "begun"]
        with pytest.raises(LinkError, match=r"queue: 2.0 MiB are held already; come again in") as refusal:
            await anext(streams[2])
        assert refusal.value.retry_after_s is not None
        await works.watcher.until(lambda: {"Transmit", "Send"} <= {outcome.rpc for outcome in works.watcher.outcomes})
        assert {outcome.details.partition(";")[0] for outcome in works.watcher.outcomes} == {
            "queue: 2.0 MiB are held already"
        }
        works.release.set()
        works.direct_release.set()
        await asyncio.gather(*calls)
        assert [[answer async for answer in stream] for stream in streams[:2]] == [[], []]


async def test_streams_have_the_same_limit() -> None:
    works = Works()
    async with served(works, max_queue=0) as client:
        streams = [client.stream("Run", pb.RequestContext(), pb.RequestContext) for _ in range(2)]
        assert [(await anext(stream)).request_id for stream in streams] == ["begun", "begun"]
        with pytest.raises(LinkError, match="0 requests wait already") as refusal:
            await anext(client.stream("Run", pb.RequestContext(), pb.RequestContext))
        assert refusal.value.retry_after_s is not None
        works.direct_release.set()
        assert [[answer async for answer in stream] for stream in streams] == [[], []]
        assert (await anext(client.stream("Run", pb.RequestContext(), pb.RequestContext))).request_id == "begun"


async def test_work_whose_caller_leaves_ends_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    works = Works()
    async with served(works, max_queue=4) as client:
        first = transmit(client)
        await asyncio.to_thread(works.entered.wait, TIMEOUT_S)
        waiting = transmit(client)
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.to_thread(works.ended.wait, TIMEOUT_S)  # although nothing has released it
        await works.watcher.until(lambda: works.watcher.count("CANCELLED") == 1)
        works.release.set()
        await waiting
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_work_whose_deadline_passes_ends_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    works = Works()
    async with served(works, max_queue=4) as client:
        with pytest.raises(LinkError) as late:
            await transmit(client, timeout_s=1.0)
        assert late.value.code == "DEADLINE_EXCEEDED"
        assert late.value.is_outage
        await works.watcher.until(lambda: len(works.watcher.outcomes) == 1)
        # The caller's clock and the service's end at almost the same time, and either may be the first.
        assert works.watcher.outcomes[0].status in ("DEADLINE_EXCEEDED", "CANCELLED")
        assert not works.batches or await asyncio.to_thread(works.ended.wait, TIMEOUT_S)
        works.release.set()
        await transmit(client)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_service_that_does_not_come_up_says_why_at_once() -> None:
    async def fail() -> None:
        raise LinkError("encoder", "x:1", "UNAVAILABLE", "because")

    with pytest.raises(LinkError, match="because"):
        async with served(Works(), prepare=fail):
            raise AssertionError("served")
