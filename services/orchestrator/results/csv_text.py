"""results.csv: a line per transmission, with the times of every hop in milliseconds."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jscc.wire.timing import NS_PER_MS, STAGES, HopRecord
from services.orchestrator.results.rows import Row
from services.orchestrator.results.tables import ROW_COLUMNS, cell

_BEFORE = (
    *("dataset", "image", "method", "checkpoint", "channel", "snr_db", "draw", "seed", "rho", "channel_uses"),
    *("header_bits", "noise_digest", "psnr_db", "ssim", "ms_ssim", "lpips", "total_ms"),
)
_AFTER = (
    *("load_ms", "codec_ms", "score_ms", "options", "started", "warm_up"),
    *("image_digest", "transmitter_checkpoint", "channel_options", "told_snr_db"),
)
_LATER = tuple(name for name in ROW_COLUMNS if name not in {*_BEFORE, *_AFTER} and not name.endswith("_ns"))
"""What later versions added to `Row`, at the end: whoever reads columns by their place finds them where they were."""


def columns(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the columns of rows: those of every hop that one of them has between those that all have."""
    hops = dict.fromkeys(name for row in rows for name in row.named_hops)
    parts = (*(f"{stage}_ms" for stage in STAGES), "bytes_in", "bytes_out")
    return (*_BEFORE, *(f"{hop}_{part}" for hop in hops for part in parts), *_AFTER, *_LATER)


def csv_text(rows: Sequence[Row]) -> str:
    """Write rows in their order under a line with the columns; what is not there is an empty cell."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_cells, rows))
    return file.getvalue()


def _cells(row: Row) -> Mapping[str, Any]:
    own = {name: _plain(getattr(row, name)) for name in (*_BEFORE, *_AFTER, *_LATER) if not name.endswith("_ms")}
    own_ms = {f"{name}_ms": getattr(row, f"{name}_ns") / NS_PER_MS for name in ("total", "load", "codec", "score")}
    hops = {f"{name}_{part}": value for name, hop in row.named_hops.items() for part, value in _hop(hop).items()}
    return own | own_ms | hops


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else cell(value)


def _hop(hop: HopRecord) -> dict[str, float]:
    times = {f"{stage}_ms": hop.stage_ns(stage) / NS_PER_MS for stage in STAGES}
    return times | {"bytes_in": hop.bytes_in, "bytes_out": hop.bytes_out}
