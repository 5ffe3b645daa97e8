"""Tables for the terminal."""

import numpy as np
from rich import box
from rich.table import Table

from jscc.wire.v1 import orchestrator_pb2 as pb
from jscc.wire.v1 import symbols_pb2

PERCENTILES = (50, 95, 99)
_PARTS = ("network", "queue", "deserialize", "compute", "serialize")
_NS_PER_MS = 1e6


def quality_table(report: pb.TransmissionReport) -> Table:
    """Show what arrived: quality, channel uses, side information, noise."""
    quality = report.quality
    table = Table(title=f"{report.method} ({report.checkpoint_digest})", show_header=False)
    for name, unit, field in (("PSNR", "dB", "psnr_db"), ("SSIM", "", "ssim"), ("MS-SSIM", "", "ms_ssim")):
        table.add_row(name, _value(quality, field, 2 if unit else 4, unit))
    table.add_row("LPIPS", _value(quality, "lpips", 4, ""))
    table.add_row("channel uses", f"{report.channel_uses} real symbols, rho = {report.rho:.4f}")
    table.add_row("side information", f"{report.header_bits} bits")
    table.add_row("noise", f"{report.noise_digest} (seed {report.seed})")
    return table


def hop_table(report: pb.TransmissionReport) -> Table:
    """Show where the time of one transmission went, in milliseconds."""
    table = Table(title="where the time went (ms)", box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in (*_PARTS, "sum", "MB in/out"):
        table.add_column(name, justify="right", no_wrap=True)
    for hop in report.hops:
        parts_ms = _hop_parts_ms(hop).values()
        sizes = f"{hop.timing.bytes_in / 1e6:.2f}/{hop.timing.bytes_out / 1e6:.2f}"
        table.add_row(hop.hop, *(f"{part:.2f}" for part in (*parts_ms, sum(parts_ms))), sizes)
    own_ms = _own_parts_ms(report)
    for name, part_ms in own_ms.items():
        table.add_row(name, *[""] * 5, f"{part_ms:.2f}", "")
    total_ms = report.total_ns / _NS_PER_MS
    table.add_section()
    table.add_row("total", *[""] * 5, f"{total_ms:.2f}", "")
    spent_ms = sum(own_ms.values()) + sum(sum(_hop_parts_ms(hop).values()) for hop in report.hops)
    table.caption = f"{spent_ms / total_ms:.2%} of the total is accounted for"
    return table


def latency_table(reports: list[pb.TransmissionReport]) -> Table:
    """Show percentiles of every part over transmissions that were sent one after the other, in milliseconds."""
    table = Table(title=f"{len(reports)} transmissions, one after the other (ms)", box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    for percentile in PERCENTILES:
        table.add_column(f"p{percentile}", justify="right")
    rows = [_all_parts_ms(report) for report in reports]
    for name in rows[0]:
        values = np.percentile([row[name] for row in rows], PERCENTILES)
        table.add_row(name, *(f"{value:.3f}" for value in values))
    return table


def _hop_parts_ms(hop: pb.HopReport) -> dict[str, float]:
    parts_ns = {name: getattr(hop.timing, f"{name}_ns") for name in _PARTS[1:]}
    return {name: value_ns / _NS_PER_MS for name, value_ns in {"network": hop.network_ns, **parts_ns}.items()}


def _own_parts_ms(report: pb.TransmissionReport) -> dict[str, float]:
    return {name: getattr(report, f"{name}_ns") / _NS_PER_MS for name in ("load", "codec", "score")}


def _all_parts_ms(report: pb.TransmissionReport) -> dict[str, float]:
    hops = {f"{hop.hop} {name}": part for hop in report.hops for name, part in _hop_parts_ms(hop).items()}
    return {**hops, **_own_parts_ms(report), "total": report.total_ns / _NS_PER_MS}


def service_table(descriptions: list[symbols_pb2.ServiceDescription]) -> Table:
    """Show what every service of a link serves."""
    table = Table(title="link")
    for name in ("service", "serves", "device", "precision", "version"):
        table.add_column(name)
    for item in descriptions:
        serves = [f"{method.name} rho={method.rho:.4f} {method.checkpoint_digest}" for method in item.methods]
        table.add_row(item.service, "\n".join(serves or item.channels), item.device, item.precision, item.version)
    return table


def _value(quality: pb.Quality, field: str, digits: int, unit: str) -> str:
    if not quality.HasField(field):  # type: ignore[arg-type]
        return "not defined for this image, or its weights are missing"
    return f"{getattr(quality, field):.{digits}f} {unit}".strip()
