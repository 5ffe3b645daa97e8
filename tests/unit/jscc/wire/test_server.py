"""A stopping service waits for the work under way and for nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from jscc.limits import MAX_BESIDE_BYTES, MAX_FIELDS
from jscc.wire.fields import varint
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from jscc.wire.transport import client_channel
from jscc.wire.v1 import symbols_pb2 as pb

NAME = "jscc.wire.v1.ChannelService"
GRACE_S = 3600.0
TIMEOUT_S = 60.0
"""Far less than the grace, and far more than a busy machine needs to stop a service."""
Status = health_pb2.HealthCheckResponse


class Running:
    """A service with a part `awgn` whose one RPC waits until it is released, and a connection to it."""

    def __init__(self) -> None:
        self.entered, self.release, self.finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._stack = AsyncExitStack()

    async def work(self, raw: bytes) -> pb.RequestContext:
        self.entered.set()
        await self.release.wait()
        return pb.RequestContext(request_id="done")

    async def finish(self) -> None:
        assert self.release.is_set() or not self.entered.is_set()
        self.finished.set()

    async def start(self) -> grpc.aio.Channel:
        service = Service(NAME, direct={"Work": self.work}, health_names=("awgn",), finish=self.finish)
        binding = Binding("127.0.0.1:0", 1, reflection=True, grace_s=GRACE_S)
        port = await self._stack.enter_async_context(serving(service, binding))
        return client_channel(f"127.0.0.1:{port}", retries=False)

    async def stop(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def running() -> Running:
    return Running()


@pytest.fixture
async def channel(running: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with await running.start() as channel:
        yield channel
    running.release.set()
    await running.stop()


def watch(channel: grpc.aio.Channel, name: str = "") -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("", Status.SERVING, [Status.NOT_SERVING]),
        (NAME, Status.SERVING, [Status.NOT_SERVING]),
        ("awgn", Status.SERVING, [Status.NOT_SERVING]),
        ("telepathy", Status.SERVICE_UNKNOWN, []),
    ],
)
async def test_an_open_watch_hears_the_end_and_does_not_delay_it(
    running: Running, channel: grpc.aio.Channel, name: str, first: int, last: list[int]
) -> None:
    call = watch(channel, name)
    answers = aiter(call)
    assert (await anext(answers)).status == first
    await asyncio.wait_for(running.stop(), TIMEOUT_S)
    assert [answer.status async for answer in answers] == last
    assert await call.code() == grpc.StatusCode.OK


async def test_open_reflection_does_not_delay_the_end(running: Running, channel: grpc.aio.Channel) -> None:
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    for _ in range(2):
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await call.read()).list_services_response.service
        assert {item.name for item in listed} == {
            NAME,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
    await asyncio.wait_for(running.stop(), TIMEOUT_S)
    assert await call.read() is grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_reflection_ends_with_its_caller(running: Running, channel: grpc.aio.Channel) -> None:
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert await call.read() is not grpc.aio.EOF
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_work_under_way_is_finished_while_health_says_that_no_more_is_taken(
    running: Running, channel: grpc.aio.Channel
) -> None:
    watching = aiter(watch(channel))
    assert (await anext(watching)).status == Status.SERVING
    working = channel.unary_unary(f"/{NAME}/Work")(b"")
    await asyncio.wait_for(running.entered.wait(), TIMEOUT_S)
    stopping = asyncio.create_task(running.stop())
    assert [answer.status async for answer in watching] == [Status.NOT_SERVING]
    assert not stopping.done()
    running.release.set()
    assert pb.RequestContext.FromString(await working).request_id == "done"
    await asyncio.wait_for(stopping, TIMEOUT_S)
    assert running.finished.is_set()


async def test_a_service_that_does_not_come_up_closes_what_it_opened() -> None:
    opened: list[str] = []

    async def prepare() -> None:
        opened.append("link")
        raise OSError("away")

    async def finish() -> None:
        opened.remove("link")

    with pytest.raises(OSError, match="away"):
        async with serving(
            Service(NAME, prepare=prepare, finish=finish), Binding("127.0.0.1:0", 1, reflection=False, grace_s=GRACE_S)
        ):
            raise AssertionError("served")
    assert opened == []


async def test_a_service_that_is_stopped_while_it_gets_ready_closes_what_it_opened() -> None:
    begun, stop, opened = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def prepare() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # what it leaves takes a moment
            opened.set()

    async def finish() -> None:
        assert opened.is_set()
        opened.clear()

    async def ask() -> None:
        await begun.wait()
        stop.set()

    asking = asyncio.create_task(ask())
    binding = Binding("127.0.0.1:0", 1, reflection=False, grace_s=GRACE_S)
    async with serving(Service(NAME, prepare=prepare, finish=finish), binding, stop):
        assert opened.is_set()  # what gets ready has ended before the service goes on to stop
    await asking
    assert not opened.is_set()


async def test_a_check_tells_the_status_and_refuses_an_unknown_name(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", NAME, "awgn"):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == Status.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Check(health_pb2.HealthCheckRequest(service="telepathy"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


MALFORMED = [b"\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\x00", b"\x0b"]
"""A cut tag, a cut name, a name that is no text, a field of number 0, a group."""
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.mark.parametrize("raw", MALFORMED, ids=bytes.hex)
async def test_malformed_health_and_reflection_are_the_callers_fault(channel: grpc.aio.Channel, raw: bytes) -> None:
    calls: list[Any] = [
        channel.unary_unary("/grpc.health.v1.Health/Check")(raw),
        channel.unary_stream("/grpc.health.v1.Health/Watch")(raw),
        channel.stream_stream(REFLECTION)(iter([raw])),
    ]
    for call in calls:
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
        details = await call.details()
        assert details
        assert details.isprintable()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x0a" + varint(MAX_BESIDE_BYTES) + bytes(MAX_BESIDE_BYTES), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"\x10\x00" * (MAX_FIELDS + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["bytes", "fields"],
)
async def test_health_and_reflection_have_the_limits_of_every_message(
    channel: grpc.aio.Channel, raw: bytes, code: grpc.StatusCode
) -> None:
    assert await channel.unary_unary("/grpc.health.v1.Health/Check")(raw).code() == code
    assert await channel.stream_stream(REFLECTION)(iter([raw])).code() == code


async def test_reflection_goes_on_after_a_question_without_an_answer(channel: grpc.aio.Channel) -> None:
    """Of files, symbols, types and extensions that are not there, and one that asks for nothing."""
    extension = reflection_pb2.ExtensionRequest(containing_type="no.such", extension_number=-1)
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    for question, code in (
        ({"file_by_filename": "no/such"}, grpc.StatusCode.NOT_FOUND),
        ({"file_containing_symbol": "no such"}, grpc.StatusCode.NOT_FOUND),
        ({"file_containing_extension": extension}, grpc.StatusCode.NOT_FOUND),
        ({"all_extension_numbers_of_type": ""}, grpc.StatusCode.NOT_FOUND),
        ({}, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        await call.write(reflection_pb2.ServerReflectionRequest(**question))
        assert (await call.read()).error_response.error_code == code.value[0], question
    await call.done_writing()
    assert await call.code() == grpc.StatusCode.OK
