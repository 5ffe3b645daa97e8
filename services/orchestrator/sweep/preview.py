"""What a sweep would do: checked and counted as a real one is, with nothing started and nothing written."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jscc import models
from jscc.cards import chosen_folder
from jscc.checkpoints import Half
from jscc.data import check_images
from jscc.quality.scores import Scorer
from jscc.serving.host import chosen_cards, served_of
from jscc.wire.client import Client
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.routes import RouteTable, match
from services.orchestrator.link.serving import GIVEN_WAIT_S, START_TIMEOUT_S, until_serving
from services.orchestrator.link.star import Star
from services.orchestrator.link.waiting import Say
from services.orchestrator.sweep.plan import Plan
from services.orchestrator.sweep.references import ReferenceRun
from services.orchestrator.sweep.run import check_identity
from services.orchestrator.sweep.whole import SweepRun, open_store, plan, plan_references

_NOBODY = "127.0.0.1:1"


class Tally(NamedTuple):
    """Pieces of work of one kind: how many there are in all, and how many of them are done."""

    what: str
    total: int
    kept: int

    @property
    def left(self) -> int:
        """How many there are to do."""
        return self.total - self.kept


@dataclass(frozen=True)
class Preview:
    """What a sweep would do.

    Attributes:
        run: the sweep.
        source: what tells the methods: the link, or the folder of the checkpoints that a link would serve.
        plan: every transmission, the methods resolved.
        transmissions: by method and options.
        references: all of them.
    """

    run: SweepRun
    source: str
    plan: Plan
    transmissions: tuple[Tally, ...]
    references: Tally

    @property
    def all_transmissions(self) -> Tally:
        """The transmissions of every kind together."""
        return Tally(
            "transmissions", sum(it.total for it in self.transmissions), sum(it.kept for it in self.transmissions)
        )

    @property
    def of_studies(self) -> int:
        """How many of the transmissions are there for the methods' studies alone."""
        return self.all_transmissions.total - len(self.run.dataset.images) * self.plan.spec.sent_per_image

    def to_json(self) -> dict[str, Any]:
        """Return what a program is told."""
        spec = self.plan.spec
        return {
            "dry_run": True,
            "folder": str(self.run.folder),
            "source": self.source,
            "dataset": self.run.dataset.name,
            "images": len(self.run.dataset.images),
            "methods": spec.methods,
            "snr_db": spec.snr_db,
            "draws": spec.draws,
            "channels": [str(air) for air in spec.airs],
            "references": self.run.references,
            "of_studies": self.of_studies,
            "work": [_entry(it) for it in (self.all_transmissions, self.references)],
            "transmissions": [_entry(it) for it in self.transmissions],
        }


def _entry(tally: Tally) -> dict[str, Any]:
    return {**tally._asdict(), "left": tally.left}


async def preview_of(run: SweepRun, addresses: Addresses | None, wait_s: float | None, say: Say) -> Preview:
    """Find out what a sweep would do.

    Args:
        run: the sweep.
        addresses: of services that run elsewhere; None for the local link if it is up, else for the checkpoints.
        wait_s: how long the services may take until they serve, see `open_session`.
        say: called with every line that a person should know.

    Raises:
        DatasetError: images cannot be read; lists them.
        RouteError: a method is not served.
        SweepError: the folder holds another sweep.
        StoreError: the folder's database cannot be used.
        ValueError: it is too large, or no method has an option.
        LinkError: the services do not serve.
    """
    with open_store(run.folder) as store:
        check_identity(store, run.dataset, run.spec)
        digests = await asyncio.to_thread(check_images, run.dataset.images)
        async with _routes(addresses, wait_s, say) as (source, table):
            planned = await plan(table, run, digests)
        finished = store.keys()
        total = Counter(point.kind for point in planned.points)
        kept = Counter(point.kind for point in planned.points if planned.key(point, run.dataset.name) in finished)
        references: ReferenceRun = plan_references(run, planned, store, Scorer(None))
    return Preview(
        run,
        source,
        planned,
        tuple(Tally(str(kind), count, kept[kind]) for kind, count in total.items()),
        Tally("references", references.total, references.total - references.left),
    )


@asynccontextmanager
async def _routes(addresses: Addresses | None, wait_s: float | None, say: Say) -> AsyncIterator[tuple[str, RouteTable]]:
    """Give the routes of a link, and where they are known from."""
    up = LocalLink(state_folder())
    if addresses is None and not up.is_running:
        folder = chosen_folder()
        nobody = Client("decoder", _NOBODY)  # connects when it is called, which it is not
        try:
            yield str(folder), await asyncio.to_thread(table_of_checkpoints, folder, nobody, say)
        finally:
            await nobody.close()
        return
    where, default_s = (up.addresses, START_TIMEOUT_S) if addresses is None else (addresses, GIVEN_WAIT_S)
    await until_serving(where, wait_s or default_s, say, up if addresses is None else None)
    async with Star(where) as link:
        await link.discover()
        yield "link", link.table


def table_of_checkpoints(folder: Path, decoder: Client, say: Say) -> RouteTable:
    """Return the routes of a link that would serve a folder's checkpoints, as far as the setting METHODS wants them.

    Args:
        folder: of weights and cards; only the cards are read.
        decoder: stands for the connection to the decoder.
        say: told which checkpoint would not be served, and why.

    Raises:
        UnknownCheckpointError: a wanted method has no checkpoint here.
        CheckpointError: there is no card.
        RouteError: no receiver would understand what the encoder would send.
    """
    transmitters, receivers = _served(folder, "transmitter", lambda _line: None), _served(folder, "receiver", say)
    return match(pb.ServiceDescription(methods=transmitters), [(decoder, pb.ServiceDescription(methods=receivers))])


def _served(folder: Path, half: Half, say: Say) -> list[pb.ServedMethod]:
    served = []
    for card in chosen_cards(folder, half, os.environ.get("METHODS", "")):
        try:
            served.append(served_of(card, half))
        except (ModuleNotFoundError, models.UnknownMethodError) as error:
            say(f"{card.name} would not be served: {error}")
    return served
