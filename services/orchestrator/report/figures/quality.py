"""Quality over SNR: every method and reference that has the metric, a panel per rate."""

from matplotlib.figure import Figure

from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    NoDataError,
    facts,
    legend,
    legend_height_in,
    new_figure,
    plot,
    rho_text,
    tick_snrs,
)
from services.orchestrator.report.series import Series, by_rate, curve, main_series, reference_series
from services.orchestrator.report.style import Styles
from services.orchestrator.results.store import Results

FIRST_PANEL_IN = 2.6
OTHER_PANEL_IN = 1.5


def draw(results: Results, metric: str) -> Figure:
    """Draw the mean of a metric over the images as a function of SNR.

    Args:
        results: of one run.
        metric: a quality column of a row: psnr_db, ssim, ms_ssim or lpips.

    Raises:
        NoDataError: nothing has the metric.
    """
    series = [*main_series(results.rows), *reference_series(results.references)]
    shown = [item for item in series if curve(item, metric)]
    if not shown:
        name = AXIS_LABELS[metric].partition(" (")[0]
        raise NoDataError(f"no transmission with default options and no reference has {name} at a finite SNR")
    panels = by_rate(shown)
    styles = Styles(results)
    heights = [FIRST_PANEL_IN, *[OTHER_PANEL_IN] * (len(panels) - 1)]
    listed = [styles.of(name) for name in styles.in_order({item.variant for item in shown})]
    figure = new_figure(sum(heights) + legend_height_in(listed))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    sent_db = {snr_db for item in main_series(results.rows) for snr_db in curve(item, metric)}
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        for item in panel:
            plot(axes, curve(item, metric), styles.of(item.variant), marked=sent_db)
        axes.set_ylabel(AXIS_LABELS[metric])
        axes.set_title(f"{rho_text(_rho(panel))}: {facts(panel, _images(panel))}")
    tick_snrs(grid[-1, 0], sent_db)
    grid[-1, 0].set_xlabel("SNR (dB)")
    legend(figure, listed)
    return figure


def _rho(panel: list[Series]) -> float:
    return sum(item.rho for item in panel) / len(panel)


def _images(panel: list[Series]) -> set[tuple[str, str]]:
    return {image for item in panel for image in item.images}
