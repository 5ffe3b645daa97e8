"""What a sweep does while a service is away."""

import asyncio
import time
from collections.abc import Callable, Mapping

from jscc.wire.errors import LinkError
from services.orchestrator.link.routes import RouteError
from services.orchestrator.link.star import Star

LOOK_EVERY_S = 10.0
"""How often a sweep looks whether a service of its own has ended while it waits."""


class SweepError(RuntimeError):
    """A sweep that cannot go on; what is done is kept."""


class Recovery:
    """Waits for the link; the first task that notices an outage does it for all.

    Attributes:
        revive: restarts dead services and says what it did; None where the services are someone else's.
        outages: how many there have been.
    """

    def __init__(self, link: Star, patience_s: float, digests: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Watch over a link.

        Args:
            link: to wait for.
            patience_s: how long.
            digests: of the checkpoints that must be served afterwards, by served name.
            say: called with every line that a person should know.
        """
        self._link, self._patience_s, self._digests, self._say = link, patience_s, digests, say
        self.revive: Callable[[], str] | None = None
        self.outages = 0
        self._lock = asyncio.Lock()

    async def recover(self, error: LinkError, outages: int) -> None:
        """Wait until the link serves again what it served before.

        Args:
            error: what was noticed.
            outages: how many there had been when the failed call began; if there has been one since, it was this one.

        Raises:
            SweepError: the link stays away longer than the patience, or serves something else.
        """
        async with self._lock:
            if self.outages != outages:
                return
            self._say(f"interrupted: {error}; waiting up to {self._patience_s:g} s")
            try:
                await self._wait()
                await self._link.discover()
                now = {name: self._link.table.find(name).digest for name in self._digests}
            except (LinkError, RouteError) as still:
                raise SweepError(f"{still}; what is done is kept, the same command resumes") from still
            for name, digest in self._digests.items():
                if now[name] != digest:
                    raise SweepError(f"checkpoint: '{name}' was {digest} and is {now[name]} after the interruption")
            self.outages += 1
            self._say(f"{error.hop} serves again; going on")

    async def _wait(self) -> None:
        """Wait until the link serves; what has ended meanwhile, once more or since, is restarted now and then.

        Raises:
            LinkError: the link stays away longer than the patience.
        """
        deadline_s, said = time.monotonic() + self._patience_s, ""
        while True:
            if self.revive is not None and (words := self.revive()) != said:
                self._say(words)
                said = words
            left_s = deadline_s - time.monotonic()
            try:
                return await self._link.wait_until_serving(max(0.001, min(LOOK_EVERY_S, left_s)))
            except LinkError:
                if left_s <= LOOK_EVERY_S:
                    raise
