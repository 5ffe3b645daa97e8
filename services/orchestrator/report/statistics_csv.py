"""statistics.csv: means, paired differences and losses with their intervals, a line per series, SNR and metric."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from jscc.air import STEADY
from jscc.baselines.curves import ONE_RATE, TWO_LAYERS
from services.orchestrator.report.airs import PERCENTILES, POOR_DB, fading_lines, line_of, parts, scatter_of
from services.orchestrator.report.differences import compared, paired
from services.orchestrator.report.intervals import Mean, share_interval
from services.orchestrator.report.markdown import METRICS
from services.orchestrator.report.series import Series, by_snr, image_mean, losses
from services.orchestrator.results.store import Results

_KEY = ("series", "rho", "snr_db", "metric")
_MEAN = ("mean", "standard_error", "mean_low_95", "mean_high_95", "images")
_DIFFERENCE = ("difference", "difference_error", "difference_low_95", "difference_high_95", "common_images")
_LOST = ("lost", "sent", "lost_low_95", "lost_high_95")
_SCATTER = (*(f"percentile_{percentile}" for percentile in PERCENTILES), f"below_{POOR_DB:g}_db", "transmissions")
_LINES = (ONE_RATE, TWO_LAYERS)
_LESS = tuple(f"less_{line}{end}" for line in _LINES for end in ("", "_low_95", "_high_95"))
COLUMNS = (*_KEY, *_MEAN, "against", *_DIFFERENCE, *_LOST, "air", *_SCATTER, *_LESS)


def statistics_csv(results: Results) -> str:
    """Write the statistics of a run under a line with the COLUMNS; what is not there is an empty cell.

    Raises:
        ValueError: see `differences.compared`.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for air, part in parts(results):
        lines = fading_lines(air, part)
        for series, rival in compared(part):
            for key, line in _lines(series, rival):
                more = _of_fading(series, lines, *key) if air.channel not in STEADY else [""] * len((*_SCATTER, *_LESS))
                writer.writerow([*line, str(air), *more])
    return file.getvalue()


def _lines(series: Series, rival: Series | None) -> Iterator[tuple[tuple[float, str], list[str]]]:
    """Yield SNR and metric of every line, and its cells."""
    lost = losses(series)
    for snr_db, scored in by_snr(series.scored).items():
        for metric in METRICS:
            if mean := image_mean(scored, metric):
                key = (series.name, f"{series.rho:.6g}", f"{snr_db:g}", metric)
                difference = _difference(series, rival, metric, snr_db)
                yield (snr_db, metric), [*key, *_cells(mean), *difference, *_lost(lost.get(snr_db))]


def _of_fading(series: Series, lines: Sequence[Series], snr_db: float, metric: str) -> list[str]:
    """Return how PSNR scatters, and its differences from the digital lines."""
    scatter = scatter_of(by_snr(series.scored)[snr_db])
    if metric != "psnr_db" or scatter is None:
        return [""] * len((*_SCATTER, *_LESS))
    cells = [*(f"{end_db:.6g}" for end_db in scatter.percentiles_db), str(scatter.poor), str(scatter.number)]
    for line in _LINES:
        rival = line_of(series, lines, line) if series.rows else None
        found = paired(series, rival, metric, snr_db) if rival else None
        less = (found.mean, found.low, found.high) if found else (math.nan,) * 3
        cells += [f"{value:.6g}" if math.isfinite(value) else "" for value in less]
    return cells


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
