"""A whole run: transmissions through the link, computed references, and the record of both."""

import math
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from jscc.baselines.curves import CHEAP, CURVES
from jscc.data.datasets import Dataset
from services.orchestrator.link.session import open_session
from services.orchestrator.link.star import Addresses
from services.orchestrator.link.transmission import Engine
from services.orchestrator.results.store import Store
from services.orchestrator.sweep import record
from services.orchestrator.sweep.estimate import Line
from services.orchestrator.sweep.plan import SweepSpec
from services.orchestrator.sweep.references import ReferenceRun, ReferenceSpec, distinct_rates
from services.orchestrator.sweep.run import Sweep

ALL = ("all",)
REFERENCES: Mapping[str, tuple[str, ...]] = MappingProxyType({"none": (), "cheap": CHEAP, "all": tuple(CURVES)})


@dataclass(frozen=True)
class SweepCommand:
    """Where a sweep takes its images from and puts its results.

    Attributes:
        dataset: the images.
        methods: served names; ("all",) for every one of the link, empty for the default.
        snr_db: SNRs in dB.
        folder: of the results.
        command: the command line, for the record.
        references: none; cheap, the quick ones with PSNR alone; or all, with all metrics.
    """

    dataset: Dataset
    methods: tuple[str, ...]
    snr_db: tuple[float, ...]
    folder: Path
    command: str
    references: str = "none"


def known_references(choice: str) -> str:
    """Return a choice of references.

    Raises:
        ValueError: there is no such choice.
    """
    if choice not in REFERENCES:
        raise ValueError(f"references: unknown choice '{choice}' (known: {', '.join(REFERENCES)})")
    return choice


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def say(self, line: str) -> None:
        """Show a line that a person should know."""

    def estimate(self, lines: Iterable[Line]) -> None:
        """Show what is left to do and how long it will take."""

    def advance(self, what: str, done: int, total: int, left_s: float) -> None:
        """Show how far a part of the run is; left_s is NaN before it can be told."""


async def run_sweep(
    wanted: SweepCommand, settings: dict[str, Any], addresses: Addresses | None, watcher: Watcher
) -> None:
    """Send everything through the link, then compute the references.

    Raises:
        SweepError: it cannot go on; what is done is kept.
    """
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with Store(wanted.folder / "results.sqlite") as store:
        async with open_session(addresses, settings["concurrency"], watcher.say) as session:
            sweep = plan(session.engine, wanted, settings, store)
            sweep.recovery.revive = session.revive
            store.set_setting("link", session.note)
            references = plan_references(session.engine, wanted, sweep, store)
            await _send(sweep, references, watcher)
        await _compute(references, watcher)  # the link is gone or idle: nothing that is measured is disturbed


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


def plan(engine: Engine, wanted: SweepCommand, settings: dict[str, Any], store: Store) -> Sweep:
    """Plan a sweep and put its settings on record.

    Raises:
        RouteError: a method is not served.
        SweepError: the folder holds another sweep.
    """
    table = engine.link.table
    methods = tuple(sorted(table.routes)) if wanted.methods == ALL else wanted.methods
    spec = SweepSpec(methods=methods or (table.default(),), snr_db=wanted.snr_db, **settings)
    sweep = Sweep(engine, wanted.dataset, spec, store)
    record.keep_settings(store, wanted.dataset, {"command": f"jscc-link {wanted.command}", **settings})
    store.set_setting("references", wanted.references)
    record.keep_services(store, engine.link.descriptions)
    return sweep


def plan_references(engine: Engine, wanted: SweepCommand, sweep: Sweep, store: Store) -> ReferenceRun:
    """Plan the references of a sweep: at its rates and SNRs, and none for another channel than awgn."""
    spec = sweep.spec
    references = ReferenceSpec(
        sources=REFERENCES[wanted.references] if spec.channel == "awgn" else (),
        rhos=distinct_rates([engine.link.table.find(name).rho for name in spec.methods]),
        snr_db=spec.snr_db,
        more_snr_db=sweep.snr_db,
        shown_snr_db=spec.shown_snr_db,
        full=wanted.references == "all",
    )
    return ReferenceRun(wanted.dataset, references, store, engine.lpips)
