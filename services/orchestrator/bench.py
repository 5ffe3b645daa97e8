"""Latency of the link for one image, sent again and again: a closed loop of one."""

from collections.abc import Iterator

import numpy as np
from rich import box
from rich.table import Table

from jscc.wire.v1 import orchestrator_pb2 as pb

PERCENTILES = (50, 95, 99)
_PARTS = ("network", "queue", "deserialize", "compute", "serialize")
_NS_PER_MS = 1e6


def parts_ms(report: pb.TransmissionReport) -> dict[str, float]:
    """Return every part of a transmission's time in milliseconds, and the total."""
    return {name: value_ns / _NS_PER_MS for name, value_ns in _parts_ns(report)}


def _parts_ns(report: pb.TransmissionReport) -> Iterator[tuple[str, int]]:
    for hop in report.hops:
        yield f"{hop.hop} network", hop.network_ns
        for part in _PARTS[1:]:
            yield f"{hop.hop} {part}", getattr(hop.timing, f"{part}_ns")
    for name in ("load", "codec", "score", "total"):
        yield name, getattr(report, f"{name}_ns")


def latency_table(reports: list[pb.TransmissionReport]) -> Table:
    """Show percentiles of every part over the reports."""
    table = Table(title=f"{len(reports)} transmissions, one after the other (ms)", box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    for percentile in PERCENTILES:
        table.add_column(f"p{percentile}", justify="right")
    rows = [parts_ms(report) for report in reports]
    for name in rows[0]:
        values = np.percentile([row[name] for row in rows], PERCENTILES)
        table.add_row(name, *(f"{value:.3f}" for value in values))
    return table
