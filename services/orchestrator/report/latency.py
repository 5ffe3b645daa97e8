"""Latency of a summary: percentiles per hop, every part of the way, and the bytes of the messages."""

from collections.abc import Iterator

import numpy as np

from services.orchestrator.report.markdown import count, percent, section, table
from services.orchestrator.report.series import Series, hop_times_ms, shown_series
from services.orchestrator.results.rows import HOPS, Row
from services.orchestrator.results.store import Results

PERCENTILES = (50, 95, 99)
OVERVIEW = (50, 95)


def overview(results: Results) -> str:
    """Median and 95th percentile of computing and wire time, per hop and method, without warm-up."""
    header = ["p50 / p95 (ms)", "total", *(f"{hop} {part}" for hop in HOPS for part in ("compute", "wire"))]
    lines = []
    for series in shown_series(results.rows):
        counted = _counted(series)
        if counted:
            times_ms = [hop_times_ms(counted, hop)[part] for hop in HOPS for part in ("compute", "wire")]
            lines.append([series.name, *(_pair([row.total_ms for row in counted]), *map(_pair, times_ms))])
    note = "Wire is network, packing and unpacking of a hop's messages; waiting for the model is in neither."
    return section("Latency", table(header, lines), note if lines else "")


def _pair(times_ms: list[float]) -> str:
    median_ms, high_ms = np.percentile(times_ms, OVERVIEW)
    return f"{median_ms:.1f} / {high_ms:.1f}"


def parts(results: Results) -> str:
    """Percentiles of every part of the way, a table per method."""
    return section("Latency of every part", *(_method_parts(series) for series in shown_series(results.rows)))


def _counted(series: Series) -> list[Row]:
    return [row for row in series.rows if not row.warm_up]


def _method_parts(series: Series) -> str:
    counted = _counted(series)
    left_out = f"{count(len(series.rows) - len(counted), 'warm-up transmission')} left out"
    if not counted:
        return f"{series.name}: {left_out}, no other"
    lines = list(_part_lines(counted))
    text = table([series.name, *(f"p{p} (ms)" for p in PERCENTILES), "mean (ms)", "of total"], lines)
    spent_ms = sum(sum(row.parts_ms().values()) for row in counted)
    share = percent(spent_ms, sum(row.total_ms for row in counted))
    return f"{text}\n\n{count(len(counted), 'transmission')}, {left_out}. The parts account for {share} of the total."


def _part_lines(counted: list[Row]) -> Iterator[list[str]]:
    names = ["total_ms", *counted[0].parts_ms()]
    times_ms = np.array([[row.total_ms, *row.parts_ms().values()] for row in counted])
    means = times_ms.mean(axis=0)
    for part, percentiles, mean in zip(names, np.percentile(times_ms, PERCENTILES, axis=0).T, means, strict=True):
        name = part.removesuffix("_ms").replace("_", " ")
        yield [name, *(f"{ms:.2f}" for ms in (*percentiles, mean)), percent(mean, means[0])]


def message_bytes(results: Results) -> str:
    """Mean bytes of every message."""
    header = ["method", *(f"{hop} {way}" for hop in HOPS for way in ("in", "out"))]
    lines = [
        [series.name, *(_mean_bytes(series.rows, hop, way) for hop in HOPS for way in ("in", "out"))]
        for series in shown_series(results.rows)
    ]
    return section("Bytes per transmission", table(header, lines))


def _mean_bytes(rows: list[Row], hop: str, way: str) -> str:
    return f"{np.mean([getattr(row.hops[hop], f'bytes_{way}') for row in rows]):.0f}"
