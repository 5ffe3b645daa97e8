"""What more sampling steps of a receiver buy, and what they cost."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    FONT_PT,
    LEGEND_LINE_IN,
    NoDataError,
    facts,
    new_figure,
    plot,
)
from services.orchestrator.report.series import Image, curve, hop_times_ms, main_series
from services.orchestrator.report.studies import OptionStudy, studies
from services.orchestrator.report.style import Style, Styles, snr_styles
from services.orchestrator.results.store import Results

OPTION = "steps"
PANEL_IN = 1.4
MOST_TIME_TICKS = 4
"""Of four digits each, side by side in half the width."""
DIGITS = (1, 2, 5)
_COLUMNS = 4
_METRICS = ("lpips", "psnr_db")


class Base(NamedTuple):
    """Another receiver of the same symbols: its label, its decoder's median time, its quality by metric and SNR."""

    label: str
    decoder_ms: float | None
    quality: dict[str, dict[float, float]]


def draw(results: Results) -> Figure:
    """Draw LPIPS and PSNR over the number of steps and over the decoder's computing time, a curve per SNR.

    What another receiver makes of the same symbols is drawn beside it, if it was sent over the same images.

    Raises:
        NoDataError: no method was sent with several numbers of steps over the same images and SNRs.
    """
    found = studies(results, OPTION)
    if not found:
        raise NoDataError(f"no method was sent with several values of the option {OPTION} over the same images")
    study = found[0]
    base = _base(results, study.variant, study.images)
    styles = snr_styles(list(study.points))
    lines = -(-len(styles) // _COLUMNS) + (base is not None)
    figure = new_figure(2 * PANEL_IN + LEGEND_LINE_IN * (lines + 2) + 0.1)
    grid = figure.subplots(len(_METRICS), 2, sharey="row", sharex="col")
    for row, metric in zip(grid, _METRICS, strict=True):
        for snr_db, style in styles.items():
            _draw_snr(row, study, (snr_db, metric), style)
            if base and snr_db in base.quality[metric]:
                _draw_base(row, base, base.quality[metric][snr_db], style)
        row[0].set_ylabel(AXIS_LABELS[metric].replace(" (", "\n(") if metric == "lpips" else AXIS_LABELS[metric])
    _name_axes(grid[-1], study)
    beside = f"\n(dashed and open: {base.label} alone, same symbols)" if base else ""
    label = Styles(results).of(study.variant).label
    figure.suptitle(f"{label}: {facts([], study.images)}{beside}", fontsize=FONT_PT)
    handles = [Line2D([], [], label=style.label, **style.drawing()) for style in styles.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=_COLUMNS)
    return figure


def _base(results: Results, name: str, images: Collection[Image]) -> Base | None:
    """The method with the same transmitter and another receiver, if it is on record and was sent."""
    info = results.methods.get(name)
    for item in main_series(results.rows):
        other = results.methods.get(item.method)
        if info and other and item.variant != name and other.transmitter_checkpoint == info.transmitter_checkpoint:
            rows = [row for row in item.rows if (row.dataset, row.image) in images]
            times_ms = hop_times_ms(rows, "decoder")["compute"]
            quality = {metric: curve(item, metric, images) for metric in _METRICS}
            return Base(
                Styles(results).of(item.variant).label, float(np.median(times_ms)) if times_ms else None, quality
            )
    return None


def log_ticks(low: float, high: float, most: int = MOST_TIME_TICKS) -> list[float]:
    """Return round numbers within low..high > 0, as many as there are in steps that leave no more than `most`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits, each in ((DIGITS, 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
        ticks = [digit * 10.0**decade for decade in decades[::each] for digit in digits]
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) <= most:
            break
    return found


def _draw_snr(row: Collection[Axes], study: OptionStudy, at: tuple[float, str], style: Style) -> None:
    over_steps, over_time = row
    means, times_ms = study.means(*at), study.decoder_ms(at[0])
    plot(over_steps, means, style)
    plot(over_time, {times_ms[value]: mean for value, mean in means.items() if value in times_ms}, style)


def _draw_base(row: Collection[Axes], base: Base, value: float, style: Style) -> None:
    over_steps, over_time = row
    over_steps.axhline(value, color=style.color, linestyle=(0, (4, 2)), linewidth=0.7)
    if base.decoder_ms is not None:
        look: dict[str, Any] = {"color": style.color, "marker": style.marker, "markersize": 3.6, "fillstyle": "none"}
        over_time.plot([base.decoder_ms], [value], linestyle="", markeredgewidth=0.8, **look)


def _name_axes(row: Collection[Axes], study: OptionStudy) -> None:
    over_steps, over_time = row
    values = sorted({value for at in study.points.values() for value in at})
    over_steps.set_xscale("symlog", base=2, linthresh=1)  # 0 is a number of steps too
    over_steps.set_xticks(values, [f"{value:g}" for value in values])
    over_steps.set_xlim(values[0] - 0.3, 1.3 * values[-1])
    over_steps.xaxis.set_minor_locator(NullLocator())
    over_steps.set_xlabel("sampling steps")
    over_time.set_xscale("log")
    low_ms, high_ms = over_time.get_xlim()
    ticks_ms = log_ticks(low_ms, high_ms)
    over_time.set_xticks(ticks_ms, [f"{tick_ms:g}" for tick_ms in ticks_ms])
    over_time.xaxis.set_minor_locator(NullLocator())
    over_time.set_xlabel("decoder, median (ms)")
