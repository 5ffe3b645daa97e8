"""Means over images of what a run sent and computed; nothing here is written or drawn."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jscc.baselines.curves import present
from jscc.options import ChosenOptions
from jscc.rates import same_rate
from jscc.wire.timing import NS_PER_MS
from services.orchestrator.report.intervals import Mean, mean_of
from services.orchestrator.results.rows import Reference, Row
from services.orchestrator.results.store import Results

WIRE = ("network", "deserialize", "serialize")
"""The stages of a hop that move a message; neither computing nor waiting for the model."""

Scored = Row | Reference
Image = tuple[str, str]
"""Data set and name."""


@dataclass(frozen=True)
class Series:
    """The scored images behind one curve.

    Attributes:
        variant: the method, or the reference's curve, as a report shows it; it has a style of its own.
        method: served name of a method or name of a reference's curve.
        options: those that were not left at their defaults.
        rho: mean real channel uses per source value.
        scored: every draw of every image at every SNR.
    """

    variant: str
    method: str
    options: ChosenOptions
    rho: float
    scored: Sequence[Scored]

    @property
    def name(self) -> str:
        """The variant with its options."""
        return f"{self.variant} ({self.options})" if self.options else self.variant

    @property
    def rows(self) -> list[Row]:
        """Those that crossed the link."""
        return [item for item in self.scored if isinstance(item, Row)]

    @property
    def images(self) -> frozenset[Image]:
        """Every image at any SNR."""
        return frozenset(map(image_of, self.scored))


def all_series(rows: Sequence[Row], by_told: bool = True) -> list[Series]:
    """Every kind of transmission by itself, in the order of the rows.

    Kinds differ in method and options, and in data set, air, both checkpoints, and what the transmitter was told; of
    these the name tells those that differ within a method, so no two names are alike.

    Args:
        rows: of a run.
        by_told: False for kinds that do not differ in what the transmitter was told.
    """
    methods: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        methods[row.method].append(row)
    groups: dict[tuple[str, ChosenOptions, tuple[str, ...]], list[Row]] = defaultdict(list)
    for method, own in methods.items():
        for row, differences in _differences(own, by_told):
            groups[method, row.options, differences].append(row)
    found = []
    for (method, options, values), group in groups.items():
        told = ", ".join(filter(None, values))
        found.append(Series(f"{method} ({told})" if told else method, method, options, _mean_rho(group), group))
    return found


def _differences(rows: Sequence[Row], by_told: bool) -> Iterator[tuple[Row, tuple[str, ...]]]:
    """Say of every row of a method what tells its kind from the others of the method; a row may be of two kinds."""
    facts = [_facts(row) for row in rows]
    differ = [len(set(values)) > 1 for values in zip(*facts, strict=True)]
    told = _told(rows) if by_told else ([""] for _ in rows)
    for row, values, texts in zip(rows, facts, told, strict=True):
        for text in texts:
            yield row, (*(value if differs else "" for value, differs in zip(values, differ, strict=True)), text)


def _facts(row: Row) -> tuple[str, ...]:
    named = ("dataset", "air", "transmitter_checkpoint", "checkpoint")
    values = {name: str(getattr(row, name)) or f"no {name.replace('_', ' ')}" for name in named}
    if row.transmitter_checkpoint == row.checkpoint:
        values["transmitter_checkpoint"] = ""  # one name is enough for both
    return tuple(values.values())


def told_above_db(row: Scored) -> float:
    """By how much the SNR that a transmitter was told was above the channel's, in dB, without the noise of floats."""
    return round(row.told_snr_db - row.snr_db, 6)


def _told(rows: Sequence[Scored]) -> Iterator[list[str]]:
    """Say of every row what its transmitter was told: "" for the channel's SNR, else a fixed value or so much more.

    What was told a fixed value that is the channel's own belongs to the curve of that value too, and to no other if
    nothing else was told the channel's SNR.
    """
    wrong = [row for row in rows if row.told_snr_db != row.snr_db]
    values, more = {row.told_snr_db for row in wrong}, {told_above_db(row) for row in wrong}
    is_fixed = len(values) <= len(more) or not all(map(math.isfinite, more))
    is_told_right = any(row.told_snr_db == row.snr_db and row.told_snr_db not in values for row in rows)
    for row in rows:
        fixed = f"told {row.told_snr_db:g} dB"
        if row.told_snr_db != row.snr_db:
            yield [fixed if is_fixed else f"told {told_above_db(row):+g} dB"]
        elif is_fixed and row.told_snr_db in values:
            yield ["", fixed] if is_told_right else [fixed]
        else:
            yield [""]


def main_series(rows: Sequence[Row]) -> list[Series]:
    """The series of transmissions with default options, of which the main curves are made."""
    return [series for series in all_series(rows) if not series.options]


def shown_series(rows: Sequence[Row]) -> list[Series]:
    """The main series, and others only of what was not sent with default options; the rest belongs to studies."""
    every = all_series(rows)
    main = {item.variant for item in every if not item.options}
    return [item for item in every if not item.options or item.variant not in main]


def reference_series(references: Sequence[Reference]) -> list[Series]:
    """A series per reference, rate, and what the transmitter was told."""
    found: list[Series] = []
    for curve in dict.fromkeys(reference.curve for reference in references):
        told: dict[str, list[Reference]] = defaultdict(list)
        own = [reference for reference in references if reference.curve == curve]
        for reference, texts in zip(own, _told(own), strict=True):
            for text in texts:
                told[text].append(reference)
        for text, group in told.items():
            found += _of_each_rate(f"{curve} ({text})" if text else curve, curve, group)
    return found


def _of_each_rate(variant: str, curve: str, references: Sequence[Reference]) -> Iterator[Series]:
    for low, high in _rates(reference.rho for reference in references):
        group = [reference for reference in references if low <= reference.rho <= high]
        yield Series(variant, curve, ChosenOptions(), _mean_rho(group), group)


def drawn_references(references: Sequence[Reference]) -> list[Series]:
    """The series of references that figures show: those with former settings only where the present ones are not."""
    found = reference_series(references)
    names = {item.method for item in found}
    return [item for item in found if present(item.method) == item.method or present(item.method) not in names]


def losses(series: Series) -> dict[float, tuple[int, int]]:
    """Of how many images, or transmissions, something was lost, and of how many in all, by SNR in dB, lowest first.

    Of a computed reference that is the file; of a transmission its header, or other bits that it sends digitally.
    Transmissions of versions that did not say are left out.
    """
    told = [item for item in series.scored if isinstance(item, Reference) or item.lost is not None]
    return {snr_db: (sum(map(_is_lost, group)), len(group)) for snr_db, group in by_snr(told).items()}


def _is_lost(item: Scored) -> bool:
    return not item.delivered if isinstance(item, Reference) else bool(item.lost)


def by_rate(series: Iterable[Series]) -> list[list[Series]]:
    """Series by rate, highest first."""
    listed = list(series)
    ranges = _rates(item.rho for item in listed)
    return [[item for item in listed if low <= item.rho <= high] for low, high in reversed(ranges)]


def _rates(rhos: Iterable[float]) -> list[tuple[float, float]]:
    """The ranges of rates that are one."""
    ranges: list[tuple[float, float]] = []
    for rho in sorted(set(rhos)):
        if ranges and same_rate(ranges[-1][1], rho):
            ranges[-1] = (ranges[-1][0], rho)
        else:
            ranges.append((rho, rho))
    return ranges


def _mean_rho(scored: Sequence[Scored]) -> float:
    return math.fsum(item.rho for item in scored) / len(scored)


def image_of(item: Scored) -> Image:
    """The image that was scored."""
    return item.dataset, item.image


def by_snr(scored: Iterable[Scored]) -> dict[float, list[Scored]]:
    """Scored images by SNR in dB, lowest first."""
    groups: dict[float, list[Scored]] = defaultdict(list)
    for item in scored:
        groups[item.snr_db].append(item)
    return dict(sorted(groups.items()))


def by_image(scored: Iterable[Scored], metric: str) -> dict[Image, float]:
    """A metric of the images that have it: each image counts once, with the mean of its draws."""
    images: dict[Image, list[float]] = defaultdict(list)
    for item in scored:
        if (value := getattr(item, metric)) is not None:
            images[image_of(item)].append(value)
    return {image: float(np.mean(draws)) for image, draws in images.items()}


def image_mean(scored: Iterable[Scored], metric: str) -> Mean | None:
    """The mean of a metric over the images that have it; None if none has."""
    values = by_image(scored, metric)
    return mean_of(list(values.values())) if values else None


def incomplete(series: Series) -> dict[float, int]:
    """SNRs in dB at which images are missing that the series has at others, and how many it has there."""
    counts = {snr_db: len({image_of(item) for item in group}) for snr_db, group in by_snr(series.scored).items()}
    return {snr_db: count for snr_db, count in counts.items() if count < len(series.images)}


def curve(series: Series, metric: str, images: Collection[Image] | None = None) -> dict[float, float]:
    """Finite means of a metric by finite SNR in dB, lowest first, every one over the same images.

    Args:
        series: of which.
        metric: a quality column.
        images: over which; all of the series when None. An SNR that lacks one of them is left out.
    """
    wanted = series.images if images is None else frozenset(images)
    points: dict[float, float] = {}
    for snr_db, group in by_snr(series.scored).items():
        chosen = [item for item in group if image_of(item) in wanted]
        if wanted and {image_of(item) for item in chosen} == wanted and (found := image_mean(chosen, metric)):
            points[snr_db] = found.mean
    return {snr_db: mean for snr_db, mean in points.items() if math.isfinite(snr_db) and math.isfinite(mean)}


def common_images(series: Iterable[Series]) -> frozenset[Image]:
    """The images that all of these have."""
    sets = [item.images for item in series]
    return frozenset.intersection(*sets) if sets else frozenset()


def parameters(results: Results, series: Series) -> int | None:
    """The number of parameters of both ends; None if it is not on record for the series' checkpoint."""
    info = results.methods.get(series.method)
    if info is None or any(row.checkpoint != info.checkpoint for row in series.rows):
        return None
    return info.parameters


def hop_names(rows: Iterable[Row]) -> list[str]:
    """The hops of rows, in the order of the way."""
    return list(dict.fromkeys(name for row in rows for name in row.named_hops))


def hop_times_ms(rows: Iterable[Row], hop: str) -> dict[str, list[float]]:
    """Milliseconds that a hop computed and its messages were under way, of every row with it that is no warm-up."""
    hops = [row.named_hops[hop] for row in rows if not row.warm_up and hop in row.named_hops]
    wire = [sum(record.stage_ns(stage) for stage in WIRE) / NS_PER_MS for record in hops]
    return {"compute": [record.compute_ns / NS_PER_MS for record in hops], "wire": wire}
