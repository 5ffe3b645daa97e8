"""Quality over SNR: every method and reference that has the metric, a panel per rate."""

from collections.abc import Collection, Mapping

from matplotlib.axes import Axes
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
from services.orchestrator.report.series import Series, by_rate, curve, drawn_references, main_series, undelivered
from services.orchestrator.report.style import Styles
from services.orchestrator.results.store import Results

FIRST_PANEL_IN = 2.6
OTHER_PANEL_IN = 1.5
_LOST = "; a number: images whose file did not fit"


def draw(results: Results, metric: str) -> Figure:
    """Draw the mean of a metric over the images as a function of SNR.

    Args:
        results: of one run.
        metric: a quality column of a row: psnr_db, ssim, ms_ssim or lpips.

    Raises:
        NoDataError: nothing has the metric.
    """
    series = [*main_series(results.rows), *drawn_references(results.references)]
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
    lost = 0
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        for item in panel:
            plot(axes, curve(item, metric), styles.of(item.variant), marked=sent_db)
            lost += _count_lost(axes, item, curve(item, metric), sent_db, styles.of(item.variant).color)
        axes.set_ylabel(AXIS_LABELS[metric])
        axes.set_title(f"{rho_text(_rho(panel))}: {facts(panel, _images(panel))}")
    tick_snrs(grid[-1, 0], sent_db)
    grid[-1, 0].set_xlabel("SNR (dB)" + (_LOST if lost else ""))
    legend(figure, listed)
    return figure


def _count_lost(
    axes: Axes, item: Series, points: Mapping[float, float], shown_db: Collection[float], color: str
) -> int:
    """Write beside the points of a link that follows the SNR how many images were lost there; return their sum."""
    if item.variant.endswith("_fixed"):  # its cliff is what it is shown for
        return 0
    counts = {snr_db: lost for snr_db, lost in undelivered(item).items() if snr_db in points and snr_db in shown_db}
    for snr_db, lost in counts.items():
        axes.annotate(str(lost), (snr_db, points[snr_db]), (4, -7), textcoords="offset points", color=color)
    return sum(counts.values())


def _rho(panel: list[Series]) -> float:
    return sum(item.rho for item in panel) / len(panel)


def _images(panel: list[Series]) -> set[tuple[str, str]]:
    return {image for item in panel for image in item.images}
