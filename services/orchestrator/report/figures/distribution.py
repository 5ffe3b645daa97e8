"""How PSNR scatters over images and draws where gains fade."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jscc.baselines.curves import ONE_RATE
from services.orchestrator.report.airs import POOR_DB
from services.orchestrator.report.figures.canvas import (
    LEGEND_LINE_IN,
    NoDataError,
    legend,
    legend_height_in,
    new_figure,
)
from services.orchestrator.report.figures.fading import kinds, shown, title
from services.orchestrator.report.series import Scored, by_snr
from services.orchestrator.report.style import Style, Styles
from services.orchestrator.results.store import Results

AT_SNR_DB = 10.0
PANEL_IN = 2.2


def draw(results: Results) -> Figure:
    """Draw which share of images and draws is below a PSNR, at the SNR nearest to 10 dB, with the single-rate line.

    Raises:
        NoDataError: nothing was sent over air that fades.
    """
    found = [(air, part, panel) for air, part in kinds(results) if (panel := shown(air, part))]
    if not found:
        raise NoDataError("no transmission with default options over a channel that fades")
    air, part, panel = found[0]
    panel = [item for item in panel if item.rows or item.method.endswith(ONE_RATE)]
    snr_db = min({row.snr_db for item in panel for row in item.rows}, key=lambda at_db: (abs(at_db - AT_SNR_DB), at_db))
    styles = Styles(part)
    scored = {item.variant: by_snr(item.scored).get(snr_db, []) for item in panel}
    listed = [styles.of(name)._replace(label=styles.of(name).beside) for name in styles.in_order(scored)]
    figure = new_figure(PANEL_IN + legend_height_in(listed) + LEGEND_LINE_IN)
    axes = figure.subplots()
    for name, items in scored.items():
        _draw_share(axes, items, styles.of(name))
    axes.axvline(POOR_DB, color="black", linewidth=0.5, linestyle=(0, (1, 2)))
    axes.set(xlabel=f"PSNR (dB) at {snr_db:g} dB mean SNR", ylabel="images and draws below (%)", ylim=(0, 100))
    axes.set_title(title(air, panel))
    legend(figure, listed)
    return figure


def _draw_share(axes: Axes, items: Sequence[Scored], style: Style) -> None:
    """Draw the steps from no image to all of them."""
    values = np.sort([item.psnr_db for item in items if item.psnr_db is not None])
    if not len(values):
        return
    shares = 100 * np.arange(len(values) + 1) / len(values)
    look = style.drawing() | {"marker": ""}
    axes.step([values[0], *values], shares, where="post", **look)
