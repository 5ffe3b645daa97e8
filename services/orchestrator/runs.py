"""A whole run: transmissions through the link, computed references, and the record of both."""

import math
import platform
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from jscc import __version__
from jscc.datasets import Dataset
from services.orchestrator import render
from services.orchestrator.engine import Engine
from services.orchestrator.estimate import cores
from services.orchestrator.link import Addresses
from services.orchestrator.plan import SweepSpec
from services.orchestrator.references import CHEAP, CURVES, ReferenceRun, ReferenceSpec, distinct_rates
from services.orchestrator.session import open_session
from services.orchestrator.store import Store
from services.orchestrator.sweep import Sweep

ALL = ("all",)
REFERENCES: Mapping[str, tuple[str, ...]] = MappingProxyType({"none": (), "cheap": CHEAP, "all": tuple(CURVES)})

Say = Callable[[str], None]


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


async def run_sweep(
    wanted: SweepCommand, settings: dict[str, Any], addresses: Addresses | None, console: Console
) -> None:
    """Send everything through the link, then compute the references, each with a progress bar.

    Raises:
        SweepError: it cannot go on; what is done is kept.
    """
    wanted.folder.mkdir(parents=True, exist_ok=True)
    say: Say = lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)  # noqa: E731
    with Store(wanted.folder / "results.sqlite") as store, _bar(console) as bar:
        async with open_session(addresses, settings["concurrency"], say) as session:
            sweep = plan(session.engine, wanted, settings, store)
            sweep.revive = session.revive
            store.set_setting("link", session.note)
            references = plan_references(session.engine, wanted, sweep, store)
            await _send(sweep, references, bar)
        await _compute(references, bar)  # the link is gone or idle: nothing that is measured is disturbed


async def _send(sweep: Sweep, references: ReferenceRun, bar: Progress) -> None:
    if not sweep.left and references.left:
        bar.console.print(render.estimate_table(references.lines()))
    task = bar.add_task("transmissions", total=sweep.total, left="")
    async with aclosing(sweep.run()) as steps:
        async for progress in steps:
            if progress.message:
                bar.console.print(progress.message, markup=False, highlight=False, soft_wrap=True)
            if progress.estimate:
                bar.console.print(render.estimate_table((*progress.estimate, *references.lines())))
            bar.update(task, completed=progress.done, left=_left(progress.left_s))


async def _compute(references: ReferenceRun, bar: Progress) -> None:
    if not references.total:
        return
    task = bar.add_task("references", total=references.total, completed=references.total - references.left, left="")
    async with aclosing(references.run()) as steps:
        async for done in steps:
            bar.update(task, completed=done)


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
    if wanted.dataset.note:
        store.set_setting("dataset_note", wanted.dataset.note)
    record = {"command": f"jscc-link {wanted.command}", "images": len(wanted.dataset.images), **settings}
    for key, value in {**record, "references": wanted.references, **_machine()}.items():
        store.set_setting(key, value)
    for number, item in enumerate(engine.link.descriptions):
        name = item.service if number < 3 else f"{item.service}_{number - 1}"
        store.set_setting(f"service_{name}", f"{item.device} {item.precision} {dict(item.settings)}")
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


def _machine() -> dict[str, Any]:
    return {
        "version": __version__,
        "machine": f"{_cpu()}, {cores()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        refresh_per_second=2,
    )


def _left(left_s: float) -> str:
    return "" if math.isnan(left_s) else f"{int(left_s) // 60}:{int(left_s) % 60:02d} left"
