"""The report of a run, rebuilt from its database alone: results.csv, statistics.csv, summary.md and the figures."""

import dataclasses
import os
from pathlib import Path

from services.orchestrator.report import summary
from services.orchestrator.report.figures import write_figures
from services.orchestrator.report.statistics_csv import statistics_csv
from services.orchestrator.results.csv_text import csv_text
from services.orchestrator.results.store import DATABASE, Store, read


def write_report(folder: Path, against: str = "") -> str:
    """Write results.csv, statistics.csv, summary.md and figures/*.png and *.pdf into a run's folder, over older ones.

    A sweep may be writing to the database meanwhile.

    Args:
        folder: the folder of a run, with its results.sqlite.
        against: name of the method or reference that everything is compared with; "" for the strongest reference.

    Returns:
        The text of summary.md.

    Raises:
        FileNotFoundError: there is no database.
        StoreError: it cannot be read.
        ValueError: the run has nothing of the name `against`.
        OSError: a file of the report cannot be written.
    """
    database = folder / DATABASE
    if not database.exists():
        raise FileNotFoundError(f"{database} is missing: no sweep has written its results there")
    with Store(database) as store:
        results = read(store)
    if against:
        results = dataclasses.replace(results, settings={**results.settings, "against": against})
    statistics = statistics_csv(results)  # refuses a name before anything is written
    try:
        _replace(folder / "results.csv", csv_text(results.rows))
        _replace(folder / "statistics.csv", statistics)
        figures = list(write_figures(results, folder / "figures"))
        text = summary.write(results, figures)
        _replace(folder / "summary.md", text)
    except OSError as error:
        raise OSError(
            f"{error.filename or folder}: cannot be written ({error.strerror}); the results are kept, and"
            f" `jscc-link report {folder}` makes the report from them"
        ) from error
    return text


def _replace(path: Path, text: str) -> None:
    """Write a file whole or leave the older one."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
