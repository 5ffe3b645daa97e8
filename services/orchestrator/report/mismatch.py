"""What it costs that a transmitter was told another SNR than the channel had."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from services.orchestrator.report.markdown import METRICS, MISSING, section, table
from services.orchestrator.report.series import (
    Image,
    Series,
    all_series,
    common_images,
    image_mean,
    image_of,
    told_above_db,
)
from services.orchestrator.results.store import Results


def mismatch(results: Results) -> str:
    """Mean PSNR, and what was lost, of every method with its options over how much too high the told SNR was.

    Every line is over the images that all its amounts have; nothing where no method was told several at an SNR.
    """
    amounts_db = sorted({told_above_db(row) for row in results.rows})
    series = all_series(results.rows, by_told=False)
    lines = [line for item in series for line in _lines(item, amounts_db)]
    header = ["PSNR (dB), told too much by", "SNR (dB)", "images", *(f"{amount_db:g} dB" for amount_db in amounts_db)]
    note = "In brackets, where there are any: transmissions that lost their header or other bits."
    return section("What a wrong SNR costs", table(header, lines), note if lines else "")


def _lines(series: Series, amounts_db: Sequence[float]) -> Iterator[list[str]]:
    for snr_db in sorted({row.snr_db for row in series.rows}):
        at_snr = [row for row in series.rows if row.snr_db == snr_db]
        told = {
            amount_db: replace(series, scored=[row for row in at_snr if told_above_db(row) == amount_db])
            for amount_db in amounts_db
        }
        images = common_images(part for part in told.values() if part.scored)
        if sum(bool(part.scored) for part in told.values()) > 1 and images:
            cells = (_cell(part, images) for part in told.values())
            yield [series.name, f"{snr_db:g}", str(len(images)), *cells]


def _cell(part: Series, images: Collection[Image]) -> str:
    rows = [row for row in part.rows if image_of(row) in images]
    mean = image_mean(rows, "psnr_db")
    if mean is None:
        return MISSING
    lost = sum(bool(row.lost) for row in rows)
    return f"{mean.mean:.{METRICS['psnr_db'][1]}f}{f' ({lost} of {len(rows)})' if lost else ''}"
