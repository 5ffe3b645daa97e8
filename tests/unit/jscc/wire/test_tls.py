"""Who may speak with whom, whatever goes wrong is one line that says what to set, and certificates can be replaced."""

import asyncio
import re
import shutil
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from certificates import Authority

from jscc.wire import credentials
from jscc.wire.client import Client
from jscc.wire.credentials import Credentials
from jscc.wire.errors import LinkError
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from jscc.wire.tls import CredentialsError, TlsFiles
from jscc.wire.v1 import symbols_pb2 as pb

TIMEOUT_S = 60.0
PLAIN = Credentials()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    for name in ("channel", "caller"):
        made.make(name)
    made.make("expired", DAYS="-1")
    made.make("elsewhere", HOSTS="DNS:elsewhere,IP:192.0.2.1")
    return made


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("stranger"))
    made.make("caller")
    return made


async def echo(raw: bytes) -> pb.RequestContext:
    return pb.RequestContext.FromString(raw)


@asynccontextmanager
async def served(files: TlsFiles | None) -> AsyncIterator[str]:
    service = Service("jscc.wire.v1.ChannelService", direct={"Work": echo})
    async with serving(service, Binding("127.0.0.1:0", 1, False, 0, files=files)) as port:
        yield f"127.0.0.1:{port}"


async def ask(address: str, own: Credentials) -> str:
    client = Client("channel", address, own)
    try:
        answer = await client.call("Work", pb.RequestContext(request_id="hello"), pb.RequestContext, TIMEOUT_S)
    finally:
        await client.close()
    return answer.request_id


async def refusal(address: str, own: Credentials) -> str:
    with pytest.raises(LinkError) as refused:
        await ask(address, own)
    assert refused.value.code == "FAILED_PRECONDITION"
    assert "\n" not in str(refused.value)
    return refused.value.details


async def test_a_client_that_trusts_the_authority_is_answered(authority: Authority) -> None:
    async with served(authority.server("channel")) as address:
        assert await ask(address, authority.client()) == "hello"
        assert await ask(address.replace("127.0.0.1", "localhost"), authority.client()) == "hello"


async def test_a_client_with_a_certificate_is_answered_where_one_is_wanted(authority: Authority) -> None:
    async with served(authority.server("channel", authority.ca)) as address:
        assert await ask(address, authority.client("caller")) == "hello"


async def test_another_authority_is_refused(authority: Authority, stranger: Authority) -> None:
    async with served(authority.server("channel")) as address:
        assert "of no authority in TLS_CA" in await refusal(address, stranger.client())


async def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    async with served(authority.server("expired")) as address:
        assert "has expired; set TLS_CERTIFICATE there" in await refusal(address, authority.client())


async def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    async with served(authority.server("elsewhere")) as address:
        assert "is not for 127.0.0.1" in await refusal(address, authority.client())
        by_name = address.replace("127.0.0.1", "localhost")
        assert "is not for localhost" in await refusal(by_name, authority.client())


@pytest.mark.parametrize(
    ("shown", "advice"),
    [
        ("", "it wants a certificate; set TLS_CERTIFICATE and TLS_KEY"),
        ("expired", "it refuses the certificate in TLS_CERTIFICATE: expired, or"),
    ],
)
async def test_a_client_without_a_valid_certificate_is_refused(authority: Authority, shown: str, advice: str) -> None:
    async with served(authority.server("channel", authority.ca)) as address:
        assert advice in await refusal(address, authority.client(shown))


async def test_a_clients_certificate_of_another_authority_is_refused(authority: Authority, stranger: Authority) -> None:
    async with served(authority.server("channel", authority.ca)) as address:
        advice = await refusal(address, stranger.client("caller", authority.ca))
        assert "it refuses the certificate in TLS_CERTIFICATE: expired, or of no authority in TLS_CLIENT_CA" in advice


async def test_plain_text_on_a_tls_port_is_refused(authority: Authority) -> None:
    async with served(authority.server("channel")) as address:
        assert "it speaks TLS; set TLS_CA" in await refusal(address, PLAIN)


async def test_tls_on_a_plain_port_is_refused(authority: Authority) -> None:
    async with served(None) as address:
        assert "it speaks no TLS; unset TLS_CA" in await refusal(address, authority.client())


async def test_a_service_that_is_away_is_not_said_to_be_unsafe(authority: Authority) -> None:
    async with served(authority.server("channel")) as address:
        pass
    with pytest.raises(LinkError, match="UNAVAILABLE"):
        await ask(address, authority.client())


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
async def test_old_tls_is_refused(authority: Authority, version: ssl.TLSVersion, is_spoken: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what is tested
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # this end would speak it
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    context.set_alpn_protocols(["h2"])
    async with served(authority.server("channel")) as address:
        host, _, port = address.partition(":")
        opening = asyncio.open_connection(host, int(port), ssl=context)
        if not is_spoken:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await opening
            return
        _, writer = await opening
        assert writer.get_extra_info("ssl_object").version() == f"TLSv1.{2 if version == ssl.TLSVersion.TLSv1_2 else 3}"
        writer.close()


async def shown_by(address: str, authority: Authority) -> bytes | None:
    """Return the certificate that a new connection is shown."""
    host, _, port = address.partition(":")
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


def written(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


async def test_new_connections_get_replaced_certificates_and_old_calls_go_on(tmp_path: Path) -> None:
    authority, entered, release = Authority(tmp_path), asyncio.Event(), asyncio.Event()
    authority.make("channel")

    async def work(raw: bytes) -> pb.RequestContext:
        entered.set()
        await release.wait()
        return await echo(raw)

    service = Service("jscc.wire.v1.ChannelService", direct={"Work": work})
    binding = Binding("127.0.0.1:0", 1, False, 0, files=authority.server("channel"))
    async with serving(service, binding) as port:
        address, first = f"127.0.0.1:{port}", written(authority.certificate("channel"))
        assert await shown_by(address, authority) == first
        old_call = asyncio.create_task(ask(address, authority.client()))
        await entered.wait()

        authority.key("channel").write_text("no key")  # half of a replacement: the earlier pair stays
        assert await shown_by(address, authority) == first
        authority.make("channel")
        second = written(authority.certificate("channel"))
        assert second != first
        assert await shown_by(address, authority) == second
        release.set()
        assert await old_call == "hello"
        assert await ask(address, authority.client()) == "hello"


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    nothing, other = tmp_path / "none.pem", tmp_path / "other.key"
    good = authority.server("channel")
    shutil.copy(authority.key("caller"), other)
    words = tmp_path / "words.pem"
    words.write_text("these are words")
    for files, named in (
        (TlsFiles(nothing, good.key, None, "TLS_CLIENT_CA"), f"TLS_CERTIFICATE={nothing}: No such file"),
        (TlsFiles(good.certificate, nothing, None, "TLS_CLIENT_CA"), f"TLS_KEY={nothing}: No such file"),
        (TlsFiles(good.certificate, other, None, "TLS_CLIENT_CA"), f"TLS_KEY={other}: no certificate and its key"),
        (TlsFiles(words, good.key, None, "TLS_CLIENT_CA"), f"TLS_CERTIFICATE={words}, TLS_KEY={good.key}: no cert"),
        (TlsFiles(None, None, words, "TLS_CA"), f"TLS_CA={words}: no certificate in PEM form"),
        (TlsFiles(None, None, nothing, "TLS_CA"), f"TLS_CA={nothing}: No such file"),
    ):
        with pytest.raises(CredentialsError, match=re.escape(named)) as refused:
            files.read()
        assert "\n" not in str(refused.value)


def test_a_certificate_and_its_key_go_together(authority: Authority) -> None:
    with pytest.raises(CredentialsError, match="TLS_KEY: missing; TLS_CERTIFICATE and TLS_KEY go together"):
        TlsFiles(authority.certificate("channel"), None, None, "TLS_CLIENT_CA")
    with pytest.raises(CredentialsError, match="TLS_CERTIFICATE: missing"):
        TlsFiles(None, authority.key("channel"), None, "TLS_CLIENT_CA")


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1:0", True),
        ("127.9.9.9:1", True),
        ("[::1]:50051", True),
        ("localhost:50051", True),
        ("unix:/tmp/socket", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("192.0.2.1:50051", False),
        ("localhost.example.org:50051", False),
        ("encoder:50051", False),
    ],
)
def test_what_leaves_this_machine(address: str, is_loopback: bool) -> None:
    assert credentials.is_loopback(address) == is_loopback


async def test_plain_text_does_not_leave_this_machine_unasked() -> None:
    service = Service("jscc.wire.v1.ChannelService")
    with pytest.raises(
        CredentialsError, match=r"LISTEN_ADDRESS=0\.0\.0\.0:0: .* set TLS_CERTIFICATE and TLS_KEY, or PLAIN_TEXT=tr"
    ):
        async with serving(service, Binding("0.0.0.0:0", 1, False, 0)):
            raise AssertionError("served")


def test_the_environment_says_what_a_client_shows_and_trusts() -> None:
    assert credentials.of_environment({}) == Credentials()
    assert credentials.of_environment({"TLS_CA": "", "TLS_CERTIFICATE": "a", "TLS_KEY": "b"}) == Credentials()
    found = credentials.of_environment({"TLS_CA": "c", "TLS_CERTIFICATE": "a", "TLS_KEY": "b"})
    assert found.files == TlsFiles(Path("a"), Path("b"), Path("c"), "TLS_CA")
