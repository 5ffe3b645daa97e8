"""Paired differences of PSNR over SNR, with 95 % intervals: a panel per rate, against one reference in each."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jscc.baselines.curves import GAUSSIAN
from services.orchestrator.report.differences import compared, paired
from services.orchestrator.report.figures.canvas import (
    FROM_LEFT,
    NoDataError,
    end_of,
    label_ends,
    new_figure,
    panel_in,
    plot,
    rho_text,
    tick_snrs,
)
from services.orchestrator.report.intervals import Mean
from services.orchestrator.report.series import Series, by_rate, by_snr, main_series
from services.orchestrator.report.style import Style, Styles
from services.orchestrator.results.store import Results

PANEL_IN = 2.2
_APART_DB = 0.12
"""Curves stand beside one another by so much of SNR, lest their intervals hide each other."""


def draw(results: Results) -> Figure:
    """Draw by how much everything at the SNRs of the sweep is above or below what it is compared with.

    Raises:
        NoDataError: nothing has anything to be compared with.
    """
    sent_db = {row.snr_db for item in main_series(results.rows) for row in item.rows if math.isfinite(row.snr_db)}
    main = {item.name for item in main_series(results.rows)}
    pairs = {
        id(item): (item, rival)
        for item, rival in compared(results)
        if rival is not None and _is_shown(item, main) and _points(item, rival, sent_db)
    }
    if not pairs:
        raise NoDataError("no transmission and no reference of one rate to compare with another over common images")
    panels, styles = by_rate(item for item, _ in pairs.values()), Styles(results)
    names = styles.in_order({item.variant for item, _ in pairs.values()})
    heights = [panel_in((styles.of(item.variant).beside for item in panel), PANEL_IN) for panel in panels]
    figure = new_figure(sum(heights))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, panel, height_in in zip(grid[:, 0], panels, heights, strict=True):
        rival = pairs[id(panel[0])][1]
        for item in panel:
            shift_db = _APART_DB * (names.index(item.variant) - (len(names) - 1) / 2)
            _plot(axes, _points(item, rival, sent_db), styles.of(item.variant), shift_db)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_ylabel("PSNR difference (dB)")
        axes.set_title(f"{rho_text(panel[0].rho)}: less {styles.of(rival.variant).label}", **FROM_LEFT)
        means = [(item, _points(item, rival, sent_db)) for item in panel]
        ends = ({snr_db: mean.mean for snr_db, mean in points.items()} for _, points in means)
        styled = zip(ends, (styles.of(item.variant) for item in panel), strict=True)
        label_ends(axes, [end_of(points, style) for points, style in styled], height_in)
    tick_snrs(grid[-1, 0], sent_db)
    grid[-1, 0].set_xlabel("SNR (dB); 95 % intervals of paired differences", loc="left")
    return figure


def _is_shown(item: Series, main: set[str]) -> bool:
    if item.rows:
        return item.name in main
    return item.variant.endswith("_adaptive") and not item.variant.startswith(GAUSSIAN)


def _points(item: Series, rival: Series, snrs_db: set[float]) -> dict[float, Mean]:
    found = {snr_db: paired(item, rival, "psnr_db", snr_db) for snr_db in by_snr(item.scored) if snr_db in snrs_db}
    return {snr_db: mean for snr_db, mean in found.items() if mean and math.isfinite(mean.mean)}


def _plot(axes: Axes, points: dict[float, Mean], style: Style, shift_db: float) -> None:
    at_db = [snr_db + shift_db for snr_db in points]
    plot(axes, dict(zip(at_db, (mean.mean for mean in points.values()), strict=True)), style)
    sure = [(x, mean) for x, mean in zip(at_db, points.values(), strict=True) if math.isfinite(mean.low)]
    _bars(axes, sure, style)


def _bars(axes: Axes, sure: Sequence[tuple[float, Mean]], style: Style) -> None:
    low, high = [mean.low for _, mean in sure], [mean.high for _, mean in sure]
    axes.vlines([x for x, _ in sure], low, high, colors=style.color, linewidth=0.6)
