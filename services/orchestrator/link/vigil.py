"""Services that accept calls and never answer, such as stopped processes: noticed while a call is under way."""

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import Self, TypeVar

from jscc.wire.client import Client
from jscc.wire.errors import LinkError
from services.orchestrator.link.condition import ASK_S, condition_of
from services.orchestrator.link.waiting import Say

T = TypeVar("T")

MAX_SILENCE_S = 10.0
"""A service that answers no health check for this long is away: its event loop answers however long its model works."""


class Vigil:
    """Asks the services of a link how they are while a call takes longer than a moment."""

    def __init__(self, clients: Iterable[Client], say: Say, max_silence_s: float = MAX_SILENCE_S) -> None:
        """Watch over services.

        Args:
            clients: connections to them, which the vigil closes.
            say: called once for every service that falls silent, and once when it answers again.
            max_silence_s: silence after which a call fails.
        """
        self._clients = list(clients)
        self._say, self._max_silence_s = say, max_silence_s
        self._asked_s: dict[Client, float] = {}
        self._heard_s: dict[Client, float] = {}
        self._silent: set[Client] = set()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Return the vigil."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await asyncio.gather(*(client.close() for client in self._clients))

    async def over(self, call: Awaitable[T]) -> T:
        """Await a call.

        Raises:
            LinkError: a service has not answered for max_silence_s seconds meanwhile; an outage.
        """
        task, begun_s = asyncio.ensure_future(call), time.monotonic()
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=ASK_S)
                if not task.done():
                    await self._ask(begun_s)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _ask(self, begun_s: float) -> None:
        async with self._lock:  # several calls are under way, and one question is enough for all
            await asyncio.gather(*map(self._ask_one, self._clients))
        for client in self._clients:
            silence_s = time.monotonic() - max(begun_s, self._heard_s.get(client, 0.0))
            if client in self._silent and silence_s >= self._max_silence_s:
                words = f"it accepts calls and has not answered for {silence_s:.0f} s"
                raise LinkError(client.hop, client.address, "UNAVAILABLE", words)

    async def _ask_one(self, client: Client) -> None:
        if time.monotonic() - self._asked_s.get(client, -ASK_S) < ASK_S:
            return
        is_silent = (await condition_of(client)).state == "silent"  # one that is away is noticed by the call itself
        self._asked_s[client] = time.monotonic()
        if not is_silent:
            self._heard_s[client] = self._asked_s[client]
            if client in self._silent:
                self._silent.remove(client)
                self._say(f"{client.hop} at {client.address} answers again")
        elif client not in self._silent:
            self._silent.add(client)
            self._say(f"waiting for {client.hop} at {client.address}: it does not answer")
