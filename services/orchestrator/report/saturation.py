"""The saturation curve of a link: throughput and latency over the load."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from services.orchestrator.report.figures import SUFFIXES
from services.orchestrator.report.figures.canvas import FONT_PT, new_figure, print_style, save
from services.orchestrator.results.load import LoadPoint

_HEIGHT_IN = 2.9
_PERCENTILES = {"p50_ms": ("median", "#0072B2", "o"), "p95_ms": ("95th percentile", "#D55E00", "s")}
_GREY = "#808080"


def write(points: Sequence[LoadPoint], title: str, folder: Path) -> None:
    """Draw the curve as PNG and PDF into a folder."""
    with print_style():
        figure = draw(points, title)
        for suffix in SUFFIXES:
            save(figure, folder / f"saturation{suffix}")


def draw(points: Sequence[LoadPoint], title: str) -> Figure:
    """Draw throughput above and latency below, from when an image was due, over the load.

    Args:
        points: of one mode, by rising load.
        title: what was measured.
    """
    is_open = points[0].mode == "open"
    loads = [point.load for point in points]
    figure = new_figure(_HEIGHT_IN)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(loads, [point.throughput_per_s for point in points], color="#009E73", marker="o", markersize=3.6)
    if is_open:
        above.plot(loads, loads, color=_GREY, linewidth=0.8, linestyle="--")
        where = {"xytext": (-4, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        above.annotate("as many as are due", (loads[-1], loads[-1]), color=_GREY, fontsize=FONT_PT, **where)
    above.set_ylim(bottom=0)
    above.set_ylabel("images a second")
    above.set_title(title)
    for name, (label, color, marker) in _PERCENTILES.items():
        known = [(point.load, getattr(point, name)) for point in points if getattr(point, name) is not None]
        if known:
            below.plot(*zip(*known, strict=True), color=color, marker=marker, markersize=3.6, label=label)
    below.set_yscale("log")
    below.yaxis.set_minor_locator(NullLocator())
    below.set_ylabel("latency (ms)")
    below.set_xlabel("images due a second" if is_open else "callers at once")
    below.legend(loc="upper left", fontsize=FONT_PT)
    return figure
