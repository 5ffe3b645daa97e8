"""The airs of a run, which no table mixes: tables and figures are of the first; the others have a section each."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jscc.air import AWGN, STEADY, AirSpec
from jscc.baselines.curves import FADING_CODECS, ONE_RATE, TWO_LAYERS
from jscc.rates import same_rate
from services.orchestrator.report.differences import difference_table, is_called
from services.orchestrator.report.markdown import METRICS, MISSING, count, mean_text, percent, section, table
from services.orchestrator.report.series import (
    Scored,
    Series,
    by_snr,
    image_mean,
    image_of,
    losses,
    reference_series,
    shown_series,
)
from services.orchestrator.results.rows import ImageKey, Reference, Row
from services.orchestrator.results.store import Results

POOR_DB = 24.0
"""PSNR below which a picture is called poor."""
PERCENTILES = (5, 50, 95)
LINES_NOTE = (
    "Digital lines have an ideal code, and receivers that know every gain for nothing; they meet the gains that the"
    " methods met. Differences are paired, with their 95 % intervals: common images, draws averaged first."
)
CSI_WORDS = {
    "pilots": "gains estimated from pilots",
    "perfect": "gains told by a genie",
    "none": "gains not known to the receiver",
}


def parts(results: Results) -> list[tuple[AirSpec, Results]]:
    """Return the results of each air by itself: those of the last command's in its order, then the others.

    Computed references of white noise belong to airs of the channel awgn, lines over fading to those of their channel
    and its options. What a report compares with stays where that is there.
    """
    rows: dict[AirSpec, list[Row]] = defaultdict(list)
    for row in results.rows:
        rows[row.air].append(row)
    asked = [str(text) for text in results.settings.get("channels", ())]

    def place(air: AirSpec) -> tuple[int, bool, str]:
        text = str(air)
        return asked.index(text) if text in asked else len(asked), air != AWGN, text

    found = [(air, _part(results, air, rows[air])) for air in sorted(rows, key=place)] or [(AWGN, results)]
    there = [_has(part) for _, part in found]
    if any(there):
        found = [(air, part if has else _without_rival(part)) for (air, part), has in zip(found, there, strict=True)]
    return found


def _part(results: Results, air: AirSpec, rows: Sequence[Row]) -> Results:
    keys = {row.key for row in rows}
    references = [reference for reference in results.references if _is_of(reference, air)]
    keys_there: set[object] = {*keys, *(reference.key for reference in references)}
    pictures = [it for it in results.pictures if isinstance(it.of, ImageKey) or it.of in keys_there]
    return dataclasses.replace(results, rows=rows, references=references, pictures=pictures)


def _is_of(reference: Reference, air: AirSpec) -> bool:
    if air.channel == AWGN.channel:
        return reference.channel == air.channel
    return (reference.channel, reference.channel_options) == (air.channel, air.options)


def _has(part: Results) -> bool:
    """Whether a part has what it is to be compared with."""
    name = str(part.settings.get("against", ""))
    return not name or any(is_called(it, name) for it in (*shown_series(part.rows), *reference_series(part.references)))


def _without_rival(part: Results) -> Results:
    settings: dict[str, Any] = {key: value for key, value in part.settings.items() if key != "against"}
    return dataclasses.replace(part, settings=settings)


def spread(airs: Sequence[tuple[AirSpec, Results]]) -> str:
    """How PSNR scatters over images and draws, a section for each air that fades and for each but the first."""
    told = [(air, part) for number, (air, part) in enumerate(airs) if number or air.grid.fading != "none"]
    return "\n\n".join(filter(None, (_section(air, part) for air, part in told)))


def _section(air: AirSpec, part: Results) -> str:
    sent, computed = shown_series(part.rows), fading_lines(air, part)
    lines = [line for series in (*sent, *computed) for line in _lines(series)]
    header = ["PSNR (dB)", "rho", "pilots", "SNR (dB)", "images", "draws", "mean"]
    header += [*(f"{percentile} %" for percentile in PERCENTILES), f"below {POOR_DB:g} dB", "lost"]
    words = "" if air.grid.fading == "none" and air.csi == "none" else f"; {CSI_WORDS[air.csi]}"
    note = (
        f"{count(len(part.rows), 'transmission')}{words}. Pilots are in rho. Mean ± standard error over the images,"
        " each with the mean of its draws; the rest is of all images and draws."
    )
    more = (*(_less(sent, computed, name) for name in (ONE_RATE, TWO_LAYERS)), LINES_NOTE) if computed else ()
    return section(f"Over {air}", table(header, lines), note if lines else "", *more)


def fading_lines(air: AirSpec, part: Results) -> list[Series]:
    """Return the digital lines over an air that fades."""
    return [] if air.channel in STEADY else reference_series(part.references)


def _less(sent: Sequence[Series], computed: Sequence[Series], line: str) -> str:
    """By how much every method is above or below a digital line, with intervals."""
    pairs = [(series, rival) for series in sent if (rival := line_of(series, computed, line))]
    snrs_db = sorted({row.snr_db for series, _ in pairs for row in series.rows})
    return difference_table("psnr_db", pairs, snrs_db)


def line_of(series: Series, computed: Sequence[Series], line: str) -> Series | None:
    """Return the line over fading that a method is compared with: of its rate, of the strongest codec that is there.

    Where there is one that was told the same as the method, it is that.
    """
    told, there = series.variant.removeprefix(series.method), [it for it in computed if same_rate(it.rho, series.rho)]
    names = [f"{codec}_{line}{text}" for codec in FADING_CODECS for text in dict.fromkeys((told, ""))]
    return next((it for name in names for it in there if it.variant == name), None)


class Scatter(NamedTuple):
    """How PSNR scatters over images and draws.

    Attributes:
        percentiles_db: those of PERCENTILES.
        poor: how many are below POOR_DB.
        number: of all of them.
    """

    percentiles_db: tuple[float, ...]
    poor: int
    number: int


def scatter_of(scored: Iterable[Scored]) -> Scatter | None:
    """Return how PSNR scatters; None where none was measured."""
    values = np.array([item.psnr_db for item in scored if item.psnr_db is not None])
    if not len(values):
        return None
    return Scatter(tuple(np.percentile(values, PERCENTILES).tolist()), int((values < POOR_DB).sum()), len(values))


def _lines(series: Series) -> Iterator[list[str]]:
    lost = losses(series)
    for snr_db, scored in by_snr(series.scored).items():
        if (scatter := scatter_of(scored)) is None:
            continue
        rows = [row for row in scored if isinstance(row, Row)]
        yield [
            series.name,
            f"{series.rho:.4f}",
            _pilots(rows),
            f"{snr_db:g}",
            str(len({image_of(item) for item in scored})),
            str(len({item.draw for item in scored})),
            mean_text(image_mean(scored, "psnr_db"), METRICS["psnr_db"][1]),
            *(f"{end_db:.2f}" for end_db in scatter.percentiles_db),
            percent(scatter.poor, scatter.number),
            percent(*lost[snr_db]) if snr_db in lost else MISSING,
        ]


def _pilots(rows: Sequence[Row]) -> str:
    """Say which share of what was sent were pilots; of what is computed there are none."""
    uses = sum(row.channel_uses for row in rows)
    return f"{100 * sum(row.pilot_uses or 0 for row in rows) / uses:.2f} %" if uses else MISSING
