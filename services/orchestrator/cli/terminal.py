"""Tables for the terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from jscc.quality.scores import why_missing
from jscc.wire.timing import NS_PER_MS, STAGES
from services.orchestrator.report.series import Scored, by_snr, image_mean, shown_series
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import Results
from services.orchestrator.sweep.estimate import Line

if TYPE_CHECKING:
    from services.orchestrator.sweep.preview import Preview


def quality_table(row: Row, size_px: tuple[int, ...]) -> Table:
    """Show what arrived of an image of (height, width): quality, channel, channel uses, header, noise."""
    table = Table(title=f"{row.method} ({row.checkpoint})", show_header=False)
    table.add_row("image", f"{row.image}, {size_px[1]}x{size_px[0]} px")
    for name, metric in (("PSNR", "psnr_db"), ("SSIM", "ssim"), ("MS-SSIM", "ms_ssim"), ("LPIPS", "lpips")):
        table.add_row(name, _value(row, metric, size_px))
    table.add_row("channel", f"{row.air}, {row.snr_db:g} dB; the transmitter was told {row.told_snr_db:g} dB")
    if row.options:
        table.add_row("options", " ".join(f"{name}={value}" for name, value in row.options.items()))
    table.add_row("channel uses", f"{row.channel_uses} real symbols, rho = {row.rho:.4f}")
    if row.header_uses is not None and row.header_share is not None:
        share = f"{row.header_uses / row.channel_uses:.2%} of the uses, {row.header_share:.2%} of the power"
        table.add_row("header", f"{row.header_bits} bits: {row.header_uses:.0f} symbols, {share}")
    if row.pilot_uses:
        table.add_row("pilots", f"{row.pilot_uses:.0f} symbols, {row.pilot_uses / row.channel_uses:.2%} of the uses")
    if row.csi != "none":
        table.add_row("gains", "told by a genie" if row.csi == "perfect" else "estimated from the pilots")
    if row.peak_to_average_db is not None:
        table.add_row("peak to average", f"{row.peak_to_average_db:.1f} dB")
    if row.lost:
        table.add_row("lost", f"the {row.lost}")
    table.add_row("noise", f"{row.noise_digest} (seed {row.seed})")
    return table


def hop_table(row: Row) -> Table:
    """Show where the time of one transmission went, in milliseconds."""
    table = Table(title="where the time went (ms)", box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in (*STAGES, "sum", "MB in/out"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, hop in row.named_hops.items():
        parts_ms = [hop.stage_ns(stage) / NS_PER_MS for stage in STAGES]
        sizes = f"{hop.bytes_in / 1e6:.2f}/{hop.bytes_out / 1e6:.2f}"
        table.add_row(name, *(f"{part:.2f}" for part in (*parts_ms, sum(parts_ms))), sizes)
    for name, own_ns in (("load", row.load_ns), ("codec", row.codec_ns), ("score", row.score_ns)):
        table.add_row(name, *[""] * 5, f"{own_ns / NS_PER_MS:.2f}", "")
    table.add_section()
    table.add_row("total", *[""] * 5, f"{row.total_ns / NS_PER_MS:.2f}", "")
    table.caption = f"{sum(row.parts_ns().values()) / row.total_ns:.2%} of the total is accounted for"
    return table


def estimate_table(lines: Iterable[Line]) -> Table:
    """Show what is left of a run and how long it will take."""
    table = Table(title="left to do", box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    for name in ("pieces", "minutes"):
        table.add_column(name, justify="right")
    known = list(lines)
    for line in known:
        table.add_row(line.what, str(line.pieces), f"{line.left_s / 60:.1f}")
    table.add_section()
    table.add_row("all", str(sum(line.pieces for line in known)), f"{sum(line.left_s for line in known) / 60:.1f}")
    return table


def preview_tables(found: "Preview") -> tuple[Table, Table]:
    """Show what a sweep would do: what was asked for, and how much of the work is done already."""
    spec, run = found.plan.spec, found.run
    asked = Table(title="a sweep would send", show_header=False)
    asked.add_row("images", f"{len(run.dataset.images)} of {run.dataset.name}")
    asked.add_row("methods", f"{', '.join(spec.methods)} ({found.source})")
    asked.add_row("SNRs", f"{', '.join(f'{snr_db:g}' for snr_db in spec.snr_db)} dB, noise draws of each: {spec.draws}")
    for air in spec.airs:
        asked.add_row("channel", str(air))
    asked.add_row("studies", f"{found.of_studies} of the transmissions")
    asked.add_row("references", run.references)
    asked.add_row("results", str(run.folder))
    work = Table(title="work", box=box.SIMPLE, pad_edge=False, caption="how long it takes is measured when it begins")
    work.add_column("")
    for name in ("all", "kept", "left"):
        work.add_column(name, justify="right")
    for tally in (*found.transmissions, found.all_transmissions, found.references):
        work.add_row(tally.what, str(tally.total), str(tally.kept), str(tally.left))
    return asked, work


def _value(row: Row, metric: str, size_px: tuple[int, ...]) -> str:
    value = getattr(row, metric)
    if value is None:
        return why_missing(metric, *size_px)
    return f"{value:.2f} dB" if metric == "psnr_db" else f"{value:.4f}"


def sweep_table(results: Results) -> Table:
    """Show the quality of a run: mean PSNR in dB over the images, and LPIPS where measured, by method and SNR."""
    shown = shown_series(results.rows)
    snrs_db = sorted({row.snr_db for series in shown for row in series.rows})
    table = Table(title="PSNR in dB (LPIPS), means over images", box=box.SIMPLE, pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("rho", justify="right")
    for snr_db in snrs_db:
        table.add_column(f"{snr_db:g} dB", justify="right")
    for series in shown:
        scored = by_snr(series.scored)
        cells = [_quality(scored[snr_db]) if snr_db in scored else "" for snr_db in snrs_db]
        table.add_row(series.name, f"{series.rho:.4f}", *cells)
    return table


def _quality(scored: Sequence[Scored]) -> str:
    psnr_db, lpips = image_mean(scored, "psnr_db"), image_mean(scored, "lpips")
    return " ".join([f"{psnr_db.mean:.2f}" if psnr_db else "", f"({lpips.mean:.3f})" if lpips else ""]).strip()
