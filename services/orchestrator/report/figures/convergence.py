"""Quality over the number of iterations of an unrolled decoder."""

from matplotlib.figure import Figure

from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    LEGEND_LINE_IN,
    NoDataError,
    facts,
    new_figure,
    plot,
)
from services.orchestrator.report.studies import studies
from services.orchestrator.report.style import Styles, snr_styles
from services.orchestrator.results.store import Results

OPTION = "K"
PANEL_IN = 2.1
_COLUMNS = 4


def draw(results: Results) -> Figure:
    """Draw PSNR over K, a curve per SNR and a panel per method.

    Raises:
        NoDataError: no method was sent with several K over the same images and SNRs.
    """
    found = studies(results, OPTION)
    if not found:
        raise NoDataError(f"no method was sent with several values of the option {OPTION} over the same images")
    names, styles = Styles(results), snr_styles([snr_db for study in found for snr_db in study.points])
    figure = new_figure(PANEL_IN + LEGEND_LINE_IN * (1 + len(styles) // _COLUMNS) + 0.1)
    grid = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, study in zip(grid, found, strict=True):
        for snr_db in sorted(study.points, reverse=True):
            plot(axes, study.means(snr_db, "psnr_db"), styles[snr_db])
        values = sorted({value for at in study.points.values() for value in at})
        axes.set_xticks(values, [f"{value:g}" for value in values])
        label = names.of(study.variant).label
        axes.set_title(f"{label}: {facts([], study.images)}" if len(found) == 1 else label)
        axes.set_xlabel(f"iterations {OPTION}")
    grid[0].set_ylabel(AXIS_LABELS["psnr_db"])
    handles = {line.get_label(): line for axes in grid for line in axes.get_lines()}
    ordered = [handles[styles[snr_db].label] for snr_db in sorted(styles)]
    figure.legend(handles=ordered, loc="outside lower center", ncols=_COLUMNS)
    return figure
