"""What every figure shares: the size, the fonts, and how a curve is drawn."""

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from services.orchestrator.report.series import Image, Series
from services.orchestrator.report.style import Style

WIDTH_IN = 3.4
DPI = 300
FONT_PT = 7.0
"""The smallest that can be read in print, so the size of nearly everything."""
MOST_TICKS = 9
SHORT_LABEL = 22
"""Characters of a label of which two fit side by side."""
LEGEND_LINE_IN = 0.125
LABEL_LINE_IN = 0.112
BESIDE = 20
"""Characters of a line of a label beside a curve."""
AROUND_IN = 0.42
"""Height of a panel that title and ticks take."""
AXIS_LABELS = {
    "psnr_db": "PSNR (dB)",
    "ssim": "SSIM (higher is better)",
    "ms_ssim": "MS-SSIM (higher is better)",
    "lpips": "LPIPS (lower is better)",
}


class NoDataError(ValueError):
    """A figure cannot be drawn; the message says which data the database lacks."""


def new_figure(height_in: float) -> Figure:
    """Return a figure of the common width whose parts find their places by themselves."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.02, h_pad=0.02)  # type: ignore[call-arg]
    return figure


def plot(axes: Axes, points: Mapping[float, float], style: Style, *, marked: Iterable[float] = ()) -> Line2D:
    """Draw a curve.

    Args:
        axes: where.
        points: y by x, x in ascending order.
        style: of the curve.
        marked: the x that get a marker; all if the curve has none of them.
    """
    chosen = [at for at, x in enumerate(points) if x in set(marked)]
    (line,) = axes.plot(list(points), list(points.values()), label=style.label, **style.drawing())
    if chosen:
        line.set_markevery(chosen)
    return line


def legend(figure: Figure, styles: Collection[Style]) -> None:
    """List the styles: short labels above the axes in two columns, long ones below in one."""
    handles = {style.label: Line2D([], [], label=style.label, **style.drawing()) for style in styles}
    short = [handle for label, handle in handles.items() if len(label) <= SHORT_LABEL]
    long = [handle for label, handle in handles.items() if len(label) > SHORT_LABEL]
    if short:
        figure.legend(handles=short, loc="outside upper center", ncols=2)
    if long:
        figure.legend(handles=long, loc="outside lower center", ncols=1)


def legend_height_in(styles: Collection[Style]) -> float:
    """Return the height that `legend` takes."""
    labels = {style.label for style in styles}
    short = sum(len(label) <= SHORT_LABEL for label in labels)
    return LEGEND_LINE_IN * ((short + 1) // 2 + len(labels) - short) + 0.1


FROM_LEFT: Mapping[str, Any] = {"x": 0.0, "ha": "left"}
"""Where titles begin that are wider than axes with labels on their right."""


class End(NamedTuple):
    """The end of a curve, in the units of its axes, and what stands beside it."""

    x: float
    y: float
    text: str
    color: str


def end_of(points: Mapping[float, float], style: Style) -> End:
    """Return where a curve ends, with the style's name for it."""
    x = max(points)
    return End(x, points[x], style.beside, style.color)


def panel_in(labels: Iterable[str], least_in: float) -> float:
    """Return the height of a panel whose curves have these labels beside them, and no less than least_in."""
    return max(least_in, LABEL_LINE_IN * sum(_beside(label).count("\n") + 1 for label in labels) + AROUND_IN)


def label_ends(axes: Axes, ends: Iterable[End], height_in: float) -> None:
    """Write beside every curve what it is, on the right, as near to its end as its neighbours let it.

    Args:
        axes: with everything drawn: their limits stay as they are.
        ends: of the curves.
        height_in: of the panel, see `panel_in`.
    """
    listed = sorted(ends, key=lambda end: end.y)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    texts = [_beside(end.text) for end in listed]
    heights = [LABEL_LINE_IN * (text.count("\n") + 1) / (height_in - AROUND_IN) for text in texts]
    places = spread([(end.y - low) / (high - low) for end in listed], heights)
    for end, text, place in zip(listed, texts, places, strict=True):
        axes.annotate(
            text,
            xy=(end.x, end.y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            ha="left",
            va="center",
            color=end.color,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.color,
                "linewidth": 0.4,
                "relpos": (0.0, 0.5),
                "patchA": None,
                "shrinkA": 2,
                "shrinkB": 2,
            },
        )


def _beside(label: str) -> str:
    return textwrap.fill(label, BESIDE)


def spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Return places near the wanted ones, rising, so far apart that nothing of the heights overlaps.

    The squared distances are the least that there are (isotonic regression by pooling adjacent violators); then all is
    moved within 0..1, as far as there is room.

    Args:
        wanted: rising.
        heights: of what stands there, centred on its place.
    """
    before = [sum(heights[:at]) + height / 2 for at, height in enumerate(heights)]
    pools: list[list[float]] = []
    for place, taken in zip(wanted, before, strict=True):
        pools.append([place - taken])
        while len(pools) > 1 and fmean(pools[-2]) >= fmean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    free = max(1 - sum(heights), 0.0)
    starts = [min(max(fmean(pool), 0.0), free) for pool in pools for _ in pool]
    return [start + taken for start, taken in zip(starts, before, strict=True)]


def tick_snrs(axes: Axes, snrs_db: Iterable[float]) -> None:
    """Put the ticks where the SNRs are, unless they are too many."""
    ticks = sorted(set(snrs_db))
    if 0 < len(ticks) <= MOST_TICKS:
        axes.set_xticks(ticks)


def facts(series: Iterable[Series], images: Iterable[Image]) -> str:
    """Say what was measured: data set, number of images, channel."""
    listed, counted = list(series), set(images)
    datasets = sorted({dataset for dataset, _ in counted})
    channels = sorted({str(row.air) for item in listed for row in item.rows})
    count = f"{len(counted)} image{'' if len(counted) == 1 else 's'}"
    return ", ".join([*datasets, count, *(name.upper() if name == "awgn" else name for name in channels)])


def rho_text(rho: float) -> str:
    """Write a rate."""
    return f"$\\rho$ = {rho:.4g}"


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the suffix names; the same figure makes the same bytes.

    The first file settles where everything is, for the others too.
    """
    figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    figure.set_layout_engine("none")


@contextmanager
def print_style() -> Iterator[None]:
    """Draw for print: small fonts, thin lines, nothing that says nothing."""
    with matplotlib.rc_context(
        {
            "font.size": FONT_PT,
            "axes.titlesize": FONT_PT,
            "axes.labelsize": FONT_PT,
            "xtick.labelsize": FONT_PT,
            "ytick.labelsize": FONT_PT,
            "legend.fontsize": FONT_PT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6,
            "axes.labelpad": 2.0,
            "axes.titlepad": 3.0,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.linewidth": 0.3,
            "grid.color": "#cccccc",
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.minor.width": 0.4,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "legend.frameon": False,
            "legend.handlelength": 2.4,
            "legend.labelspacing": 0.25,
            "legend.columnspacing": 1.0,
            "legend.borderpad": 0.1,
            "legend.borderaxespad": 0.3,
            "pdf.fonttype": 42,
        }
    ):
        yield
