"""Quality against the number of parameters."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from services.orchestrator.report.figures.canvas import (
    LEGEND_LINE_IN,
    NoDataError,
    facts,
    new_figure,
    rho_text,
)
from services.orchestrator.report.series import Series, by_rate, curve, main_series, parameters
from services.orchestrator.report.style import Style, Styles
from services.orchestrator.results.store import Results

AT_SNR_DB = 10.0
PANEL_IN = 2.1
_FILLS = ("full", "none", "left", "top")
"""How markers are filled by rate, highest first."""


def draw(results: Results) -> Figure:
    """Draw PSNR at 10 dB (or the nearest SNR that was sent) over the number of parameters of both ends.

    Methods without parameters are lines across the figure.

    Raises:
        NoDataError: the number of parameters of no method is known, or none was sent.
    """
    series = main_series(results.rows)
    counts = {item.variant: count for item in series if (count := parameters(results, item)) is not None}
    points = {item.variant: curve(item, "psnr_db") for item in series if item.variant in counts}
    trained = {snr_db for name, found in points.items() if counts[name] for snr_db in found}
    if not trained:
        raise NoDataError("no transmission with default options of a method whose number of parameters is on record")
    snr_db = min(trained, key=lambda found_db: (abs(found_db - AT_SNR_DB), found_db))
    styles = Styles(results)
    ordered = styles.in_order(points)
    shown = sorted(
        (item for item in series if snr_db in points.get(item.variant, ())), key=lambda s: ordered.index(s.variant)
    )
    figure = new_figure(PANEL_IN + LEGEND_LINE_IN * len(shown) + 0.1)
    axes = figure.subplots()
    fills = {item.variant: _FILLS[at % len(_FILLS)] for at, group in enumerate(by_rate(shown)) for item in group}
    handles = [
        _point(axes, item, (counts[item.variant], points[item.variant][snr_db]), styles.of(item.variant), fills)
        for item in shown
    ]
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda parameters, _: f"{parameters / 1e6:g} M"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15, y=0.15)
    axes.set(xlabel="parameters of transmitter and receiver", ylabel=f"PSNR at {snr_db:g} dB (dB)")
    axes.set_title(facts(shown, {image for item in shown for image in item.images}))
    figure.legend(handles=handles, loc="outside lower center", ncols=1)
    return figure


def _point(axes: Axes, item: Series, at: tuple[int, float], style: Style, fills: dict[str, str]) -> Line2D:
    count, psnr_db = at
    rate = rho_text(item.rho)
    if not count:
        look = style.drawing() | {"marker": "", "linewidth": 0.9}
        return axes.axhline(psnr_db, label=f"{style.label}, {rate}, no parameters", **look)
    label = f"{style.label}, {rate}, {_short(count)}"
    look = style.drawing() | {"linestyle": "", "markersize": 6, "markeredgewidth": 1.0}
    (line,) = axes.plot([count], [psnr_db], label=label, fillstyle=fills[item.variant], **look)
    return line


def _short(count: int) -> str:
    for unit, name in ((1_000_000, " M"), (1_000, " k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return str(count)
