"""What a sweep does while a service is away."""

import asyncio
import time
from collections.abc import Mapping

from jscc.wire.errors import LinkError
from services.orchestrator.link.local import LocalLink
from services.orchestrator.link.routes import RouteError
from services.orchestrator.link.serving import until_serving
from services.orchestrator.link.star import Star
from services.orchestrator.link.waiting import Say

RESTART_EVERY_S = 10.0
"""Pause before a service of our own that has ended again is started once more."""
RECONNECT_S = 30.0
"""How long the link's own connections may take to notice that everything serves; they pause for 2 s at most."""


class SweepError(RuntimeError):
    """A sweep that cannot go on; what is done is kept."""


class Recovery:
    """Waits for the link; the first task that notices an outage does it for all.

    Attributes:
        own: the link where it is this command's own; None where the services are someone else's.
        outages: how many there have been.
    """

    def __init__(self, link: Star, patience_s: float, digests: Mapping[str, str], say: Say, tell: Say) -> None:
        """Watch over a link.

        Args:
            link: to wait for.
            patience_s: how long.
            digests: of the checkpoints that must be served afterwards, by served name.
            say: called with what happened, which is kept in the run's record.
            tell: called with what is waited for meanwhile, and why it is away.
        """
        self._link, self._patience_s, self._digests = link, patience_s, digests
        self._say, self._tell = say, tell
        self.own: LocalLink | None = None
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
        """Wait until the link serves; what has ended of our own is started again, now and whenever it ends anew.

        Raises:
            LinkError: the link stays away longer than the patience, or another service answers there; says why.
        """
        deadline_s = time.monotonic() + self._patience_s
        while True:
            if self.own is not None and (started := self.own.start()):
                self._say(f"restarted: {', '.join(started)}")
            left_s = max(0.0, deadline_s - time.monotonic())
            try:
                await until_serving(self._link.addresses, left_s, self._tell, self.own, max_silence_s=left_s)
                return await self._link.wait_until_serving(RECONNECT_S)
            except LinkError as error:
                if self.own is None or self.own.is_running or left_s <= RESTART_EVERY_S:
                    raise
                self._say(error.details)
            await asyncio.sleep(RESTART_EVERY_S)
