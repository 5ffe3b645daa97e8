"""No wait is silent, and none outlasts its limit: what is waited for is said, with the reason."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc.wire.client import Client
from jscc.wire.errors import LinkError
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.condition import condition_of
from services.orchestrator.link.serving import until_serving
from services.orchestrator.link.vigil import Vigil
from services.orchestrator.link.waiting import Notice, patiently


class Clock:
    """Stands still until it is set."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_notice_comes_after_two_seconds_and_then_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(), list[str]()
    monkeypatch.setattr(time, "monotonic", clock)
    notice, moments = Notice("the end", said.append), list[float]()
    for _ in range(250):
        before = len(said)
        notice.tick()
        if len(said) > before:
            moments.append(notice.waited_s)
        clock.now_s += 1
    assert moments == [2, 4, 8, 16, 32, 64, 124, 184, 244]
    assert said[0] == "waiting for the end (2 s)"


async def test_work_that_lasts_is_told_of() -> None:
    """The work ends only once something has been said."""
    told = asyncio.Event()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        told.set()

    assert await patiently(told.wait(), "a word", say) is True
    assert len(said) == 1
    assert said[0].startswith("waiting for a word (")


async def test_quick_work_is_not_told_of_and_its_failure_comes_through() -> None:
    async def fail() -> None:
        raise ValueError("no")

    said: list[str] = []
    with pytest.raises(ValueError, match=r"^no$"):
        await patiently(fail(), "x", said.append)
    assert said == []


async def test_what_is_broken_off_ends_its_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(patiently(work(), "x", lambda _line: None))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Address of something that accepts connections and never answers, as a stopped process does."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in writers:
        writer.close()
    await server.wait_closed()


@pytest.fixture
async def foreign() -> AsyncIterator[str]:
    """Address of a gRPC server that is none of ours."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def absent() -> str:
    """Address at which nothing listens any more."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    return address


async def test_conditions_are_told_apart(silent: str, foreign: str, absent: str) -> None:
    found = {}
    for name, address in (("silent", silent), ("foreign", foreign), ("absent", absent)):
        client = Client("decoder", address)
        found[name] = await condition_of(client)
        await client.close()
    assert {name: condition.state for name, condition in found.items()} == {name: name for name in found}
    assert found["silent"].words == "it accepts connections and does not answer"
    assert found["foreign"].words == "another service answers there, no decoder"
    assert found["absent"].words == "nothing listens there"


async def test_services_that_are_away_are_named_after_the_wait(absent: str, silent: str) -> None:
    with pytest.raises(LinkError) as caught:
        await until_serving(Addresses(absent, absent, (silent,)), 0.5, lambda _line: None)
    assert str(caught.value).startswith(f"encoder at {absent}: UNAVAILABLE: nothing listens there; waited ")


async def test_while_services_are_waited_for_each_is_said_with_its_reason(absent: str, silent: str) -> None:
    said: list[str] = []
    with pytest.raises(LinkError):
        await until_serving(Addresses(absent, absent, (silent,)), 6, said.append)
    assert f"encoder at {absent}: nothing listens there" in said[0]
    assert f"decoder at {silent}: it accepts connections and does not answer" in said[0]
    assert said[0].startswith("waiting for the link, up to 6 s: ")


async def test_another_service_at_the_address_ends_the_wait_at_once(foreign: str) -> None:
    with pytest.raises(LinkError, match=r"another service answers there, no encoder; waited"):
        await until_serving(Addresses(foreign, foreign, (foreign,)), 3600, lambda _line: None)


async def test_a_call_to_a_service_that_never_answers_fails_as_an_outage(silent: str) -> None:
    said: list[str] = []
    async with Vigil([Client("decoder", silent)], said.append, max_silence_s=1) as vigil:
        calls = [asyncio.create_task(vigil.over(asyncio.Event().wait())) for _ in range(3)]
        done, _ = await asyncio.wait(calls)
    failures = [task.exception() for task in done]
    assert all(isinstance(failure, LinkError) and failure.is_outage for failure in failures)
    assert f"decoder at {silent}: UNAVAILABLE: it accepts calls and has not answered for" in str(failures[0])
    assert said == [f"waiting for decoder at {silent}: it does not answer"]  # once, however many calls wait


async def test_a_service_that_answers_again_is_said_and_the_call_goes_on() -> None:
    """Its health check hangs until it has been told of; the call ends once it has been told of again."""
    answers, ended, said = asyncio.Event(), asyncio.Event(), list[str]()

    class Health(health_pb2_grpc.HealthServicer):
        async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:  # noqa: N802
            await answers.wait()
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    def say(line: str) -> None:
        said.append(line)
        (ended if answers.is_set() else answers).set()

    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with Vigil([Client("decoder", address)], say, max_silence_s=3600) as vigil:
        assert await vigil.over(ended.wait()) is True
    await server.stop(None)
    assert said == [f"waiting for decoder at {address}: it does not answer", f"decoder at {address} answers again"]


async def test_a_quick_call_asks_nobody_anything(silent: str) -> None:
    async with Vigil([Client("decoder", silent)], lambda _line: None, max_silence_s=0) as vigil:
        assert await vigil.over(asyncio.sleep(0, "answer")) == "answer"
