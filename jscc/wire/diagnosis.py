"""Why a connection is refused that should be safe: one handshake of our own tells what gRPC does not."""

import asyncio
import ssl
from contextlib import suppress

from jscc.wire.credentials import Credentials
from jscc.wire.tls import TlsFiles

ASK_S = 5.0
"""How long it may take; it is asked for where a connection has just failed, so there is somebody or nobody."""

_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's codes of a certificate that cannot be trusted, X509_V_ERR_*."""
_OF_TLS = {
    "WRONG_VERSION_NUMBER": "it speaks no TLS; unset TLS_CA, or set TLS_CERTIFICATE and TLS_KEY there",
    "PROTOCOL_VERSION": "it speaks an older TLS than 1.2",
}
"""What the reasons of OpenSSL mean, by how they end."""
_SHOWS_NOTHING = "it wants a certificate; set TLS_CERTIFICATE and TLS_KEY"
_SHOWS_WRONG = "it refuses the certificate in TLS_CERTIFICATE: expired, or of no authority in TLS_CLIENT_CA there"


async def trouble(address: str, credentials: Credentials) -> str:
    """Return why a service at host:port cannot be spoken with safely; "" where that is not what is wrong."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return ""
    with suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(ASK_S):
            ask = _plain_trouble if credentials.files is None else _tls_trouble
            return await ask(host.strip("[]"), int(port), credentials.files)
    return ""


async def _plain_trouble(host: str, port: int, _files: TlsFiles | None) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent, so anybody may answer
    await _shake_hands(host, port, context)
    return "it speaks TLS; set TLS_CA to the authority of its certificate"


async def _tls_trouble(host: str, port: int, files: TlsFiles | None) -> str:
    assert files is not None
    try:
        for _ in range(2):  # a service that ends hangs up too, but not twice
            if await _shake_hands(host, port, files.context()):
                return ""
    except ssl.SSLCertVerificationError as error:
        return _of_certificate(host, error)
    except ssl.SSLError as error:
        return next((words for end, words in _OF_TLS.items() if (error.reason or "").endswith(end)), "")
    return _SHOWS_NOTHING if files.certificate is None else _SHOWS_WRONG


async def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> bytes:
    """Connect and return the first byte; none where the service hung up.

    In TLS 1.3 a certificate of ours is refused after the handshake, and gRPC's servers do it without a word.
    """
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _of_certificate(host: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired; set TLS_CERTIFICATE there to a new one"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet; are the clocks right?"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"its certificate is not for {host}; use a name that it is for, or set TLS_CERTIFICATE there"
    return f"its certificate is of no authority in TLS_CA ({error.verify_message})"
