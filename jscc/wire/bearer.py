"""Bearer tokens: who has one may call a service. Compared in constant time, and never logged."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from jscc.wire.log import MAX_NAME
from jscc.wire.tls import CredentialsError

HEADER, SCHEME = "authorization", "Bearer "
MIN_TOKEN, MAX_TOKEN = 16, 4096
"""Characters of a token: visible ASCII without spaces."""
OPEN_TO_ALL = "/grpc.health.v1.Health/"
"""Calls that need no token: who asks learns whether a service serves, and nothing else."""
ADVICE = "set ORCHESTRATOR_TOKEN or ORCHESTRATOR_TOKEN_FILE"

_log = logging.getLogger(__name__)


def read(token: str, file: str) -> str:
    """Return the token that is given itself or in a file, "" where neither is.

    Raises:
        CredentialsError: both are given, the file cannot be read, or what is given is no token; never says it.
    """
    if token and file:
        raise CredentialsError("ORCHESTRATOR_TOKEN: ORCHESTRATOR_TOKEN_FILE is set too; set one of them")
    name = f"ORCHESTRATOR_TOKEN_FILE={file}" if file else "ORCHESTRATOR_TOKEN"
    if file:
        token = _content(name, Path(file))
    if not token and not file:
        return ""
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not all("!" <= character <= "~" for character in token):
        raise CredentialsError(f"{name}: a token has {MIN_TOKEN} to {MAX_TOKEN} visible ASCII characters and no spaces")
    return token


def _content(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOKEN + 2).decode("ascii").strip()
    except OSError as error:
        raise CredentialsError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CredentialsError(f"{name}: is no text in ASCII") from None


class TokenGuard(grpc.aio.ServerInterceptor):
    """Refuses calls without the token, before a byte of their requests is read."""

    def __init__(self, token: str) -> None:
        """Let those in that have this token."""
        self._expected = (SCHEME + token).encode()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Return the handler of a call, or one that refuses it."""
        given = [value for key, value in details.invocation_metadata if key == HEADER]
        if details.method.startswith(OPEN_TO_ALL):
            return await continuation(details)
        if len(given) == 1 and hmac.compare_digest(_bytes(given[0]), self._expected):
            return await continuation(details)
        why = f"token: {'not the one of this service' if given else 'missing'}; {ADVICE}"
        _log.warning("refused: %s: UNAUTHENTICATED: %s", details.method[:MAX_NAME], why)

        async def refuse(_requests: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)

        return grpc.stream_stream_rpc_method_handler(refuse)


def _bytes(value: str | bytes) -> bytes:
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value
