"""Quality over SNR: every method and reference that has the metric, a panel per rate."""

import math
from collections.abc import Collection, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    FROM_LEFT,
    NoDataError,
    end_of,
    facts,
    label_ends,
    new_figure,
    panel_in,
    plot,
    rho_text,
    tick_snrs,
)
from services.orchestrator.report.series import (
    Series,
    by_rate,
    by_snr,
    curve,
    drawn_references,
    image_mean,
    losses,
    main_series,
)
from services.orchestrator.report.style import Styles
from services.orchestrator.results.store import Results

FIRST_PANEL_IN = 2.6
OTHER_PANEL_IN = 1.5
_LOST = "; a number: images whose file did not fit"


def draw(results: Results, metric: str) -> Figure:
    """Draw the mean of a metric over the images as a function of SNR; bars are standard errors of what was sent.

    Args:
        results: of one run.
        metric: a quality column of a row: psnr_db, ssim, ms_ssim or lpips.

    Raises:
        NoDataError: nothing has the metric.
    """
    series = [*main_series(results.rows), *_told_right(drawn_references(results.references))]
    shown = [item for item in series if curve(item, metric)]
    if not shown:
        name = AXIS_LABELS[metric].partition(" (")[0]
        raise NoDataError(f"no transmission with default options and no reference has {name} at a finite SNR")
    panels = by_rate(shown)
    styles = Styles(results)
    least_in = [FIRST_PANEL_IN, *[OTHER_PANEL_IN] * (len(panels) - 1)]
    heights = [
        panel_in((styles.of(item.variant).beside for item in panel), least)
        for panel, least in zip(panels, least_in, strict=True)
    ]
    figure = new_figure(sum(heights))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    sent_db = {snr_db for item in main_series(results.rows) for snr_db in curve(item, metric)}
    lost = 0
    for axes, panel, height_in in zip(grid[:, 0], panels, heights, strict=True):
        for item in panel:
            plot(axes, curve(item, metric), styles.of(item.variant), marked=sent_db)
            errors(axes, item, metric, styles.of(item.variant).color)
            lost += _count_lost(axes, item, curve(item, metric), sent_db, styles.of(item.variant).color)
        axes.set_ylabel(AXIS_LABELS[metric])
        axes.set_title(f"{rho_text(_rho(panel))}: {facts(panel, _images(panel))}", **FROM_LEFT)
        label_ends(axes, [end_of(curve(item, metric), styles.of(item.variant)) for item in panel], height_in)
    tick_snrs(grid[-1, 0], sent_db)
    grid[-1, 0].set_xlabel("SNR (dB)" + (_LOST if lost else "") + _words(shown), loc="left")
    return figure


def _told_right(references: Collection[Series]) -> list[Series]:
    """Leave out lines over fading that were told a wrong SNR, where there are others."""
    names = {item.variant for item in references}
    return [item for item in references if item.variant == item.method or item.method not in names]


def _words(shown: Collection[Series]) -> str:
    """Say what the labels of references are short for."""
    words = "\nideal: image file, ideal code, rate follows SNR"
    halved = "\nhalved: at half the resolution where that is better"
    names = [item.variant for item in shown]
    if not any(name.endswith("_adaptive") for name in names):
        return ""
    return words + (halved if any(name.endswith("_half_adaptive") for name in names) else "")


def errors(axes: Axes, item: Series, metric: str, color: str) -> None:
    """Draw the standard error over the images about the means of what was sent; those of all curves would hide them."""
    means = [(snr_db, image_mean(by_snr(item.rows).get(snr_db, ()), metric)) for snr_db in curve(item, metric)]
    sure = [(snr_db, mean) for snr_db, mean in means if mean and math.isfinite(mean.error)]
    low, high = [mean.mean - mean.error for _, mean in sure], [mean.mean + mean.error for _, mean in sure]
    axes.vlines([snr_db for snr_db, _ in sure], low, high, colors=color, linewidth=0.5, alpha=0.6)


def _count_lost(
    axes: Axes, item: Series, points: Mapping[float, float], shown_db: Collection[float], color: str
) -> int:
    """Write beside the points of a link that follows the SNR how many images were lost there; return their sum."""
    if not item.variant.endswith("_adaptive"):  # a cliff is what a fixed rate is shown for, and outages are of draws
        return 0
    every = {} if item.rows else losses(item)
    counts = {snr_db: lost for snr_db, (lost, _) in every.items() if lost and snr_db in points and snr_db in shown_db}
    for snr_db, lost in counts.items():
        axes.annotate(str(lost), (snr_db, points[snr_db]), (4, -7), textcoords="offset points", color=color)
    return sum(counts.values())


def _rho(panel: list[Series]) -> float:
    return sum(item.rho for item in panel) / len(panel)


def _images(panel: list[Series]) -> set[tuple[str, str]]:
    return {image for item in panel for image in item.images}
