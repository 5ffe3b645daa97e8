"""A client against services that are silent, away or late."""

import asyncio
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from jscc.wire import probe
from jscc.wire.client import Client
from jscc.wire.errors import LinkError
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from jscc.wire.v1 import channel_pb2

TRANSMIT = (channel_pb2.TransmitRequest(), np.ones((1, 4), np.float32))
DESCRIBE = (channel_pb2.ChannelServiceDescribeRequest(), channel_pb2.ChannelServiceDescribeResponse)


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never answers, like a service that was stopped by SIGSTOP."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def test_a_service_that_accepts_and_never_answers_is_an_outage(silent: str) -> None:
    """Within the given time, whatever is asked."""
    client = Client("channel", silent)
    try:
        for ask in (
            lambda: client.wait_until_serving(0.5),
            lambda: client.call("Describe", *DESCRIBE, 0.5),
            lambda: client.exchange("Transmit", TRANSMIT, channel_pb2.TransmitResponse, 0.5),
        ):
            with pytest.raises(LinkError, match=rf"^channel at {silent}: DEADLINE_EXCEEDED: ") as failure:
                await asyncio.wait_for(ask(), 60)
            assert failure.value.is_outage
    finally:
        await client.close()


async def test_a_service_that_is_away_is_an_outage(closed: str) -> None:
    client = Client("channel", closed)
    try:
        with pytest.raises(LinkError) as failure:
            await client.call("Describe", *DESCRIBE, 60)
        assert failure.value.is_outage
        assert failure.value.retry_after_s is None
        with pytest.raises(LinkError) as failure:
            await client.wait_until_serving(0.5)
        assert failure.value.is_outage
    finally:
        await client.close()


async def test_a_service_that_comes_later_is_waited_for(closed: str) -> None:
    client = Client("channel", closed)
    waiting = asyncio.create_task(client.wait_until_serving(120))
    try:
        await asyncio.sleep(0.3)
        assert not waiting.done()
        async with serving(Service("jscc.wire.v1.ChannelService"), Binding(closed, 1, False, 0)):
            await waiting
    finally:
        waiting.cancel()
        await client.close()


async def test_the_probe_asks_once(closed: str, capsys: pytest.CaptureFixture[str]) -> None:
    binding = Binding("127.0.0.1:0", 1, False, 0)
    async with serving(Service("jscc.wire.v1.ChannelService", health_names=("awgn",)), binding) as port:
        for arguments, code in (([], 0), (["awgn"], 0), (["nosuch"], 1)):
            assert await asyncio.to_thread(probe.main, [f"127.0.0.1:{port}", *arguments]) == code
    assert await asyncio.to_thread(probe.main, [closed]) == 1
    assert await asyncio.to_thread(probe.main, []) == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"127.0.0.1:{port}: SERVING"] * 2
    assert err.splitlines()[:2] == [f"127.0.0.1:{port}: NOT_FOUND", f"{closed}: UNAVAILABLE"]
