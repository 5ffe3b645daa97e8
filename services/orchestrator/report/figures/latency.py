"""Where the time goes: computing and wire of every hop."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from services.orchestrator.report.figures.canvas import FONT_PT, NoDataError, new_figure
from services.orchestrator.report.series import Series, hop_names, hop_times_ms, main_series
from services.orchestrator.report.style import Styles
from services.orchestrator.results.store import Results

PERCENTILE = 95
ROW_IN = 0.27
MARGIN = 1.3
"""Factor of time that is left free at the ends."""
_COLOURS = {"compute": "#D55E00", "wire": "#0072B2"}
_MARKERS = {"compute": "o", "wire": "s"}
_LABELS = {"compute": "computing", "wire": "wire: network, pack and unpack"}
_OFFSETS = {"compute": -0.17, "wire": 0.17}


def draw(results: Results) -> Figure:
    """Draw the median of every hop's computing and wire time, and a line from there to the 95th percentile.

    The axis is logarithmic, as methods differ by orders of magnitude. Waiting for the model is neither.

    Raises:
        NoDataError: there is nothing but warm-up transmissions.
    """
    every = [item for item in main_series(results.rows) if any(not row.warm_up for row in item.rows)]
    if not every:
        raise NoDataError("no transmission with default options that is no warm-up")
    styles = Styles(results)
    order = styles.in_order(item.variant for item in every)
    series = sorted(every, key=lambda item: order.index(item.variant))
    figure = new_figure(0.95 + ROW_IN * len(series))
    hops = hop_names(row for item in series for row in item.rows)
    grid = figure.subplots(1, len(hops), sharey=True, sharex=True, squeeze=False)[0]
    for axes, hop in zip(grid, hops, strict=True):
        for at, item in enumerate(series):
            _draw_hop(axes, at, item, hop)
        axes.set_title(hop.replace("_", " "))
        axes.grid(visible=False, axis="y")
    _scale(grid)
    labels = [_two_lines(styles.of(item.variant).label) for item in series]
    grid[0].set_yticks(range(len(series)), labels)
    grid[0].set_ylim(len(series) - 0.5, -0.5)
    label = f"time per image (ms): median, line to {PERCENTILE}th percentile"
    figure.supxlabel(label, fontsize=FONT_PT)
    handles = [
        Line2D([], [], color=_COLOURS[part], marker=_MARKERS[part], markersize=3.6, label=label)
        for part, label in _LABELS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _draw_hop(axes: Axes, at: int, item: Series, hop: str) -> None:
    for part, times_ms in hop_times_ms(item.rows, hop).items():
        if not times_ms:  # this method's way has no such hop
            return
        median_ms, high_ms = np.maximum(np.percentile(times_ms, (50, PERCENTILE)), 1e-3)
        look: dict[str, Any] = {"color": _COLOURS[part], "linewidth": 1.1}
        axes.plot([median_ms, high_ms], [at + _OFFSETS[part]] * 2, **look)
        axes.plot([median_ms], [at + _OFFSETS[part]], marker=_MARKERS[part], markersize=3.6, **look)
        axes.plot([high_ms], [at + _OFFSETS[part]], marker="|", markersize=4, **look)


def _scale(grid: Sequence[Axes]) -> None:
    """Show whole decades on the axis that all share; every second of them has a number."""
    first = math.floor(math.log10(min(axes.dataLim.x0 for axes in grid)))
    last = max(math.ceil(math.log10(max(axes.dataLim.x1 for axes in grid) * MARGIN)), first + 1)
    decades = range(first, last + 1)
    for axes in grid:
        axes.set_xscale("log")
        axes.set_xticks([10.0**n for n in decades], [f"$10^{{{n}}}$" if n % 2 == 0 else "" for n in decades])
        axes.set_xlim(10.0**first / MARGIN, 10.0**last)
        axes.xaxis.set_minor_locator(NullLocator())


def _two_lines(label: str, most: int = 17) -> str:
    """Break a label at the space nearest to its middle, if it is long."""
    spaces: Sequence[int] = [at for at, letter in enumerate(label) if letter == " "]
    if len(label) <= most or not spaces:
        return label
    middle = min(spaces, key=lambda at: abs(at - len(label) / 2))
    return f"{label[:middle]}\n{label[middle + 1 :]}"
