"""What pilots cost and bring: quality over their share, at equal channel uses in all."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from jscc.air import STEADY, AirSpec
from services.orchestrator.report.airs import parts
from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    FROM_LEFT,
    End,
    NoDataError,
    facts,
    label_ends,
    new_figure,
    panel_in,
    plot,
)
from services.orchestrator.report.figures.distribution import AT_SNR_DB
from services.orchestrator.report.figures.fading import told_right
from services.orchestrator.report.figures.tradeoff import log_ticks
from services.orchestrator.report.series import Image, Series, by_rate, image_mean, image_of, main_series
from services.orchestrator.report.style import Style, Styles
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import Results

PANEL_IN = 2.2
_WIDE = 8.0
"""Largest over smallest share from which on the axis is logarithmic."""
_Sent = tuple[Image, int]
_Group = Sequence[tuple[AirSpec, Results]]


class Swept(NamedTuple):
    """A method over airs that differ in pilots: its style, PSNR by share in percent, and that with a genie, if any."""

    style: Style
    block: int
    points: Mapping[float, float]
    genie_db: float | None


def draw(results: Results) -> Figure:
    """Draw mean PSNR over the share of the channel uses that pilots take, at the SNR nearest to 10 dB.

    A line across is what a receiver reaches that a genie tells the gains, and that has no pilots.

    Raises:
        NoDataError: no two airs differ in nothing but pilots, blocks and what the receiver knows.
    """
    group = max(_groups(results), key=len, default=[])
    rows = [row for _, part in group for row in _rows(part)]
    snr_db = min({row.snr_db for row in rows}, key=lambda at_db: (abs(at_db - AT_SNR_DB), at_db), default=0.0)
    common = _common(group, snr_db)
    swept = _swept(group, snr_db, common)
    if not any(len(item.points) > 1 for item in swept):
        raise NoDataError("no two airs that fade and differ in nothing but pilots")
    blocks = {item.block for item in swept}
    labels = [_label(item, blocks) for item in swept]
    height_in = panel_in((text for item in labels for text in item), PANEL_IN)
    figure = new_figure(height_in)
    axes = figure.subplots()
    ends: list[End] = []
    for item, texts in zip(swept, labels, strict=True):
        plot(axes, item.points, item.style)
        ends += _ends(item, texts)
        if item.genie_db is not None:
            axes.axhline(item.genie_db, color=item.style.color, linewidth=0.6, linestyle=(0, (1, 1.5)))
    shares = sorted({share for item in swept for share in item.points})
    if shares[-1] > _WIDE * shares[0]:
        axes.set_xscale("log")
        ticks = log_ticks(*axes.get_xlim(), most=6)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=f"pilots (% of the channel uses), {snr_db:g} dB mean SNR", ylabel=AXIS_LABELS["psnr_db"])
    first = AirSpec(group[0][0].channel, group[0][0].options)
    name = f"{first.channel}{f' ({first.options})' if first.options else ''}"
    axes.set_title(f"{name}; pilots are in the rate\n{facts([], {image for image, _ in common})}", **FROM_LEFT)
    right = axes.get_xlim()[1]
    label_ends(axes, [end if end.x else end._replace(x=right) for end in ends], height_in)
    return figure


def _groups(results: Results) -> list[_Group]:
    """Sort airs that fade by what they differ in beside pilots, blocks and what the receiver knows."""
    found: dict[object, list[tuple[AirSpec, Results]]] = defaultdict(list)
    for air, part in parts(results):
        if air.channel not in STEADY:
            others = replace(air.grid, coherence=0, pilots=0)
            found[air.channel, air.options, others].append((air, told_right(part)))
    return list(found.values())


def _series(part: Results) -> list[Series]:
    return next(iter(by_rate(main_series(part.rows))), [])


def _rows(part: Results) -> list[Row]:
    return [row for item in _series(part) for row in item.rows]


def _common(group: _Group, snr_db: float) -> frozenset[_Sent]:
    """Return images and draws that all have."""
    found = [
        frozenset((image_of(row), row.draw) for row in item.rows if row.snr_db == snr_db)
        for _, part in group
        for item in _series(part)
    ]
    return frozenset.intersection(*found) if found else frozenset()


def _swept(group: _Group, snr_db: float, common: Collection[_Sent]) -> list[Swept]:
    points: dict[tuple[str, int], dict[float, float]] = defaultdict(dict)
    genie: dict[str, float] = {}
    styles: dict[str, Style] = {}
    for air, part in group:
        own = Styles(part)
        for item in _series(part):
            rows = [row for row in item.rows if row.snr_db == snr_db and (image_of(row), row.draw) in common]
            if (mean := image_mean(rows, "psnr_db")) is None:
                continue
            styles[item.variant] = own.of(item.variant)
            if air.csi == "perfect":
                genie[item.variant] = mean.mean
            elif air.csi == "pilots":
                share = 100 * sum(row.pilot_uses or 0 for row in rows) / sum(row.channel_uses for row in rows)
                points[item.variant, air.grid.coherence][share] = mean.mean
    return [
        Swept(styles[name], block, dict(sorted(at.items())), genie.get(name)) for (name, block), at in points.items()
    ]


def _label(item: Swept, blocks: Collection[int]) -> tuple[str, ...]:
    block = f", block {item.block or 'of all'}" if len(blocks) > 1 else ""
    return (f"{item.style.beside}{block}", *((f"{item.style.beside}, genie",) if item.genie_db is not None else ()))


def _ends(item: Swept, texts: Sequence[str]) -> list[End]:
    """Return the ends of curve and line; that of a line across is at 0 until the axis is known."""
    share = max(item.points)
    values_db = (item.points[share], *((item.genie_db,) if item.genie_db is not None else ()))
    return [
        End(x, value_db, text, item.style.color)
        for x, value_db, text in zip((share, 0.0), values_db, texts, strict=False)
    ]
