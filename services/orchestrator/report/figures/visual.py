"""What arrives: the original and what every method received, each with the same detail enlarged."""

import io
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image as PillowImage

from services.orchestrator.report.figures.canvas import FONT_PT, NoDataError, rho_text
from services.orchestrator.report.series import Scored, all_series
from services.orchestrator.report.style import Styles
from services.orchestrator.results.rows import ImageKey, Row
from services.orchestrator.results.store import Results

AT_SNR_DB = 5.0
WIDTH_IN = 6.8
MOST_IN = 10.5
"""Of the height: a page."""
LEAST_COLUMNS, MOST_COLUMNS = 4, 8
DPI = 150
"""What is looked at are the details, which are enlarged."""
ZOOM = 4
"""Width of the picture over width of the detail."""
_GAP_IN, _LINE_IN, _TITLE_IN = 0.04, 0.115, 0.18
_DETAIL_ASPECT = 0.6
_FRAME = "#D55E00"
Pixels = NDArray[np.uint8]


class Tile(NamedTuple):
    """A picture, [H, W, 3], and what stands under it."""

    caption: str
    pixels: Pixels


class ReceivedPicture(NamedTuple):
    """A picture and what it is of: the name of its curve, its scores."""

    name: str
    scored: Scored
    png: bytes


def draw(results: Results) -> Figure:
    """Draw the image with the most pictures at the SNR nearest to 5 dB, and what every method made of it.

    Raises:
        NoDataError: there is no original with a received picture.
    """
    originals = {picture.of: picture.png for picture in results.pictures if isinstance(picture.of, ImageKey)}
    received = [item for item in _received(results) if item.scored.image_key in originals]
    if not received:
        raise NoDataError("no original picture with a received one")
    snr_db = min((item.scored.snr_db for item in received), key=lambda found: (abs(found - AT_SNR_DB), found))
    at_snr = [item for item in received if item.scored.snr_db == snr_db]
    image = Counter(item.scored.image_key for item in at_snr).most_common(1)[0][0]
    at_snr.sort(key=lambda item: item.scored.rho)  # of a reference, the last one is at the highest rate
    shown = {item.name: item for item in at_snr if item.scored.image_key == image}
    styles = Styles(results)
    tiles = [Tile("Original", pixels_of(originals[image]))]
    tiles += [_tile(results, shown[name], styles.of(name).label) for name in styles.in_order(shown)]
    name = image.image.rpartition("/")[2]
    return _draw(tiles, f"{name} at SNR = {snr_db:g} dB: PSNR / LPIPS (less is better)")


def pixels_of(png: bytes) -> Pixels:
    """Return the pixels of a picture, [H, W, 3]."""
    with PillowImage.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def _received(results: Results) -> Iterator[ReceivedPicture]:
    """Every picture of a transmission or a reference that is on record."""
    known: dict[Any, tuple[str, Scored]] = {item.key: (item.curve, item) for item in results.references}
    known |= {row.key: (item.variant, row) for item in reversed(all_series(results.rows)) for row in item.rows}
    for picture in results.pictures:
        if picture.of in known:
            name, scored = known[picture.of]
            yield ReceivedPicture(name, scored, picture.png)


def _tile(results: Results, received: ReceivedPicture, label: str) -> Tile:
    scored = received.scored
    every: list[Scored] = [*results.rows, *results.references]
    rates = {f"{item.rho:.2g}" for item in every}
    lines = textwrap.wrap(label, 26, break_on_hyphens=False) + ([rho_text(scored.rho)] if len(rates) > 1 else [])
    psnr = "" if scored.psnr_db is None else f"{scored.psnr_db:.1f} dB"
    lost = ", lost" if isinstance(scored, Row) and scored.lost == "header" else ""
    lpips = "" if scored.lpips is None else f" / {scored.lpips:.3f}"
    return Tile("\n".join([*lines, psnr + lpips + lost]), pixels_of(received.png))


def _draw(tiles: Sequence[Tile], title: str) -> Figure:
    least = min(LEAST_COLUMNS, len(tiles))
    grids = [_grid(tiles, columns) for columns in range(least, MOST_COLUMNS + 1)]
    grid = next((grid for grid in grids if grid.height_in <= MOST_IN), grids[-1])
    rows, captions_in, height_in = grid.rows, grid.captions_in, grid.height_in
    width_in, picture_in, detail_in = grid.width_in, grid.picture_in, grid.detail_in
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
    figure.text(0.5, 1 - 0.5 * _TITLE_IN / height_in, title, ha="center", va="center", fontsize=FONT_PT)
    box, top_in = _detail(tiles[0].pixels), height_in - _TITLE_IN
    for row, caption_in in zip(rows, captions_in, strict=True):
        heights = {"picture": (top_in, picture_in), "detail": (top_in - picture_in - _GAP_IN, detail_in)}
        for at, tile in enumerate(row):
            _draw_tile(figure, tile, box, (at * (width_in + _GAP_IN), width_in), heights)
        top_in -= picture_in + _GAP_IN + detail_in + caption_in
    return figure


class Tiles(NamedTuple):
    """How tiles lie in a figure; all in inches."""

    rows: Sequence[Sequence[Tile]]
    width_in: float
    picture_in: float
    detail_in: float
    captions_in: Sequence[float]

    @property
    def height_in(self) -> float:
        """Of the figure."""
        return _TITLE_IN + len(self.rows) * (self.picture_in + _GAP_IN + self.detail_in) + sum(self.captions_in)


def _grid(tiles: Sequence[Tile], columns: int) -> Tiles:
    height_px, width_px = tiles[0].pixels.shape[:2]
    width_in = (WIDTH_IN - (columns - 1) * _GAP_IN) / columns
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    captions_in = [_LINE_IN * max(tile.caption.count("\n") + 1 for tile in row) + 2 * _GAP_IN for row in rows]
    return Tiles(rows, width_in, width_in * height_px / width_px, width_in * _DETAIL_ASPECT, captions_in)


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
