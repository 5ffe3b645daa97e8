"""statistics.csv: means, paired differences and losses with their intervals, a line per series, SNR and metric."""

import csv
import io
import math
from collections.abc import Iterator

from services.orchestrator.report.airs import parts
from services.orchestrator.report.differences import compared, paired
from services.orchestrator.report.intervals import Mean, share_interval
from services.orchestrator.report.markdown import METRICS
from services.orchestrator.report.series import Series, by_snr, image_mean, losses
from services.orchestrator.results.store import Results

_KEY = ("series", "rho", "snr_db", "metric")
_MEAN = ("mean", "standard_error", "mean_low_95", "mean_high_95", "images")
_DIFFERENCE = ("difference", "difference_error", "difference_low_95", "difference_high_95", "common_images")
_LOST = ("lost", "sent", "lost_low_95", "lost_high_95")
COLUMNS = (*_KEY, *_MEAN, "against", *_DIFFERENCE, *_LOST, "air")


def statistics_csv(results: Results) -> str:
    """Write the statistics of a run under a line with the COLUMNS; what is not there is an empty cell.

    Raises:
        ValueError: see `differences.compared`.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for air, part in parts(results):
        for series, rival in compared(part):
            writer.writerows([*line, str(air)] for line in _lines(series, rival))
    return file.getvalue()


def _lines(series: Series, rival: Series | None) -> Iterator[list[str]]:
    lost = losses(series)
    for snr_db, scored in by_snr(series.scored).items():
        for metric in METRICS:
            if mean := image_mean(scored, metric):
                key = (series.name, f"{series.rho:.6g}", f"{snr_db:g}", metric)
                difference = _difference(series, rival, metric, snr_db)
                yield [*key, *_cells(mean), *difference, *_lost(lost.get(snr_db))]


def _difference(series: Series, rival: Series | None, metric: str, snr_db: float) -> list[str]:
    found = None if rival is None else paired(series, rival, metric, snr_db)
    return [""] * (1 + len(_DIFFERENCE)) if rival is None or found is None else [rival.name, *_cells(found)]


def _cells(mean: Mean) -> list[str]:
    numbers = (f"{value:.6g}" if math.isfinite(value) else "" for value in mean[:-1])
    return [*numbers, str(mean.number)]


def _lost(counts: tuple[int, int] | None) -> list[str]:
    if counts is None:
        return [""] * len(_LOST)
    return [*map(str, counts), *(f"{end:.4g}" for end in share_interval(*counts))]
