"""The report of a run, rebuilt from its database alone: results.csv, summary.md and the figures."""

from pathlib import Path

from services.orchestrator.report import summary
from services.orchestrator.report.figures import write_figures
from services.orchestrator.results.store import DATABASE, Store, read


def write_report(folder: Path) -> str:
    """Write results.csv, summary.md and figures/*.png and *.pdf into a run's folder, in place of older ones.

    Args:
        folder: the folder of a run, with its results.sqlite.

    Returns:
        The text of summary.md.

    Raises:
        FileNotFoundError: there is no database.
        ValueError: it is not one of this version.
    """
    database = folder / DATABASE
    if not database.is_file():
        raise FileNotFoundError(f"{database} is missing: no sweep has written its results there")
    with Store(database) as store:
        store.write_csv(folder / "results.csv")
        results = read(store)
    text = summary.write(results, list(write_figures(results, folder / "figures")))
    (folder / "summary.md").write_text(text, encoding="utf-8")
    return text
