"""The cliff: digital links at a fixed rate against those that follow the SNR, and against learned methods."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jscc.baselines.curves import DESIGN_SNR_DB
from jscc.rates import same_rate
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
    Image,
    Series,
    all_series,
    common_images,
    curve,
    drawn_references,
    main_series,
)
from services.orchestrator.report.style import Style, Styles
from services.orchestrator.results.store import Results

LEAST_DROP_DB = 3.0
"""A smaller drop is no cliff."""
LEVEL_DB = 1.0
"""What is nearer than this to the highest or lowest level is on that level."""
PANEL_IN = 2.6
_FIXED, _ADAPTIVE = "_fixed", "_adaptive"
Styled = list[tuple[Style, Series]]


class Cliff(NamedTuple):
    """Where a curve falls from its highest to its lowest level: SNR of the brink and of the foot, and the levels."""

    brink_db: float
    foot_db: float
    upper_db: float
    lower_db: float


def draw(results: Results) -> Figure:
    """Draw PSNR over SNR of methods whose rates are those of the fixed-rate links, all over the same images.

    Raises:
        NoDataError: nothing was sent at a fixed rate, or not over the images of the others.
    """
    sent, computed = main_series(results.rows), drawn_references(results.references)
    styles = Styles(results)
    fixed = [(styles.of(item.variant), item) for item in computed if item.variant.endswith(_FIXED)]
    fixed += _best_code(results, styles)
    if not fixed:
        raise NoDataError("no fixed-rate reference (jpeg_fixed, webp_fixed) and no transmission with the option mcs")
    rho = max(item.rho for _, item in fixed)
    fixed = [(style, item) for style, item in fixed if same_rate(item.rho, rho)]
    peers = [item for item in (*sent, *computed) if same_rate(item.rho, rho)]
    digital = [(styles.of(item.variant), item) for item in peers if _follows(item, fixed)]
    images = common_images(item for _, item in fixed + digital)
    if not images:
        raise NoDataError("the fixed-rate links and those that follow the SNR have no image in common")
    learned = [
        (styles.of(item.variant), item)
        for item in peers
        if item.rows and styles.of(item.variant).is_learned and item.images >= images
    ]
    return _draw(learned + digital + fixed, images)


def _best_code(results: Results, styles: Styles) -> Styled:
    """Of every method's fixed modulation and coding schemes, the one with the best PSNR at the design SNR."""
    found: dict[str, tuple[float, Style, Series]] = {}
    for item in all_series(results.rows):
        if set(item.options) == {"mcs"}:
            psnr_db = curve(item, "psnr_db").get(DESIGN_SNR_DB, 0.0)
            style = styles.fixed_rate(item.variant, f"MCS {item.options['mcs']}")
            if item.variant not in found or psnr_db > found[item.variant][0]:
                found[item.variant] = (psnr_db, style, item)
    return [(style, item) for _, style, item in found.values()]


def _follows(item: Series, fixed: Styled) -> bool:
    """Whether a series is one of the fixed-rate links with a rate that follows the SNR."""
    with_fixed = {other.variant.removesuffix(_FIXED) for _, other in fixed}
    return item.variant.removesuffix(_ADAPTIVE) in with_fixed and not item.variant.endswith(_FIXED)


def _draw(shown: Styled, images: frozenset[Image]) -> Figure:
    styles = [style for style, _ in shown]
    height_in = panel_in((style.beside for style in styles), PANEL_IN)
    figure = new_figure(height_in)
    axes = figure.subplots()
    curves = {style.label: curve(item, "psnr_db", images) for style, item in shown}
    sent_db = {snr_db for style, item in shown if item.rows for snr_db in curves[style.label]}
    for style, _ in shown:
        plot(axes, curves[style.label], style, marked=sent_db)
    tick_snrs(axes, sent_db)
    axes.set(xlabel="SNR (dB)", ylabel=AXIS_LABELS["psnr_db"])
    series = [item for _, item in shown]
    axes.set_title(f"{rho_text(series[-1].rho)}: {facts(series, images)}", **FROM_LEFT)
    cliffs = [cliff for style, item in shown if _is_fixed(item) and (cliff := _cliff(curves[style.label]))]
    if cliffs:
        _annotate(axes, max(cliffs, key=lambda cliff: cliff.foot_db))
    label_ends(axes, [end_of(curves[style.label], style) for style in styles], height_in)
    return figure


def _is_fixed(item: Series) -> bool:
    return item.variant.endswith(_FIXED) or bool(item.options)


def _cliff(points: dict[float, float]) -> Cliff | None:
    """The cliff of a curve that rises; None if it is flat."""
    if not points or max(points.values()) - min(points.values()) < LEAST_DROP_DB:
        return None
    upper_db, lower_db = max(points.values()), min(points.values())
    brink_db = min(snr_db for snr_db, psnr_db in points.items() if psnr_db > upper_db - LEVEL_DB)
    foot_db = max((snr_db for snr_db, psnr_db in points.items() if psnr_db < lower_db + LEVEL_DB))
    return Cliff(brink_db, foot_db, upper_db, lower_db) if foot_db < brink_db else None


def _annotate(axes: Axes, cliff: Cliff) -> None:
    """Point at the cliff from the right, below the curves, where nothing is drawn."""
    drop_db = cliff.upper_db - cliff.lower_db
    level_db = cliff.lower_db + 0.3 * drop_db
    text = f"the cliff:\n{drop_db:.0f} dB lost from\n{cliff.brink_db:g} to {cliff.foot_db:g} dB SNR"
    axes.annotate(
        text,
        xy=((cliff.brink_db + cliff.foot_db) / 2, level_db),
        xytext=(16, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        arrowprops={"arrowstyle": "->", "linewidth": 0.7, "shrinkB": 1.0},
    )
