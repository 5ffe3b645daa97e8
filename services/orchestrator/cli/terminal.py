"""Tables and progress bars for the terminal."""

import math
from collections.abc import Iterable
from typing import Self

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from jscc.wire import convert
from jscc.wire.v1 import orchestrator_pb2 as pb
from jscc.wire.v1 import symbols_pb2
from services.orchestrator.sweep.estimate import Line

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
    """Show what every service of a link serves, and the options with their defaults."""
    table = Table(title="link")
    for name in ("service", "serves", "device", "precision", "version"):
        table.add_column(name)
    for item in descriptions:
        serves = [_served(method) for method in item.methods]
        table.add_row(item.service, "\n".join(serves or item.channels), item.device, item.precision, item.version)
    return table


def _served(method: symbols_pb2.ServedMethod) -> str:
    parts = [method.name, f"rho={method.rho:.4f}", method.checkpoint_digest]
    if method.transmitter_digest != method.checkpoint_digest:
        parts.append(f"of symbols of {method.transmitter_method} {method.transmitter_digest}")
    parts += [f"{name}={value}" for name, value in sorted(convert.plain_options(method.options).items())]
    return " ".join(parts)


def learned_table(descriptions: list[symbols_pb2.ServiceDescription]) -> Table:
    """Show the learned values that the services of a link tell of."""
    table = Table(title="learned values", box=box.SIMPLE, pad_edge=False)
    for name in ("method", "value", ""):
        table.add_column(name)
    for item in descriptions:
        for method in item.methods:
            for learned in method.learned:
                table.add_row(method.name, learned.name, " ".join(f"{value:.4g}" for value in learned.values))
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


def _value(quality: pb.Quality, field: str, digits: int, unit: str) -> str:
    if not quality.HasField(field):  # type: ignore[arg-type]
        return "not defined for this image, or its weights are missing"
    return f"{getattr(quality, field):.{digits}f} {unit}".strip()


class Bars:
    """How far a run is, as progress bars under the lines that it says."""

    def __init__(self, console: Console) -> None:
        """Show the bars on `console` inside the context."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._progress = Progress(*columns, console=console, refresh_per_second=2)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave them as they are."""
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def estimate(self, lines: Iterable[Line]) -> None:
        """Print what is left to do above the bars."""
        self._progress.console.print(estimate_table(lines))

    def advance(self, what: str, done: int, total: int, left_s: float) -> None:
        """Move the bar of a part of the run."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, left="")
        self._progress.update(self._tasks[what], completed=done, left=_left(left_s))


def _left(left_s: float) -> str:
    return "" if math.isnan(left_s) else f"{int(left_s) // 60}:{int(left_s) % 60:02d} left"
