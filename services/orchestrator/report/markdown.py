"""Markdown for a summary: sections, tables that are aligned in a plain terminal, numbers with their nouns."""

import math
from collections.abc import Sequence

from services.orchestrator.report.intervals import Mean, share_interval

MISSING = "–"  # noqa: RUF001
METRICS = {"psnr_db": ("PSNR (dB)", 2), "ssim": ("SSIM", 3), "ms_ssim": ("MS-SSIM", 3), "lpips": ("LPIPS", 3)}
"""Heading and decimals by quality column."""


def section(title: str, *paragraphs: str) -> str:
    """A heading and its paragraphs; nothing if all of these are empty."""
    filled = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join((f"## {title}", *filled)) if filled else ""


def table(header: Sequence[str], lines: Sequence[Sequence[str]], *, right: bool = True) -> str:
    """A table with aligned columns, the first to the left, the others to the right unless told; "" without lines."""
    if not lines:
        return ""
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in (header, *lines)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    sides = ["<", *(">" if right else "<") * (len(header) - 1)]
    ruler = ["-" * (width - 1) + (":" if side == ">" else "-") for side, width in zip(sides, widths, strict=True)]
    padded = [[f"{c:{s}{w}}" for c, s, w in zip(line, sides, widths, strict=True)] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], ruler, *padded[1:]))


def mean_text(found: Mean | None, digits: int) -> str:
    """Mean ± standard error, each of them only if there is one."""
    if found is None:
        return MISSING
    error = f"{found.error:.{digits}f}" if math.isfinite(found.error) else MISSING
    return f"{found.mean:.{digits}f} ± {error}"


def interval_text(found: Mean | None, digits: int) -> str:
    """A mean difference with its sign and its interval, each of them only if there is one."""
    if found is None or math.isnan(found.mean):
        return MISSING
    ends = f" ({found.low:+.{digits}f} to {found.high:+.{digits}f})" if math.isfinite(found.low) else ""
    return f"{found.mean:+.{digits}f}{ends}"


def share_text(part: int, whole: int, parts: str = "") -> str:
    """How many of how many, and the interval of the probability behind it in percent; parts says it as a sum."""
    low, high = share_interval(part, whole)
    return f"{parts or part} of {whole} ({100 * low:.0f} to {100 * high:.0f} %)"


def difference_text(difference_db: float | None) -> str:
    """A difference with its sign."""
    return MISSING if difference_db is None else f"{difference_db:+.2f}"


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it must be."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """A share of the whole."""
    return f"{100 * part / whole:.1f} %" if whole else MISSING
