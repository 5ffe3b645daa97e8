"""Who has the token is answered; nobody else is, whatever is called and however; and it is told to nobody."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from jscc.wire import bearer, credentials
from jscc.wire.client import Client
from jscc.wire.credentials import Credentials
from jscc.wire.errors import LinkError
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from jscc.wire.tls import CredentialsError
from jscc.wire.transport import client_channel
from jscc.wire.v1 import symbols_pb2 as pb

NAME = "jscc.wire.v1.OrchestratorService"
TOKEN = "correct-horse-battery"
OTHER = "correct-horse-batterz"
TIMEOUT_S = 60.0
MISSING = "token: missing; set ORCHESTRATOR_TOKEN or ORCHESTRATOR_TOKEN_FILE"
WRONG = "token: not the one of this service; set ORCHESTRATOR_TOKEN or ORCHESTRATOR_TOKEN_FILE"


async def work(raw: bytes) -> pb.RequestContext:
    return pb.RequestContext.FromString(raw)


async def stream(raw: bytes) -> AsyncIterator[pb.RequestContext]:
    for _ in range(2):
        yield pb.RequestContext.FromString(raw)


@asynccontextmanager
async def served(token: str) -> AsyncIterator[str]:
    service = Service(NAME, direct={"Work": work}, streams={"Stream": stream})
    async with serving(service, Binding("127.0.0.1:0", 1, reflection=True, grace_s=0, token=token)) as port:
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def connected(hop: str, address: str, own: Credentials) -> AsyncIterator[Client]:
    client = Client(hop, address, own)
    try:
        yield client
    finally:
        await client.close()


async def test_who_has_the_token_is_answered() -> None:
    asked = pb.RequestContext(request_id="hello")
    async with served(TOKEN) as address, connected("orchestrator", address, Credentials(token=TOKEN)) as client:
        assert await client.call("Work", asked, pb.RequestContext, TIMEOUT_S) == asked
        assert [answer async for answer in client.stream("Stream", asked, pb.RequestContext)] == [asked, asked]


@pytest.mark.parametrize(("token", "details"), [("", MISSING), (OTHER, WRONG), (TOKEN + "x", WRONG)])
async def test_who_has_not_is_refused(token: str, details: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(TOKEN) as address, connected("orchestrator", address, Credentials(token=token)) as client:
        for refused in (
            client.call("Work", pb.RequestContext(), pb.RequestContext, TIMEOUT_S),
            anext(aiter(client.stream("Stream", pb.RequestContext(), pb.RequestContext))),
        ):
            with pytest.raises(LinkError) as caught:
                await refused
            assert (caught.value.code, caught.value.details) == ("UNAUTHENTICATED", details)
    assert "UNAUTHENTICATED" in caplog.text
    assert TOKEN not in caplog.text
    assert OTHER not in caplog.text


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", TOKEN)],
        [("authorization", f"bearer {TOKEN}")],
        [("authorization", f"Bearer  {TOKEN}")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {OTHER}")],
        [("authorization-bin", f"Bearer {TOKEN}".encode())],
        [("token", TOKEN)],
    ],
)
async def test_nothing_that_is_nearly_the_token_is(metadata: list[tuple[str, str | bytes]]) -> None:
    async with served(TOKEN) as address, client_channel(address, own=Credentials()) as channel:
        call: Any = channel.unary_unary(f"/{NAME}/Work")(b"", metadata=metadata)
        assert await call.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "path", [f"/{NAME}/NoSuch", "/no.such/Thing", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
)
async def test_strangers_learn_nothing_of_what_there_is(path: str) -> None:
    """Before a byte of a request, which a stream may never send."""
    async with served(TOKEN) as address, client_channel(address, own=Credentials()) as channel:
        call: Any = channel.stream_stream(path)()
        assert await call.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_token() -> None:
    async with served(TOKEN) as address, connected("orchestrator", address, Credentials()) as client:
        await client.wait_until_serving(TIMEOUT_S)
        assert await client.is_serving(TIMEOUT_S)


async def test_without_a_token_everybody_is_answered() -> None:
    async with served("") as address, connected("orchestrator", address, Credentials()) as client:
        assert await client.call("Work", pb.RequestContext(), pb.RequestContext, TIMEOUT_S) == pb.RequestContext()


def test_only_an_orchestrator_is_shown_the_token_and_nobody_in_plain_text_on_the_way() -> None:
    own = Credentials(token=TOKEN)
    assert own.metadata("orchestrator", "127.0.0.1:1") == (("authorization", f"Bearer {TOKEN}"),)
    assert own.metadata("decoder", "127.0.0.1:1") == ()
    with pytest.raises(
        CredentialsError, match=r"cross the network to 192\.0\.2\.1:1 in plain text; set TLS_CA"
    ) as refused:
        own.metadata("orchestrator", "192.0.2.1:1")
    assert TOKEN not in str(refused.value)
    trusting = Credentials(token=TOKEN, trusts_network=True)
    assert trusting.metadata("orchestrator", "192.0.2.1:1") == own.metadata("orchestrator", "127.0.0.1:1")


def test_a_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert credentials.of_environment({"ORCHESTRATOR_TOKEN": TOKEN}).token == TOKEN
    assert credentials.of_environment({"ORCHESTRATOR_TOKEN_FILE": str(file)}).token == TOKEN
    assert credentials.of_environment({"ORCHESTRATOR_TOKEN": "", "ORCHESTRATOR_TOKEN_FILE": ""}).token == ""


def test_what_is_no_token_is_refused_and_not_repeated(tmp_path: Path) -> None:
    empty, latin, large = tmp_path / "empty", tmp_path / "latin", tmp_path / "large"
    empty.write_text("\n")
    latin.write_bytes(b"\xe9" * bearer.MIN_TOKEN)
    large.write_text("x" * (bearer.MAX_TOKEN + 1))
    for token, file, named in (
        ("short", "", "ORCHESTRATOR_TOKEN: a token has 16 to 4096"),
        ("with a space in it", "", "ORCHESTRATOR_TOKEN: a token has"),
        ("x" * (bearer.MAX_TOKEN + 1), "", "ORCHESTRATOR_TOKEN: a token has"),
        ("", str(empty), f"ORCHESTRATOR_TOKEN_FILE={empty}: a token has"),
        ("", str(latin), f"ORCHESTRATOR_TOKEN_FILE={latin}: is no text"),
        ("", str(large), f"ORCHESTRATOR_TOKEN_FILE={large}: a token has"),
        ("", str(tmp_path / "none"), "No such file"),
        (TOKEN, str(empty), "set one of them"),
    ):
        with pytest.raises(CredentialsError) as refused:
            bearer.read(token, file)
        assert named in str(refused.value)
        assert not token or token not in str(refused.value)
