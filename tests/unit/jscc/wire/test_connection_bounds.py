"""What connections may take of a service: silent ones end, too many are closed, others are answered beside the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc.limits import MAX_CONNECTIONS, MAX_METADATA_BYTES, MAX_STREAMS
from jscc.wire.client import Client
from jscc.wire.credentials import Credentials
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from jscc.wire.tls import TlsFiles
from jscc.wire.transport import client_channel

TIMEOUT_S = 120.0
"""Far more than anything here takes on a busy machine."""


@asynccontextmanager
async def served(files: TlsFiles | None = None) -> AsyncIterator[tuple[str, int]]:
    binding = Binding("127.0.0.1:0", 1, reflection=False, grace_s=0, files=files)
    async with serving(Service("jscc.wire.v1.ChannelService"), binding) as port:
        yield "127.0.0.1", port


async def hung_up(reader: asyncio.StreamReader) -> None:
    """Read until the other end closes the connection."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while await reader.read(1024):
                pass
    except ConnectionError:
        return


@pytest.mark.slow
async def test_a_connection_that_does_not_go_on_ends(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.make("channel")
    async with served() as plain, served(authority.server("channel")) as safe:
        opened = []
        for where in (plain, safe):
            for first_bytes in (b"", b"PRI * HTTP/2.0\r\n", b"\x16\x03\x01"):
                opened.append(await asyncio.open_connection(*where))
                opened[-1][1].write(first_bytes)
        await asyncio.gather(*(hung_up(reader) for reader, _ in opened))
        for _, writer in opened:
            writer.close()


async def test_more_connections_than_the_limit_are_closed_as_they_come() -> None:
    async with served() as where:
        opened = [await asyncio.open_connection(*where) for _ in range(MAX_CONNECTIONS)]
        for reader, _ in opened:
            assert await reader.read(1), "closed within the limit"
        reader, further = await asyncio.open_connection(*where)
        await hung_up(reader)
        for _, writer in (*opened, (reader, further)):
            writer.close()
        client = Client("channel", f"{where[0]}:{where[1]}", Credentials())
        await client.wait_until_serving(TIMEOUT_S)
        await client.close()


@pytest.mark.slow
async def test_calls_beyond_the_limit_wait_and_leave_others_alone() -> None:
    answered: asyncio.Queue[int] = asyncio.Queue()

    async def watch(channel: grpc.aio.Channel) -> None:
        call: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        async for answer in call:
            await answered.put(answer.status)

    async with served() as (host, port), client_channel(f"{host}:{port}", own=Credentials()) as channel:
        watches = [asyncio.create_task(watch(channel)) for _ in range(MAX_STREAMS + 20)]
        for _ in range(MAX_STREAMS):
            await asyncio.wait_for(answered.get(), TIMEOUT_S)
        async with client_channel(
            f"{host}:{port}", retries=False, own=Credentials()
        ) as other:  # a connection of its own
            await health_pb2_grpc.HealthStub(other).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert answered.empty()
        for task in watches:
            task.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


@pytest.mark.parametrize(
    ("size_bytes", "code"), [(MAX_METADATA_BYTES // 2, "OK"), (MAX_METADATA_BYTES, "RESOURCE_EXHAUSTED")]
)
async def test_metadata_are_bounded(size_bytes: int, code: str) -> None:
    request = health_pb2.HealthCheckRequest().SerializeToString()
    async with served() as (host, port), client_channel(f"{host}:{port}", own=Credentials()) as channel:
        call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")(request, metadata=[("x", "y" * size_bytes)])
        assert (await call.code()).name == code
