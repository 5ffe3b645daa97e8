"""The airs of a run, which no table mixes: tables and figures are of the first; the others have a section each."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jscc.air import AWGN, AirSpec
from services.orchestrator.report.differences import is_called
from services.orchestrator.report.markdown import METRICS, MISSING, count, mean_text, percent, section, table
from services.orchestrator.report.series import Series, by_snr, image_mean, reference_series, shown_series
from services.orchestrator.results.rows import Key, ReferenceKey, Row
from services.orchestrator.results.store import Results

POOR_DB = 24.0
"""PSNR below which a picture is called poor."""
PERCENTILES = (5, 50, 95)
_CSI_WORDS = {
    "pilots": "gains estimated from pilots",
    "perfect": "gains told by a genie",
    "none": "gains not known to the receiver",
}


def parts(results: Results) -> list[tuple[AirSpec, Results]]:
    """Return the results of each air by itself: those of the last command's in its order, then the others.

    Computed references are of white noise, and belong to airs of the channel awgn. What a report compares with stays
    where that is there.
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
    keys, is_awgn = {row.key for row in rows}, air.channel == AWGN.channel
    pictures = [
        picture
        for picture in results.pictures
        if (picture.of in keys if isinstance(picture.of, Key) else is_awgn or not isinstance(picture.of, ReferenceKey))
    ]
    references = results.references if is_awgn else ()
    return dataclasses.replace(results, rows=rows, references=references, pictures=pictures)


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
    lines = [line for series in shown_series(part.rows) for line in _lines(series)]
    header = ["PSNR (dB)", "rho", "pilots", "SNR (dB)", "images", "draws", "mean"]
    header += [*(f"{percentile} %" for percentile in PERCENTILES), f"below {POOR_DB:g} dB", "lost"]
    words = "" if air.grid.fading == "none" and air.csi == "none" else f"; {_CSI_WORDS[air.csi]}"
    note = (
        f"{count(len(part.rows), 'transmission')}{words}. Pilots are in rho. Mean ± standard error over the images,"
        " each with the mean of its draws; the rest is of all images and draws."
    )
    return section(f"Over {air}", table(header, lines), note if lines else "")


def _lines(series: Series) -> Iterator[list[str]]:
    for snr_db, scored in by_snr(series.rows).items():
        rows = [row for row in scored if isinstance(row, Row)]
        values = np.array([row.psnr_db for row in rows if row.psnr_db is not None])
        if not len(values):
            continue
        ends = (f"{value:.2f}" for value in np.percentile(values, PERCENTILES))
        yield [
            series.name,
            f"{series.rho:.4f}",
            f"{100 * sum(row.pilot_uses or 0 for row in rows) / sum(row.channel_uses for row in rows):.2f} %",
            f"{snr_db:g}",
            str(len({(row.dataset, row.image) for row in rows})),
            str(len({row.draw for row in rows})),
            mean_text(image_mean(rows, "psnr_db"), METRICS["psnr_db"][1]),
            *ends,
            percent(int((values < POOR_DB).sum()), len(values)),
            _lost(rows),
        ]


def _lost(rows: Sequence[Row]) -> str:
    told = [row for row in rows if row.lost is not None]
    return percent(sum(bool(row.lost) for row in told), len(told)) if told else MISSING
