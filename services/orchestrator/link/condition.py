"""How a service is that is asked: it serves, it starts, or why it does not answer.

gRPC is loaded only where something listens: who asks for what is not there starts fast.
"""

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.orchestrator.link.addresses import split_address

if TYPE_CHECKING:
    from jscc.wire.client import Client
    from jscc.wire.errors import LinkError

ASK_S = 2.0
"""How long a question waits for its answer."""
REFUSED = "nothing listens there"


@dataclass(frozen=True)
class Condition:
    """How a service is.

    Attributes:
        state: serving; starting; absent, when there is no connection; silent, when it accepts calls and does not
            answer; foreign, when another service answers; or unsafe, when the two ends cannot agree on how to be safe.
        words: what a person is told of it, after the service's name.
    """

    state: str
    words: str


async def conditions_of(clients: "Iterable[Client]") -> "dict[Client, Condition]":
    """Ask services at once how they are; takes about twice ASK_S at most."""
    asked = list(clients)
    return dict(zip(asked, await asyncio.gather(*map(condition_of, asked)), strict=True))


async def require_answer(client: "Client") -> None:
    """Check that a service answers, whether it serves already or not.

    Raises:
        LinkError: it does not, or another one does.
    """
    from jscc.wire.errors import LinkError

    condition = await condition_of(client)
    if condition.state not in ("serving", "starting"):
        raise LinkError(client.hop, client.address, "UNAVAILABLE", condition.words)


async def condition_at(hop: str, address: str) -> Condition:
    """Ask the service at an address how it is."""
    accepts = await _accepts(*split_address(address))
    if accepts is False:
        return Condition("absent", REFUSED)
    from jscc.wire.client import Client

    client = Client(hop, address)
    try:
        return await _answer_of(client, bool(accepts))
    finally:
        await client.close()


async def condition_of(client: "Client") -> Condition:
    """Ask a service how it is."""
    accepts = await _accepts(*split_address(client.address))
    return Condition("absent", REFUSED) if accepts is False else await _answer_of(client, bool(accepts))


async def _answer_of(client: "Client", accepts: bool) -> Condition:
    from jscc.wire.errors import LinkError

    try:
        serves = await client.is_serving(ASK_S)
    except LinkError as error:
        return _unanswered(client, error, accepts)
    return Condition("serving", "it serves") if serves else Condition("starting", "it starts: it loads and warms up")


def _unanswered(client: "Client", error: "LinkError", accepts: bool) -> Condition:
    if error.code in ("NOT_FOUND", "UNIMPLEMENTED"):
        return Condition("foreign", f"another service answers there, no {client.hop}")
    if error.code == "FAILED_PRECONDITION":
        return Condition("unsafe", error.details)
    if accepts:
        return Condition("silent", "it accepts connections and does not answer")
    if error.code == "DEADLINE_EXCEEDED":
        return Condition("silent", "it does not answer")
    for sign, words in (("refused", REFUSED), ("resolving", "no host is known by that name")):
        if sign in error.details:
            return Condition("absent", words)
    return Condition("absent", f"no connection ({error.code})")


async def _accepts(host: str, port: int) -> bool | None:
    """Return whether a connection is accepted or refused; None when that cannot be told soon.

    gRPC tries for more than a second before it calls a connection refused. Names are left to it all the same, since
    looking one up can take long and cannot be broken off.
    """
    try:
        ipaddress.ip_address(host)
        async with asyncio.timeout(ASK_S):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    except (OSError, ValueError):
        return None
    writer.close()
    return True
