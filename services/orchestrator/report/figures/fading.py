"""Quality over mean SNR where gains fade: methods beside digital lines, a panel for each kind of fading."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from jscc.air import STEADY, AirSpec
from jscc.baselines.curves import ERGODIC, FADING_CODECS
from jscc.rates import same_rate
from services.orchestrator.report.airs import CSI_WORDS, fading_lines, parts
from services.orchestrator.report.figures.canvas import (
    AXIS_LABELS,
    FROM_LEFT,
    NoDataError,
    end_of,
    label_ends,
    new_figure,
    panel_in,
    plot,
    rho_text,
    tick_snrs,
)
from services.orchestrator.report.figures.quality import errors
from services.orchestrator.report.markdown import count
from services.orchestrator.report.series import Series, by_rate, curve, image_of, main_series
from services.orchestrator.report.style import Styles
from services.orchestrator.results.store import Results

PANEL_IN = 2.4
_NAMES = {True: "One gain per image", False: "Fast fading"}


def draw(results: Results) -> Figure:
    """Draw mean PSNR over mean SNR at the highest rate: over one gain per image, and over many where the run has it.

    Raises:
        NoDataError: nothing was sent over air that fades.
    """
    panels = [(air, part, panel) for air, part in kinds(results) if (panel := shown(air, part))]
    if not panels:
        raise NoDataError("no transmission with default options over a channel that fades")
    styles = [Styles(part) for _, part, _ in panels]
    heights = [
        panel_in((own.of(item.variant).beside for item in panel), PANEL_IN)
        for own, (_, _, panel) in zip(styles, panels, strict=True)
    ]
    figure = new_figure(sum(heights))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, own, (air, _, panel), height_in in zip(grid[:, 0], styles, panels, heights, strict=True):
        for item in panel:
            plot(axes, curve(item, "psnr_db"), own.of(item.variant))
            errors(axes, item, "psnr_db", own.of(item.variant).color)
        axes.set_ylabel(AXIS_LABELS["psnr_db"])
        axes.set_title(title(air, panel), **FROM_LEFT)
        label_ends(axes, [end_of(curve(item, "psnr_db"), own.of(item.variant)) for item in panel], height_in)
    tick_snrs(grid[-1, 0], [snr_db for _, _, panel in panels for item in panel for snr_db in curve(item, "psnr_db")])
    grid[-1, 0].set_xlabel(f"mean SNR (dB){_of_lines([panel for _, _, panel in panels])}", loc="left")
    return figure


def _of_lines(panels: Sequence[Sequence[Series]]) -> str:
    """Say what lines are, and their rate where it is not that of the methods."""
    found = [(item.rho, _rho(panel)) for panel in panels for item in panel if not item.rows]
    if not found:
        return ""
    other = next((rho for rho, of_methods in found if not same_rate(rho, of_methods)), None)
    return "; AVIF, JPEG: ideal code, gains known" + (f", {rho_text(other)}" if other else "")


def kinds(results: Results) -> list[tuple[AirSpec, Results]]:
    """Return the first air of each kind of fading with its results: one gain per image, and more than one.

    What was told a wrong SNR is left out.
    """
    found: dict[bool, tuple[AirSpec, Results]] = {}
    for air, part in parts(results):
        if air.channel not in STEADY:
            found.setdefault(is_still(air), (air, told_right(part)))
    return [found[still] for still in (True, False) if still in found]


def is_still(air: AirSpec) -> bool:
    """Whether an image meets one gain."""
    return not (air.options.get("coherence") or air.options.get("doppler"))


def told_right(part: Results) -> Results:
    """Return results without what was told another SNR than the channel's."""
    rows = [row for row in part.rows if row.told_snr_db == row.snr_db]
    return replace(part, rows=rows, references=[item for item in part.references if not item.told_above_db])


def shown(air: AirSpec, part: Results) -> list[Series]:
    """Return the methods of the highest rate and the lines of the strongest codec; of fast fading the ergodic one."""
    sent = [item for item in main_series(part.rows) if curve(item, "psnr_db")]
    if not sent:
        return []
    panel = by_rate(sent)[0]
    computed = _nearest([item for item in fading_lines(air, part) if curve(item, "psnr_db")], _rho(panel))
    codec = next((codec for codec in FADING_CODECS if any(item.method.startswith(codec) for item in computed)), "")
    lines = [item for item in computed if item.method.startswith(codec)]
    ergodic = [item for item in lines if item.method.endswith(ERGODIC)]
    return [*panel, *(ergodic or lines)]


def _nearest(lines: Sequence[Series], rho: float) -> list[Series]:
    """Return the lines of the nearest rate: headers make that of small images a few percent more than theirs."""
    at = min((item.rho for item in lines), key=lambda found: abs(found - rho), default=rho)
    return [item for item in lines if same_rate(item.rho, at)]


def _rho(panel: Sequence[Series]) -> float:
    rows = [row for item in panel for row in item.rows]
    return sum(row.rho for row in rows) / len(rows)


def title(air: AirSpec, panel: Sequence[Series]) -> str:
    """Say what was measured: kind of fading, rate, images and draws, what the receiver knows."""
    rows = [row for item in panel for row in item.rows]
    images, draws = len({image_of(row) for row in rows}), len({row.draw for row in rows})
    datasets = ", ".join(sorted({row.dataset for row in rows}))
    rho = rho_text(_rho(panel))
    options = f", {air.options}" if air.options else ""
    first = f"{_NAMES[is_still(air)]} ({air.channel}{options}), {rho}"
    return f"{first}\n{datasets}, {count(images, 'image')} x {count(draws, 'draw')}, {CSI_WORDS[air.csi]}"
