"""What arrives: the original and what every method received, each with the same detail enlarged."""

import io
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image as PillowImage

from services.orchestrator.report.figures.canvas import FONT_PT, WIDTH_IN, NoDataError, rho_text
from services.orchestrator.report.series import Scored
from services.orchestrator.report.style import in_order, style_of
from services.orchestrator.results.rows import Picture
from services.orchestrator.results.store import Results

AT_SNR_DB = 5.0
COLUMNS = 3
DPI = 400
"""The pictures are what is looked at."""
ZOOM = 4
"""Width of the picture over width of the detail."""
_GAP_IN, _LINE_IN, _TITLE_IN = 0.04, 0.115, 0.18
_DETAIL_ASPECT = 0.6
_SAME_PSNR_DB = 0.1
_FRAME = "#D55E00"
Pixels = NDArray[np.uint8]


class Tile(NamedTuple):
    """A picture, [H, W, 3], and what stands under it."""

    caption: str
    pixels: Pixels


def draw(results: Results) -> Figure:
    """Draw the image with the most pictures at the SNR nearest to 5 dB, and what every method made of it.

    Raises:
        NoDataError: there is no original with a received picture.
    """
    originals = {picture.image: picture for picture in results.pictures if picture.kind == "original"}
    received = [picture for picture in results.pictures if picture.kind == "received" and picture.image in originals]
    if not received:
        raise NoDataError("no original picture with a received one")
    snr_db = min((picture.snr_db for picture in received), key=lambda found: (abs(found - AT_SNR_DB), found))
    at_snr = [picture for picture in received if picture.snr_db == snr_db]
    image = Counter(picture.image for picture in at_snr).most_common(1)[0][0]
    shown = {picture.method: picture for picture in at_snr if picture.image == image}
    original = pixels_of(originals[image].png)
    tiles = [Tile("Original", original)]
    tiles += [_tile(results, shown[name], original, list(shown)) for name in in_order(list(shown))]
    return _draw(tiles, f"{image.rpartition('/')[2]} at SNR = {snr_db:g} dB: PSNR / LPIPS (less is better)")


def pixels_of(png: bytes) -> Pixels:
    """Return the pixels of a picture, [H, W, 3]."""
    with PillowImage.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def _tile(results: Results, picture: Picture, original: Pixels, names: Sequence[str]) -> Tile:
    pixels = pixels_of(picture.png)
    psnr_db = _psnr_db(pixels, original)
    found = _scores(results, picture, psnr_db)
    rates = {f"{rho:.2g}" for rho in _rhos(results)}
    lines = textwrap.wrap(style_of(picture.method, names).label, 22)
    lines += [rho_text(found.rho)] if found and len(rates) > 1 else []
    lpips = "" if found is None or found.lpips is None else f" / {found.lpips:.3f}"
    return Tile("\n".join([*lines, f"{psnr_db:.1f} dB{lpips}"]), pixels)


def _rhos(results: Results) -> set[float]:
    return {row.rho for row in results.rows} | {item.rho for item in results.references}


def _psnr_db(pixels: Pixels, original: Pixels) -> float:
    if pixels.shape != original.shape:
        raise NoDataError("the original and a received picture differ in size")
    error = np.mean((pixels.astype(np.float64) - original) ** 2)
    return float(10 * np.log10(255.0**2 / error)) if error else np.inf


def _scores(results: Results, picture: Picture, psnr_db: float) -> Scored | None:
    """The transmission or reference that made a picture: of those that it can be, the one with its PSNR."""
    sent = [row for row in results.rows if row.method == picture.method and not row.options]
    computed = [item for item in results.references if item.curve == picture.method]
    computed.sort(key=lambda item: item.rho, reverse=True)  # a picture of a reference is that of the highest rate
    every: list[Scored] = [*sent, *computed]
    candidates = [
        item
        for item in every
        if item.image == picture.image
        and item.snr_db == picture.snr_db
        and item.psnr_db is not None
        and abs(item.psnr_db - psnr_db) < _SAME_PSNR_DB
    ]
    return min(candidates, key=lambda item: abs((item.psnr_db or 0.0) - psnr_db), default=None)


def _draw(tiles: Sequence[Tile], title: str) -> Figure:
    height_px, width_px = tiles[0].pixels.shape[:2]
    columns = min(COLUMNS, len(tiles))
    width_in = (WIDTH_IN - (columns - 1) * _GAP_IN) / columns
    picture_in, detail_in = width_in * height_px / width_px, width_in * _DETAIL_ASPECT
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    captions_in = [_LINE_IN * max(tile.caption.count("\n") + 1 for tile in row) + 2 * _GAP_IN for row in rows]
    height_in = _TITLE_IN + len(rows) * (picture_in + _GAP_IN + detail_in) + sum(captions_in)
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
    figure.text(0.5, 1 - 0.5 * _TITLE_IN / height_in, title, ha="center", va="center", fontsize=FONT_PT)
    box, top_in = _detail(tiles[0].pixels), height_in - _TITLE_IN
    for row, caption_in in zip(rows, captions_in, strict=True):
        heights = {"picture": (top_in, picture_in), "detail": (top_in - picture_in - _GAP_IN, detail_in)}
        for at, tile in enumerate(row):
            _draw_tile(figure, tile, box, (at * (width_in + _GAP_IN), width_in), heights)
        top_in -= picture_in + _GAP_IN + detail_in + caption_in
    return figure


def _draw_tile(
    figure: Figure,
    tile: Tile,
    box: tuple[int, int, int, int],
    across_in: tuple[float, float],
    down_in: Mapping[str, tuple[float, float]],
) -> None:
    """Draw picture, detail and caption; `across_in` is left edge and width, `down_in` top edge and height of each."""
    top, left, height, width = box
    figure_height_in = figure.get_figheight()
    parts = {"picture": tile.pixels, "detail": tile.pixels[top : top + height, left : left + width]}
    for part, pixels in parts.items():
        top_in, height_in = down_in[part]
        place = (across_in[0] / WIDTH_IN, (top_in - height_in) / figure_height_in)
        axes = figure.add_axes((*place, across_in[1] / WIDTH_IN, height_in / figure_height_in))
        axes.imshow(pixels, interpolation="lanczos" if part == "picture" else "nearest", aspect="auto")
        axes.set_axis_off()
        if part == "picture":
            axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=_FRAME, linewidth=0.7))
    bottom_in = down_in["detail"][0] - down_in["detail"][1]
    middle = (across_in[0] + across_in[1] / 2) / WIDTH_IN
    for at, line in enumerate(tile.caption.split("\n"), start=1):  # one by one: their baselines are to be level
        figure.text(middle, (bottom_in - at * _LINE_IN) / figure_height_in, line, ha="center", fontsize=FONT_PT)


def _detail(pixels: Pixels) -> tuple[int, int, int, int]:
    """Top, left, height and width in pixels of the window with the most detail, by its mean absolute gradient."""
    grey = pixels.mean(axis=2)
    width = max(grey.shape[1] // ZOOM, 1)
    height = min(max(round(width * _DETAIL_ASPECT), 1), grey.shape[0])
    change = np.zeros(grey.shape)
    change[:, 1:] += np.abs(np.diff(grey, axis=1))
    change[1:] += np.abs(np.diff(grey, axis=0))
    sums = np.pad(change, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(windows)), windows.shape)
    return int(top), int(left), height, width
