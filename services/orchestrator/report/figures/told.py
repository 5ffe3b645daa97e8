"""Told against true SNR: what a link reaches that was designed for one SNR and meets another."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jscc.air import AirSpec
from jscc.baselines.curves import BRIEF, FADING_CODECS, ONE_RATE
from jscc.rates import same_rate
from services.orchestrator.report.airs import fading_lines, parts
from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    FONT_PT,
    End,
    NoDataError,
    facts,
    label_ends,
    new_figure,
    plot,
    tick_snrs,
)
from services.orchestrator.report.series import (
    Image,
    Scored,
    Series,
    all_series,
    by_snr,
    image_mean,
    image_of,
    told_above_db,
)
from services.orchestrator.report.style import snr_styles
from services.orchestrator.results.store import Results

DESIGNED_DB = (0.0, 5.0, 10.0, 15.0)
"""What the field's figures are designed for; told values that are shown if a run has more than MOST."""
MOST = 5
COLUMNS = 2
PANEL_IN = 1.75
_TRUTH = "#777777"
Points = Mapping[float, float]


class Panel(NamedTuple):
    """One link: its name, mean PSNR over true SNR by what it was told, and where it was told the truth."""

    name: str
    told: Mapping[float, Points]
    truth: Points
    images: frozenset[Image]


def draw(results: Results) -> Figure:
    """Draw mean PSNR over the true SNR, a panel for each link, a curve for each SNR that it was told.

    Of the first air of which a transmitter was told anything wrong.

    Raises:
        NoDataError: no link was told one SNR at several.
    """
    for air, part in parts(results):
        panels = [panel for panel in _panels(air, part) if panel.told]
        if panels:
            return _draw(air, panels)
    raise NoDataError("no transmission that was told one SNR while the channel had several")


def _panels(air: AirSpec, part: Results) -> Iterator[Panel]:
    for item in all_series(part.rows, by_told=False):
        info = part.methods.get(item.method)
        label = (info.label if info else "") or item.method
        yield _panel(f"{label} ({item.options})" if item.options else label, item.rows)
    lines = [item for item in fading_lines(air, part) if item.method.endswith(ONE_RATE)]
    for codec in FADING_CODECS:
        own = [scored for item in _highest(lines) if item.method.startswith(codec) for scored in item.scored]
        if own:
            yield _panel(BRIEF[f"{codec}_{ONE_RATE}"], own)
            return


def _highest(lines: Sequence[Series]) -> list[Series]:
    rho = max((item.rho for item in lines), default=0.0)
    return [item for item in lines if same_rate(item.rho, rho)]


def _panel(name: str, scored: Sequence[Scored]) -> Panel:
    """Sort what was sent by what was told; all means are over the same images and draws."""
    groups: dict[float, list[Scored]] = defaultdict(list)
    for item in {item.key: item for item in scored}.values():
        groups[round(item.told_snr_db, 6)].append(item)
    if all(told_above_db(item) == 0 for item in scored):
        return Panel(name, {}, {}, frozenset())
    several = {told_db: items for told_db, items in sorted(groups.items()) if len(by_snr(items)) > 1}
    if len(several) > MOST:
        wanted = [told_db for told_db in several if told_db in DESIGNED_DB] or list(several)[
            :: len(several) // MOST + 1
        ]
        several = {told_db: several[told_db] for told_db in wanted}
    truth = [item for item in scored if told_above_db(item) == 0]
    every = [group for items in (*several.values(), truth) for group in by_snr(items).values()]
    common = frozenset.intersection(*(frozenset(map(_sent, group)) for group in every))
    means = {at: _means(items, common) for at, items in several.items()}
    return Panel(name, means, _means(truth, common), frozenset(image for image, _ in common))


def _sent(item: Scored) -> tuple[Image, int]:
    return image_of(item), item.draw


def _means(items: Sequence[Scored], common: frozenset[tuple[Image, int]]) -> Points:
    chosen = by_snr(item for item in items if _sent(item) in common)
    return {snr_db: mean.mean for snr_db, group in chosen.items() if (mean := image_mean(group, "psnr_db"))}


def _draw(air: AirSpec, panels: Sequence[Panel]) -> Figure:
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(PANEL_IN * rows + 0.3)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    styles = snr_styles(sorted({told_db for panel in panels for told_db in panel.told}))
    for axes, panel in zip(grid.flat, panels, strict=False):
        if len(panel.truth) > 1:
            axes.plot(
                list(panel.truth), list(panel.truth.values()), color=_TRUTH, linewidth=0.8, linestyle=(0, (3, 1.5))
            )
        for told_db, points in panel.told.items():
            plot(axes, points, styles[told_db])
        axes.set_title(panel.name)
    for axes, panel in zip(grid.flat, panels, strict=False):  # all share the limits that the last one settles
        _label(axes, panel, {told_db: style.color for told_db, style in styles.items()})
    for at, axes in enumerate(grid.flat):
        axes.set_visible(at < len(panels))
        axes.tick_params(labelbottom=at + columns >= len(panels))
    tick_snrs(grid[0, 0], [snr_db for panel in panels for points in panel.told.values() for snr_db in points])
    for axes in grid[:, 0]:
        axes.set_ylabel(AXIS_LABELS["psnr_db"])
    name = air.channel.upper() if str(air) == "awgn" else str(air)
    words = "beside the lines: SNR that was told (dB); dashed: the truth"
    figure.suptitle(f"{facts([], panels[0].images)}, {name}\n{words}", fontsize=FONT_PT)
    figure.supxlabel("true SNR (dB)", fontsize=FONT_PT)
    return figure


def _label(axes: Axes, panel: Panel, colors: Mapping[float, str]) -> None:
    ends = [
        End(max(points), points[max(points)], f"{told_db:g}".replace("-", "\N{MINUS SIGN}"), colors[told_db])
        for told_db, points in panel.told.items()
    ]
    label_ends(axes, ends, PANEL_IN)
