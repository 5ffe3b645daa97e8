"""Latency of a summary: percentiles per hop, every part of the way, and the bytes of the messages."""

from collections.abc import Iterator

import numpy as np

from jscc.wire.timing import NS_PER_MS
from services.orchestrator.report.markdown import MISSING, count, percent, section, table
from services.orchestrator.report.series import Series, hop_names, hop_times_ms, shown_series
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import Results

PERCENTILES = (50, 95, 99)
OVERVIEW = (50, 95)


def overview(results: Results) -> str:
    """Median and 95th percentile of computing and wire time, per hop and method, without warm-up."""
    hops = hop_names(results.rows)
    header = ["p50 / p95 (ms)", "total", *(f"{_shown(hop)} {part}" for hop in hops for part in ("compute", "wire"))]
    lines = []
    for series in shown_series(results.rows):
        counted = _counted(series)
        if counted:
            times_ms = [hop_times_ms(counted, hop)[part] for hop in hops for part in ("compute", "wire")]
            lines.append([series.name, *map(_pair, ([row.total_ns / NS_PER_MS for row in counted], *times_ms))])
    note = "Wire is network, packing and unpacking of a hop's messages; waiting for the model is in neither."
    return section("Latency", table(header, lines), note if lines else "")


def _shown(name: str) -> str:
    return name.replace("_", " ")


def _pair(times_ms: list[float]) -> str:
    if not times_ms:
        return MISSING
    median_ms, high_ms = np.percentile(times_ms, OVERVIEW)
    return f"{median_ms:.1f} / {high_ms:.1f}"


def parts(results: Results) -> str:
    """Percentiles of every part of the way, a table per method."""
    return section("Latency of every part", *(_method_parts(series) for series in shown_series(results.rows)))


def _counted(series: Series) -> list[Row]:
    return [row for row in series.rows if not row.warm_up]


def _method_parts(series: Series) -> str:
    counted = _counted(series)
    of_old_frames = sum(row.warm_up and row.has_old_frame for row in series.rows)
    left_out = f"{count(len(series.rows) - len(counted) - of_old_frames, 'warm-up transmission')} left out"
    left_out += f", {of_old_frames} of frames that were there" if of_old_frames else ""
    if not counted:
        return f"{series.name}: {left_out}, no other"
    lines = list(_part_lines(counted))
    text = table([series.name, *(f"p{p} (ms)" for p in PERCENTILES), "mean (ms)", "of total"], lines)
    spent_ns = sum(sum(row.parts_ns().values()) for row in counted)
    share = percent(spent_ns, sum(row.total_ns for row in counted))
    return f"{text}\n\n{count(len(counted), 'transmission')}, {left_out}. The parts account for {share} of the total."


def _part_lines(counted: list[Row]) -> Iterator[list[str]]:
    parts = [{"total": row.total_ns, **row.parts_ns()} for row in counted]
    names = dict.fromkeys(name for row in parts for name in row)
    times_ms = np.array([[row.get(name, 0) / NS_PER_MS for name in names] for row in parts])
    means = times_ms.mean(axis=0)
    for name, percentiles, mean in zip(names, np.percentile(times_ms, PERCENTILES, axis=0).T, means, strict=True):
        yield [_shown(name), *(f"{ms:.2f}" for ms in (*percentiles, mean)), percent(mean, means[0])]


def message_bytes(results: Results) -> str:
    """Mean bytes of every message; none went to the encoder for a frame that was there."""
    ways = [(hop, way) for hop in hop_names(results.rows) for way in ("in", "out")]
    lines = [[series.name, *(_mean_bytes(series.rows, *way) for way in ways)] for series in shown_series(results.rows)]
    header = ["method", *(f"{_shown(hop)} {way}" for hop, way in ways)]
    return section("Bytes per transmission", table(header, lines))


def _mean_bytes(rows: list[Row], hop: str, way: str) -> str:
    records = [row.named_hops[hop] for row in rows if hop in row.named_hops]
    sizes = [getattr(record, f"bytes_{way}") for record in records if record.bytes_in]
    return f"{np.mean(sizes):.0f}" if sizes else MISSING
