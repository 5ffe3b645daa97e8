"""What the air was spent on, and what did not arrive: header, peaks and losses of a summary."""

from collections.abc import Callable, Sequence

import numpy as np

from services.orchestrator.report.markdown import MISSING, section, share_text, table
from services.orchestrator.report.series import shown_series
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import Results


def spent(results: Results) -> str:
    """Shares of uses and power that the header takes, and peak to average, by method and SNR; means over the images."""
    header = ["header, % of the uses / % of the power", *_heads(results)]
    peaks = ["peak to average (dB)", *_heads(results)]
    note = (
        "Everything that a receiver is told is in the channel uses; the peak is the largest squared symbol of a frame."
    )
    lines = _lines(results, _header_text)
    return section(
        "What the air is spent on",
        table(header, lines),
        table(peaks, _lines(results, _peak_text)),
        note if lines else "",
    )


def lost(results: Results) -> str:
    """Transmissions whose header was lost, and with it the image, and whose other bits were, by method and SNR."""
    lines = _lines(results, _lost_text, lambda rows: any(row.lost for row in rows))
    note = (
        "Headers lost (grey images) + digital parts lost, of the transmissions (95 % interval of the probability of"
        " either); all are in the means."
    )
    return section("Lost", table(["lost at SNR", *_heads(results)], lines), note if lines else "")


def _snrs_db(results: Results) -> list[float]:
    return sorted({row.snr_db for series in shown_series(results.rows) for row in series.rows})


def _heads(results: Results) -> list[str]:
    return [f"{snr_db:g} dB" for snr_db in _snrs_db(results)]


def _lines(
    results: Results, text: Callable[[Sequence[Row]], str], worth: Callable[[Sequence[Row]], bool] = bool
) -> list[list[str]]:
    """Return a line for every method of whose rows that say what was spent something is worth a line."""
    lines, snrs_db = [], _snrs_db(results)
    for series in shown_series(results.rows):
        told = [row for row in series.rows if row.header_uses is not None]
        at_snr = {snr_db: [row for row in told if row.snr_db == snr_db] for snr_db in snrs_db}
        if worth(told):
            lines.append([series.name, *(text(rows) if rows else MISSING for rows in at_snr.values())])
    return lines


def _header_text(rows: Sequence[Row]) -> str:
    uses = np.mean([(row.header_uses or 0) / row.channel_uses for row in rows])
    power = np.mean([row.header_share or 0 for row in rows])
    return f"{100 * uses:.2f} / {100 * power:.2f}"


def _peak_text(rows: Sequence[Row]) -> str:
    return f"{np.mean([row.peak_to_average_db or 0 for row in rows]):.1f}"


def _lost_text(rows: Sequence[Row]) -> str:
    headers, payloads = (sum(row.lost == part for row in rows) for part in ("header", "payload"))
    return share_text(headers + payloads, len(rows), f"{headers} + {payloads}")
