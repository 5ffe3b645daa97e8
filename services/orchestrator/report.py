"""The report of a run, rebuilt from its database alone: results.csv, summary.md and figures/*.png."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from services.orchestrator import figures
from services.orchestrator.store import HOPS, Event, Picture, Row, Store

DATABASE = "results.sqlite"
METRICS = {"psnr_db": ("PSNR (dB)", 2), "ssim": ("SSIM", 3), "ms_ssim": ("MS-SSIM", 3), "lpips": ("LPIPS", 3)}
"""Heading and decimals by quality column."""
PERCENTILES = (50, 95, 99)
MISSING = "–"  # noqa: RUF001
Methods = Mapping[str, Sequence[Row]]


class Spread(NamedTuple):
    """Mean and standard deviation (of the population) over the images that have the metric."""

    mean: float
    std: float


def write_report(folder: Path) -> str:
    """Write results.csv, summary.md and figures/*.png into a run's folder, in place of older ones.

    Args:
        folder: the folder of a run, with its results.sqlite.

    Returns:
        The text of summary.md.

    Raises:
        FileNotFoundError: there is no database.
        ValueError: it is not one of this version.
    """
    database = folder / DATABASE
    if not database.is_file():
        raise FileNotFoundError(f"{database} is missing: no sweep has written its results there")
    with Store(database) as store:
        store.write_csv(folder / "results.csv")
        methods, settings, events = by_method(store.rows()), store.settings(), store.events()
        pictures = store.pictures()
    drawn = _draw(methods, pictures, folder / "figures")
    sections = [_heading(methods), _quality(methods), _gain(methods), _latency(methods), _bytes(methods)]
    sections += [_settings(settings), _events(events), _section("Figures", "\n".join(drawn))]
    summary = "\n\n".join(filter(None, sections)) + "\n"
    (folder / "summary.md").write_text(summary, encoding="utf-8")
    return summary


def by_method(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the name under which a report shows them, in the order of the rows.

    That is the method, and whatever else differs between the transmissions of this method: data set, channel,
    checkpoint, decode options.
    """
    named = ("dataset", "channel", "checkpoint", "options")
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for name in named:
            seen[row.method, name].add(getattr(row, name))
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        more = [getattr(row, name) or f"no {name}" for name in named if len(seen[row.method, name]) > 1]
        groups[f"{row.method} ({', '.join(more)})" if more else row.method].append(row)
    return dict(groups)


def spread(rows: Sequence[Row], metric: str) -> Spread | None:
    """The spread of a metric over images: each image counts once, with the mean of its draws; None if none has it."""
    images: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if (value := getattr(row, metric)) is not None:
            images[row.dataset, row.image].append(value)
    if not images:
        return None
    values = np.array([np.mean(draws) for draws in images.values()])
    with np.errstate(invalid="ignore"):  # an infinite PSNR has no deviation
        return Spread(float(values.mean()), float(values.std()))


def by_snr(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """Rows by SNR in dB, lowest first."""
    groups: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.snr_db].append(row)
    return dict(sorted(groups.items()))


def _heading(methods: Methods) -> str:
    rows = [row for group in methods.values() for row in group]
    if not rows:
        return "# Sweep without a finished transmission"
    datasets = ", ".join(sorted({row.dataset for row in rows}))
    images = len({(row.dataset, row.image) for row in rows})
    facts = [f"# Sweep over {datasets}: {_count(images, 'image')}", "", f"- {_count(len(rows), 'transmission')}"]
    for name, group in methods.items():
        channels = ", ".join(sorted({row.channel for row in group}))
        checkpoints = ", ".join(sorted({row.checkpoint or "none" for row in group}))
        draws = _count(len({row.draw for row in group}), "noise draw")
        facts.append(f"- {name}: channel {channels}, checkpoint {checkpoints}, {draws}")
    return "\n".join(facts)


def _quality(methods: Methods) -> str:
    header = ["method", "SNR (dB)", "images", *(heading for heading, _ in METRICS.values())]
    lines = []
    for name, rows in methods.items():
        for snr_db, group in by_snr(rows).items():
            images = len({(row.dataset, row.image) for row in group})
            cells = [_cell(spread(group, metric), digits) for metric, (_, digits) in METRICS.items()]
            lines.append([name, f"{snr_db:g}", str(images), *cells, *_cost(group)])
    note = "Mean ± standard deviation over the images. Channel uses are real symbols, rho = uses / (3 H W)."
    table = _table([*header, "rho", "channel uses", "header bits"], lines)
    return _section("Quality", table, note, *_missing(methods))


def _cost(rows: Sequence[Row]) -> list[str]:
    rho, uses, bits = (np.mean([getattr(row, name) for row in rows]) for name in ("rho", "channel_uses", "header_bits"))
    return [f"{rho:.4f}", f"{uses:.0f}", f"{bits:.0f}"]


def _cell(found: Spread | None, digits: int) -> str:
    if found is None:
        return MISSING
    std = f"{found.std:.{digits}f}" if np.isfinite(found.std) else MISSING
    return f"{found.mean:.{digits}f} ± {std}"


def _missing(methods: Methods) -> Iterator[str]:
    rows = [row for group in methods.values() for row in group]
    for metric, (heading, _) in METRICS.items():
        count = sum(getattr(row, metric) is None for row in rows)
        if count:
            name, of = heading.removesuffix(" (dB)"), _count(len(rows), "transmission")
            yield f"{name} was not measured for {count} of {of}; its mean leaves them out ({MISSING} where it is all)."


def _gain(methods: Methods) -> str:
    lines = []
    for name, rows in methods.items():
        found = {snr_db: spread(group, "psnr_db") for snr_db, group in by_snr(rows).items()}
        means = {snr_db: value.mean for snr_db, value in found.items() if value}
        if len(means) > 1:
            low, *_, high = means
            rises = "yes" if all(lower < upper for lower, upper in pairwise(means.values())) else "no"
            lines.append([name, f"{low:g}", f"{high:g}", f"{means[high] - means[low]:+.2f}", rises])
    header = ["method", "lowest SNR (dB)", "highest SNR (dB)", "PSNR gain (dB)", "rises at every step"]
    return _section("Gain from the lowest to the highest SNR", _table(header, lines)) if lines else ""


def _latency(methods: Methods) -> str:
    return _section("Latency", *(_method_latency(name, rows) for name, rows in methods.items()))


def _method_latency(name: str, rows: Sequence[Row]) -> str:
    counted = [row for row in rows if not row.warm_up]
    left_out = f"{_count(len(rows) - len(counted), 'warm-up transmission')} left out"
    if not counted:
        return f"{name}: {left_out}, no other"
    names = ["total_ms", *counted[0].parts_ms()]
    times_ms = np.array([[row.total_ms, *row.parts_ms().values()] for row in counted])
    means = times_ms.mean(axis=0)
    lines = [
        [
            part.removesuffix("_ms").replace("_", " "),
            *(f"{ms:.2f}" for ms in (*percentiles, mean)),
            _percent(mean, means[0]),
        ]
        for part, percentiles, mean in zip(names, np.percentile(times_ms, PERCENTILES, axis=0).T, means, strict=True)
    ]
    table = _table([name, *(f"p{p} (ms)" for p in PERCENTILES), "mean (ms)", "of total"], lines)
    share = _percent(times_ms[:, 1:].sum(), times_ms[:, 0].sum())
    return f"{table}\n\n{_count(len(counted), 'transmission')}, {left_out}. The parts account for {share} of the total."


def _bytes(methods: Methods) -> str:
    header = ["method", *(f"{hop} {way}" for hop in HOPS for way in ("in", "out"))]
    lines = [
        [
            name,
            *(
                f"{np.mean([getattr(row.hops[hop], f'bytes_{way}') for row in rows]):.0f}"
                for hop in HOPS
                for way in ("in", "out")
            ),
        ]
        for name, rows in methods.items()
    ]
    return _section("Bytes per transmission", _table(header, lines))


def _settings(settings: Mapping[str, Any]) -> str:
    lines = [[key, value] for key, value in _flat("", settings)]
    return _section("Settings and machine", _table(["setting", "value"], lines, right=False)) if lines else ""


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _events(events: Sequence[Event]) -> str:
    lines = [f"- {event.time}: {' '.join(event.text.split())}" for event in events]
    return _section("Interruptions", "\n".join(lines)) if lines else ""


def _draw(methods: Methods, pictures: Sequence[Picture], folder: Path) -> Iterator[str]:
    """Draw what there is data for and yield a line of the summary for every figure."""
    folder.mkdir(exist_ok=True)
    for name, caption, figure in _drawings(methods, pictures):
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        if figure:
            figures.save(figure, path)
        yield f"- [{caption}](figures/{path.name})" if figure else f"- {caption}: left out, there is no data for it"


def _drawings(methods: Methods, pictures: Sequence[Picture]) -> Iterator[tuple[str, str, Figure | None]]:
    rows = [row for group in methods.values() for row in group]
    what = f"{', '.join(sorted({row.dataset for row in rows}))}, {_count(len({row.image for row in rows}), 'image')}"
    for metric, (heading, _) in METRICS.items():
        curves = {name: curve for name, group in methods.items() if (curve := _curve(group, metric)).mean}
        figure = figures.draw_quality(metric, curves, what) if curves else None
        yield f"{metric.removesuffix('_db')}_vs_snr", f"{heading.removesuffix(' (dB)')} over SNR", figure
    bars = {name: _mean_parts(group) for name, group in methods.items() if not all(row.warm_up for row in group)}
    yield "latency", "Where the time goes", figures.draw_latency(bars, what) if bars else None
    tiles = figures.strip_tiles(pictures, lambda picture: _psnr_db(picture, rows))
    yield "strip", "Original and received images", figures.draw_strip(tiles) if tiles else None


def _curve(rows: Sequence[Row], metric: str) -> figures.Curve:
    found = {snr_db: spread(group, metric) for snr_db, group in by_snr(rows).items()}
    points = [(snr_db, value.mean, value.std) for snr_db, value in found.items() if value]
    snrs_db, means, stds = zip(*points, strict=True) if points else ((), (), ())
    return figures.Curve(snrs_db, means, stds)


def _mean_parts(rows: Sequence[Row]) -> dict[str, float]:
    parts = [row.parts_ms() for row in rows if not row.warm_up]
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def _psnr_db(picture: Picture, rows: Sequence[Row]) -> float | None:
    """The PSNR of a picture, if the run has just one transmission that it can be: that of the first draw."""
    sent = (picture.image, picture.method, picture.snr_db)
    found = [row for row in rows if (row.image, row.method, row.snr_db) == sent]
    first = [row.psnr_db for row in found if row.draw == min(row.draw for row in found)]
    return first[0] if len(first) == 1 else None


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join((f"## {title}", *filter(None, paragraphs)))


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], *, right: bool = True) -> str:
    """A Markdown table with aligned columns, the first to the left; the others to the right unless told."""
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in (header, *lines)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    sides = ["<", *(">" if right else "<") * (len(header) - 1)]
    ruler = ["-" * (width - 1) + (":" if side == ">" else "-") for side, width in zip(sides, widths, strict=True)]
    padded = [[f"{c:{s}{w}}" for c, s, w in zip(line, sides, widths, strict=True)] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], ruler, *padded[1:]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else MISSING
