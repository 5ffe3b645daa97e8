"""A whole run: transmissions through the link, computed references, and the record of both."""

import asyncio
import dataclasses
import math
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jscc.data import Dataset, check_images
from jscc.quality.scores import Scorer
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.routes import RouteTable
from services.orchestrator.link.session import open_session
from services.orchestrator.link.transmission import Engine
from services.orchestrator.results.database import when_free
from services.orchestrator.results.store import DATABASE, Store
from services.orchestrator.sweep import record
from services.orchestrator.sweep.estimate import Line
from services.orchestrator.sweep.fading_lines import LineSpec, fadings_of
from services.orchestrator.sweep.plan import Plan, all_points
from services.orchestrator.sweep.references import ReferenceRun, ReferenceSpec, distinct_rates
from services.orchestrator.sweep.run import Sweep
from services.orchestrator.sweep.spec import LINES, REFERENCES, SweepSpec


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def say(self, line: str) -> None:
        """Show a line that a person should know."""

    def estimate(self, lines: Iterable[Line]) -> None:
        """Show what is left to do and how long it will take."""

    def advance(self, what: str, done: int, total: int, left_s: float) -> None:
        """Show how far a part of the run is; left_s is NaN before it can be told."""


@dataclass(frozen=True)
class SweepRun:
    """A sweep and where its results go.

    Attributes:
        spec: what to sweep.
        dataset: the images; those beyond the spec's limit are left out.
        folder: of the results; made once everything has been checked.
        command: what asked for it, for the record.
        references: what is computed beside it: none; cheap, the quick ones with PSNR alone; or all, with all metrics.
    """

    spec: SweepSpec
    dataset: Dataset
    folder: Path
    command: str
    references: str = "none"

    def __post_init__(self) -> None:
        """Keep the images within the limit alone."""
        images = self.dataset.images[: self.spec.limit or None]
        object.__setattr__(self, "dataset", dataclasses.replace(self.dataset, images=images))


async def run_sweep(run: SweepRun, addresses: Addresses | None, watcher: Watcher, wait_s: float | None = None) -> None:
    """Send everything through the link, then compute the references.

    Args:
        run: the sweep.
        addresses: of services that run elsewhere; None for local ones.
        watcher: told how it goes on.
        wait_s: how long the services may take until they serve, see `open_session`.

    Raises:
        DatasetError: images cannot be read; lists them.
        RouteError: a method is not served.
        SweepError: it cannot go on; what is done is kept.
        StoreError: the folder's database cannot be used.
    """
    with open_store(run.folder) as store:
        digests = await asyncio.to_thread(check_images, run.dataset.images)
        async with open_session(addresses, run.spec.concurrency, watcher.say, wait_s) as session:
            checked = await plan(session.engine.link.table, run, digests)
            sweep = await begin(session.engine, run, checked, store)
            sweep.recovery.own = session.own
            store.set_setting("link", session.note)
            references = plan_references(run, checked, store, session.engine.scorer)
            for reason in references.left_out:
                watcher.say(f"reference left out: {reason}")
            await _send(sweep, references, watcher)
        await _compute(references, watcher)  # the link is gone or idle: nothing that is measured is disturbed


def open_store(folder: Path) -> Store:
    """Open the database of a run for a sweep; folder and file are made by the first row or setting."""
    return Store(folder / DATABASE, sweep=True)


async def begin(engine: Engine, run: SweepRun, plan: Plan, store: Store) -> Sweep:
    """Find out what is left of a sweep, and put on record what was asked for, on which machine, and what served it.

    Raises:
        SweepError: the folder holds another sweep.
        StoreError: the folder's database cannot be used.
    """
    sweep = await when_free(lambda: Sweep(engine, run.dataset, plan, store), run.spec.patience_s)
    asked = dataclasses.asdict(sweep.spec)
    for name in ("methods", "snr_db", "airs"):  # these may grow from one command to the next; the rows tell them
        asked.pop(name)
    record.keep_settings(store, run.dataset, {"command": run.command, **asked})
    store.set_setting("channels", [str(air) for air in sweep.spec.airs])
    store.set_setting("references", run.references)
    record.keep_services(store, engine.link.descriptions)
    return sweep


async def _send(sweep: Sweep, references: ReferenceRun, watcher: Watcher) -> None:
    if not sweep.left and references.left:
        watcher.estimate(references.lines())
    watcher.advance("transmissions", sweep.total - sweep.left, sweep.total, math.nan)
    async with aclosing(sweep.run()) as steps:
        async for progress in steps:
            if progress.message:
                watcher.say(progress.message)
            if progress.estimate:
                watcher.estimate((*progress.estimate, *references.lines()))
            watcher.advance("transmissions", progress.done, progress.total, progress.left_s)


async def _compute(references: ReferenceRun, watcher: Watcher) -> None:
    if not references.total:
        return
    watcher.advance("references", references.total - references.left, references.total, math.nan)
    async with aclosing(references.run()) as steps:
        async for done in steps:
            watcher.advance("references", done, references.total, math.nan)


async def plan(table: RouteTable, run: SweepRun, image_digests: Mapping[str, str]) -> Plan:
    """Check a sweep against a link and list every transmission of it; nothing is written.

    Args:
        table: routes of the link.
        run: the sweep.
        image_digests: of the images' pixels, by image id, see `jscc.data.check_images`.

    Raises:
        RouteError: a method is not served.
        ValueError: it is too large, or no method has an option.
    """
    spec = run.spec.resolved(table)
    routes = {name: table.find(name) for name in spec.methods}
    points = await asyncio.to_thread(all_points, spec, run.dataset.images, routes)
    return Plan(spec, points, image_digests, routes)


def _told(spec: SweepSpec) -> tuple[tuple[float, float], ...]:
    """Pair every SNR in dB with by how much what is told is above it."""
    return tuple(
        (snr_db, round(spec.told(snr_db, by_db) - snr_db, 6)) for snr_db in spec.snr_db for by_db in spec.told_above_db
    )


def plan_references(run: SweepRun, plan: Plan, store: Store, scorer: Scorer) -> ReferenceRun:
    """Plan the references of a sweep, at its rates and SNRs: where something crosses awgn, and lines over fading."""
    spec = plan.spec
    rhos = distinct_rates([route.rho for route in plan.routes.values()])
    references = ReferenceSpec(
        sources=REFERENCES[run.references] if any(air.channel == "awgn" for air in spec.airs) else (),
        rhos=rhos,
        snr_db=spec.snr_db,
        more_snr_db=plan.snr_db,
        shown_snr_db=spec.shown_snr_db,
        full=run.references == "all",
        lines=LineSpec(LINES[run.references], fadings_of(spec.airs), rhos, _told(spec), spec.draws, spec.seed),
    )
    return ReferenceRun(run.dataset, plan.image_digests, references, store, scorer)
