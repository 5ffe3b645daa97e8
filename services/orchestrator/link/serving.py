"""Until every service of a link serves: said, bounded, and given up at once where there is nothing to wait for."""

import asyncio
import time

from jscc.wire.client import Client
from jscc.wire.errors import LinkError
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.condition import Condition, conditions_of
from services.orchestrator.link.local import LocalLink
from services.orchestrator.link.waiting import Notice, Say

START_TIMEOUT_S = 300.0
"""For processes of our own: a busy machine takes minutes to load and warm up every method."""
GIVEN_WAIT_S = 30.0
"""For services that run elsewhere, and unless said otherwise for those that accept connections and never answer."""
_TICK_S = 0.5


async def until_serving(
    addresses: Addresses,
    wait_s: float,
    say: Say,
    own: LocalLink | None = None,
    max_silence_s: float = GIVEN_WAIT_S,
) -> None:
    """Wait until all services serve.

    Args:
        addresses: of the services.
        wait_s: how long.
        say: called with what is waited for, when that takes longer than a moment.
        own: the local link that they are; a process of it that has ended is noticed at once.
        max_silence_s: how long a service may accept connections without an answer.

    Raises:
        LinkError: a service ended, is another one than asked for or not safe to speak with, does not serve within
            wait_s seconds, or has accepted connections and not answered for max_silence_s.
    """
    clients = clients_of(addresses)
    waits = {asyncio.create_task(_until_serving(client, wait_s)): client for client in clients}
    try:
        await _watch(waits, wait_s, say, own, max_silence_s)
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))


def clients_of(addresses: Addresses) -> list[Client]:
    """Return a connection to every service, encoder and channel first."""
    return [Client(hop, address) for hop, address in addresses.named]


async def _until_serving(client: Client, wait_s: float) -> None:
    """Wait for one service, however often the connection breaks meanwhile.

    Raises:
        LinkError: it does not serve within wait_s seconds.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        left_s = deadline_s - time.monotonic()
        try:
            return await client.wait_until_serving(left_s)
        except LinkError:
            if left_s <= _TICK_S:
                raise
            await asyncio.sleep(min(left_s, _TICK_S))


async def _watch(
    waits: dict["asyncio.Task[None]", Client], wait_s: float, say: Say, own: LocalLink | None, max_silence_s: float
) -> None:
    found: dict[Client, Condition] = {}
    notice, pending = Notice(lambda: _what(found, wait_s, own is not None), say), set(waits)
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
        if own is not None and not own.is_running:
            raise LinkError("link", "127.0.0.1", "UNAVAILABLE", f"a service ended while starting: {own.last_words()}")
        late = any(task.done() and task.exception() for task in waits)
        if late or (pending and notice.left_s == 0):
            absent = [client for task, client in waits.items() if task in pending or task.exception()]
            found.clear()
            found.update(await conditions_of(absent))
            _refuse(found, notice.waited_s, late, max_silence_s)
            notice.tick()


def _what(found: dict[Client, Condition], wait_s: float, is_own: bool) -> str:
    away = {client: condition for client, condition in found.items() if condition.state != "serving"}
    if is_own and all(condition.state != "silent" for condition in away.values()):  # its port opens late
        hops = dict.fromkeys(client.hop for client in away)
        return f"{', '.join(hops)} to load and warm up, up to {wait_s:g} s"
    each = (f"{client.hop} at {client.address}: {condition.words}" for client, condition in away.items())
    return f"the link, up to {wait_s:g} s: {'; '.join(each)}"


def _refuse(found: dict[Client, Condition], waited_s: float, late: bool, max_silence_s: float) -> None:
    """Give up at once on a service that is another or unsafe, soon on one that never answers, after the wait on any."""
    for client, condition in found.items():
        silent = condition.state == "silent" and waited_s >= max_silence_s
        if condition.state in ("foreign", "unsafe") or silent or (late and condition.state != "serving"):
            words = f"{condition.words}; waited {waited_s:.0f} s"
            raise LinkError(client.hop, client.address, "UNAVAILABLE", words)
