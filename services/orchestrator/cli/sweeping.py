"""`jscc-link sweep`: a whole run, its table and the way to its report; or what it would do."""

import typer

from services.orchestrator.cli import failures, output, terminal, transmit
from services.orchestrator.cli.progress import SweepBars
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.report.write import write_report
from services.orchestrator.results.store import DATABASE, Store, read
from services.orchestrator.sweep import whole
from services.orchestrator.sweep.preview import preview_of
from services.orchestrator.sweep.whole import SweepRun


def sweep(run: SweepRun, addresses: Addresses | None, wait_s: float | None, as_json: bool) -> None:
    """Sweep, write the report, and show what came out.

    Raises:
        typer.Exit: it was refused or broken off; what is done is kept, and how to go on has been said.
    """
    if run.dataset.note:
        output.say(run.dataset.note)
    try:
        with SweepBars(output.errors, run.folder) as bars:
            failures.run(whole.run_sweep(run, addresses, bars, wait_s))
    except typer.Exit:
        if (run.folder / DATABASE).is_file():
            output.say(f"to go on: {run.command}")
        raise
    failures.checked(write_report, run.folder)
    with Store(run.folder / DATABASE) as store:
        results = read(store)
    if as_json:
        output.show_json([transmit.as_document(row) for row in results.rows])
    else:
        output.console.print(terminal.sweep_table(results))
    output.say(f"report: {run.folder / 'summary.md'}, figures in {run.folder / 'figures'}")


def preview(run: SweepRun, addresses: Addresses | None, wait_s: float | None, as_json: bool) -> None:
    """Show what a sweep would do.

    Raises:
        typer.Exit: it would be refused.
    """
    if run.dataset.note:
        output.say(run.dataset.note)
    found = failures.run(preview_of(run, addresses, wait_s, output.say))
    if as_json:
        output.show_json(found.to_json())
    else:
        output.console.print(*terminal.preview_tables(found))
