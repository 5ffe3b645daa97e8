"""The figures of a report: 4 inches wide, legible at half the width of a page, safe for the colour-blind.

Everything here takes plain numbers and returns a `Figure` for `save`; no database, no global state of pyplot.
"""

import io
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from services.orchestrator.store import HOPS, Picture

WIDTH_IN = 4.0
DPI = 200
MOST_BANDS = 3
"""With more methods than this the bands of deviation would hide one another."""
MOST_TICKS = 9
LEAST_SHARE = 0.05
"""A part of the latency below this share of every bar is drawn as "everything else"."""

# Okabe and Ito, "Color Universal Design", 2008; without yellow, which white paper swallows.
_COLOURS = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#0072B2", "#D55E00", "#000000")
_LINES = ("--", "-.", (0, (1, 1)), (0, (5, 1)), "-", (0, (3, 1, 1, 1)), (0, (6, 2)))
_MARKERS = ("s", "^", "D", "v", "o", "P", "X", "*")
_HOP_COLOURS = {"encoder": "#0072B2", "channel": "#009E73", "decoder": "#D55E00", "orchestrator": "#000000"}
_TINTS = {"compute": 0.0, "network": 0.35, "queue": 0.7, "score": 0.45, "load": 0.65}
_OTHER_TINT = 0.85
_REST = "everything else"

_METRICS = {
    "psnr_db": "PSNR (dB)",
    "ssim": "SSIM (higher is better)",
    "ms_ssim": "MS-SSIM (higher is better)",
    "lpips": "LPIPS (lower is better)",
}


class Style(NamedTuple):
    """How a method is drawn: colour, line style and marker as matplotlib takes them."""

    color: str
    linestyle: str | tuple[int, tuple[int, ...]]
    marker: str


class Curve(NamedTuple):
    """Quality over SNR: equally long sequences of SNR in dB, mean and standard deviation over the images."""

    snr_db: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float]


class Tile(NamedTuple):
    """One picture of the strip and what is written above it."""

    caption: str
    png: bytes


def style_of(method: str, methods: Collection[str] = ()) -> Style:
    """The style of a method, the same in every figure of a run.

    The name chooses the style, so a method mostly keeps its own from run to run; where two of `methods` choose
    the same, the later in the alphabet takes the next that is free. Up to 56 methods differ.
    """
    count = len(_COLOURS)
    slots: dict[str, int] = {}
    for name in sorted({method, *methods}):
        home = zlib.crc32(name.encode()) % count
        lap = len(slots) // count * count
        steps = (lap + (home + step) % count for step in range(count))
        slots[name] = next(slot for slot in steps if slot not in slots.values())
    slot = slots[method]
    return Style(_COLOURS[slot % count], _LINES[(slot + slot // count) % count], _MARKERS[slot % len(_MARKERS)])


def draw_quality(metric: str, curves: Mapping[str, Curve], what: str) -> Figure:
    """Draw mean quality over SNR, with a band of one standard deviation as long as the bands can be told apart.

    Args:
        metric: a quality column of a row: psnr_db, ssim, ms_ssim or lpips.
        curves: by method; values that are not finite are left out.
        what: what was measured.
    """
    few = len(curves) <= MOST_BANDS
    with _print_style():
        height = 2.9 if few else 2.9 + 0.17 * ((len(curves) + 1) // 2)
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        for method, curve in curves.items():
            _draw_curve(axes, method, curve, style_of(method, curves), band=few)
        snrs_db = sorted({snr_db for curve in curves.values() for snr_db in curve.snr_db if np.isfinite(snr_db)})
        if len(snrs_db) <= MOST_TICKS:
            axes.set_xticks(snrs_db)
        axes.set(xlabel="SNR (dB)", ylabel=_METRICS[metric], title=f"{what}: mean{' ± 1 standard deviation' * few}")
        axes.grid(visible=True)
        if few:
            axes.legend()
        else:
            figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_curve(axes: Axes, label: str, curve: Curve, style: Style, *, band: bool) -> None:
    snr_db, mean, std = (np.asarray(values, dtype=np.float64) for values in curve)
    shown = np.isfinite(snr_db) & np.isfinite(mean)
    snr_db, mean, std = snr_db[shown], mean[shown], np.nan_to_num(std[shown])
    axes.plot(snr_db, mean, label=label, **style._asdict())
    if not band:
        return
    if len(mean) == 1:
        axes.errorbar(snr_db, mean, yerr=std, color=style.color, capsize=3)
    axes.fill_between(snr_db, mean - std, mean + std, color=style.color, alpha=0.12, linewidth=0)
    for edge in (mean - std, mean + std):
        axes.plot(snr_db, edge, color=style.color, alpha=0.5, linewidth=0.6)


def draw_latency(bars: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Draw where the time goes: a bar per method, stacked from the parts of the mean latency.

    Args:
        bars: by method, the milliseconds of every part by its column name, such as "encoder_queue_ms".
        title: what was measured.
    """
    segments = _segments(bars)
    with _print_style():
        height = 0.85 + 0.5 * len(bars) + 0.17 * ((len(segments) + 1) // 2)
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        longest = max(sum(parts.values()) for parts in bars.values()) or 1.0
        ends = np.zeros(len(bars))
        for name, widths in segments.items():
            hatch = "/////" if name.endswith(" queue") else ""
            axes.barh(range(len(bars)), widths, 0.6, ends, label=name, color=_colour_of(name), hatch=hatch)
            ends = ends + widths
        for at in range(len(bars)):
            _label_bar(axes, at, {name: widths[at] for name, widths in segments.items()}, longest)
        axes.set(xlim=(0, 1.17 * longest), xlabel="mean time of a transmission (ms)", title=title)
        axes.set_yticks(range(len(bars)), [name.replace(" (", "\n(") for name in bars])
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _segments(bars: Mapping[str, Mapping[str, float]]) -> dict[str, NDArray[np.float64]]:
    """Merge the parts that are small in every bar; values have one entry per bar."""
    parts = {name: np.array([bar[name] for bar in bars.values()]) for name in next(iter(bars.values()))}
    totals = np.sum(list(parts.values()), axis=0)
    large = {name: ms for name, ms in parts.items() if np.any(ms > LEAST_SHARE * totals)}
    rest = totals - np.sum(list(large.values()), axis=0)
    named = {name.removesuffix("_ms").replace("_", " "): ms for name, ms in large.items()}
    return named | ({_REST: rest} if len(large) < len(parts) else {})


def _colour_of(segment: str) -> tuple[float, float, float]:
    hop, _, stage = segment.partition(" ")
    owner, work = (hop, stage) if hop in HOPS else ("orchestrator", hop)
    base, tint = np.array(to_rgb(_HOP_COLOURS[owner])), _TINTS.get(work, _OTHER_TINT)
    red, green, blue = base + (1 - base) * tint
    return red, green, blue


def _label_bar(axes: Axes, at: int, segments: Mapping[str, float], longest: float) -> None:
    """Write the milliseconds into every segment, or above it where that is free, and the total behind the bar."""
    start = taken = 0.0
    for name, width in segments.items():
        text, middle = _short(width), start + width / 2
        half_ms = 0.0105 * len(text) * longest
        if width > 2.6 * half_ms:
            ink = "white" if np.mean(_colour_of(name)) < 0.5 else "black"
            axes.text(middle, at, text, ha="center", va="center", color=ink, fontsize=7)
        elif width > 0 and middle - half_ms >= taken:
            axes.text(middle, at - 0.33, text, ha="center", va="bottom", fontsize=6)
            taken = middle + half_ms
        start += width
    axes.text(start + 0.01 * longest, at, f"{_short(start)} ms", va="center")


def _short(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}"


def strip_tiles(pictures: Sequence[Picture], psnr_db: Callable[[Picture], float | None]) -> dict[str, list[Tile]]:
    """Choose what the strip shows: an original and what each method received at a low, middle and high SNR.

    Args:
        pictures: any number of originals and received pictures.
        psnr_db: the PSNR to write above a received picture; None for none.

    Returns:
        By method, for the image with the most pictures; empty if no image has both kinds of picture.
    """
    originals = {picture.image: picture for picture in pictures if picture.kind == "original"}
    received = [picture for picture in pictures if picture.kind == "received" and picture.image in originals]
    if not received:
        return {}
    image = Counter(picture.image for picture in received).most_common(1)[0][0]
    tiles: dict[str, list[Tile]] = {}
    chosen = _low_middle_high({picture.snr_db for picture in received if picture.image == image})
    for picture in received:
        if picture.image == image and picture.snr_db in chosen:
            quality = psnr_db(picture)
            caption = f"SNR {picture.snr_db:g} dB" + ("" if quality is None else f"\nPSNR {quality:.1f} dB")
            first = [Tile(f"original\n{image[:18]}", originals[image].png)]
            tiles.setdefault(picture.method, first).append(Tile(caption.replace("-", "\N{MINUS SIGN}"), picture.png))
    return tiles


def _low_middle_high(snrs_db: Collection[float]) -> set[float]:
    ordered = sorted(snrs_db)
    return {ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]}


def draw_strip(rows: Mapping[str, Sequence[Tile]]) -> Figure:
    """Draw pictures side by side, a row per method, all of one shape.

    Args:
        rows: by method, at least one; what a shorter row lacks stays blank.
    """
    pictures = {method: [_picture(tile.png) for tile in tiles] for method, tiles in rows.items()}
    columns = max(len(tiles) for tiles in rows.values())
    first = next(iter(pictures.values()))[0]
    tile_width = (WIDTH_IN - 0.2) / columns - 0.08
    row_height = tile_width * first.shape[0] / first.shape[1] + 0.36
    with _print_style():
        # Twice the resolution: the pictures are what is looked at.
        figure = Figure(figsize=(WIDTH_IN, row_height * len(rows)), dpi=2 * DPI, layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes_row, (method, tiles) in zip(grid, rows.items(), strict=True):
            axes_row[0].set_ylabel(method)
            for axes in axes_row:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            for axes, tile, picture in zip(axes_row, tiles, pictures[method], strict=False):
                axes.imshow(picture, interpolation="lanczos")
                axes.set_title(tile.caption, fontsize=7.5, pad=2)
    return figure


def _picture(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with _print_style():
        figure.savefig(path, format="png")


@contextmanager
def _print_style() -> Iterator[None]:
    with matplotlib.rc_context(
        {
            "font.size": 8.5,
            "axes.titlesize": 8.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.7,
            "grid.linewidth": 0.4,
            "grid.color": "#cccccc",
            "hatch.linewidth": 0.5,
            "patch.edgecolor": "white",
            "patch.force_edgecolor": True,
            "patch.linewidth": 0.5,
            "legend.frameon": False,
            "lines.linewidth": 1.4,
            "lines.markersize": 4.5,
        }
    ):
        yield
