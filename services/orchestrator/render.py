"""Tables for the terminal."""

from rich import box
from rich.table import Table

from jscc.wire.v1 import orchestrator_pb2 as pb
from jscc.wire.v1 import symbols_pb2

_PARTS = ("queue", "deserialize", "compute", "serialize")
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
    """Show where the time went, in milliseconds."""
    table = Table(title="where the time went (ms)", box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in ("network", *_PARTS, "sum", "KiB in/out"):
        table.add_column(name, justify="right", no_wrap=True)
    spent_ns = 0
    for hop in report.hops:
        parts_ns = [hop.network_ns, *(getattr(hop.timing, f"{part}_ns") for part in _PARTS)]
        sizes = f"{hop.timing.bytes_in / 1024:.0f}/{hop.timing.bytes_out / 1024:.0f}"
        table.add_row(hop.hop, *(f"{part / _NS_PER_MS:.2f}" for part in (*parts_ns, sum(parts_ns))), sizes)
        spent_ns += sum(parts_ns)
    for name in ("load", "codec", "score"):
        own_ns = getattr(report, f"{name}_ns")
        table.add_row(name, *[""] * 5, f"{own_ns / _NS_PER_MS:.2f}", "")
        spent_ns += own_ns
    table.add_section()
    table.add_row("total", *[""] * 5, f"{report.total_ns / _NS_PER_MS:.2f}", "")
    table.caption = f"{spent_ns / report.total_ns:.2%} of the total is accounted for"
    return table


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
