"""What a sweep sends: images x methods x SNRs x noise draws, and the methods' studies beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jscc.data.datasets import ImageRef
from jscc.limits import MAX_SNR_DB, MIN_SNR_DB
from jscc.wire import convert
from services.orchestrator.link.routes import Route
from services.orchestrator.link.star import Air

MAX_SNRS = 100
MAX_DRAWS = 1000
PICTURES_SNR_DB = 5.0
"""SNR of the paper's visual comparison."""


@dataclass(frozen=True)
class SweepSpec:
    """What to sweep.

    Attributes:
        methods: served names of methods.
        snr_db: SNRs in dB, -30..60 each.
        draws: noise draws per image and SNR, 1..1000.
        seed: root seed, 0..2^63 - 1.
        channel: awgn or noiseless.
        options: options of the methods by name.
        studies: whether the methods' studies are sent too, each with the first noise draw.
        concurrency: transmissions under way at once.
        patience_s: how long an unreachable service is waited for.
    """

    methods: tuple[str, ...]
    snr_db: tuple[float, ...]
    draws: int = 1
    seed: int = 0
    channel: str = "awgn"
    options: Mapping[str, Any] = field(default_factory=dict)
    studies: bool = False
    concurrency: int = 4
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a field is out of its range; names it and the limit.
        """
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods: expected different names, got {', '.join(self.methods)}")
        Air(self.channel, 0.0).to_wire()
        if not 1 <= len(self.snr_db) <= MAX_SNRS or len(set(self.snr_db)) != len(self.snr_db):
            raise ValueError(f"snr_db: expected 1 to {MAX_SNRS} different values, got {len(self.snr_db)}")
        bad = [snr for snr in self.snr_db if not MIN_SNR_DB <= snr <= MAX_SNR_DB]
        if bad:
            raise ValueError(f"snr_db: {bad[0]:g} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")
        if not 1 <= self.draws <= MAX_DRAWS:
            raise ValueError(f"draws: {self.draws} is outside 1..{MAX_DRAWS}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: {self.seed} is outside 0..2^63 - 1")
        if not 0 <= self.patience_s <= 86_400:
            raise ValueError(f"patience_s: {self.patience_s} is outside 0..86400")
        if not 1 <= self.concurrency <= 64:
            raise ValueError(f"concurrency: {self.concurrency} is outside 1..64")

    @property
    def shown_snr_db(self) -> tuple[float, ...]:
        """The SNRs at which pictures are kept: lowest, highest, and the one nearest to that of the paper's pictures."""
        snrs = sorted(self.snr_db)
        middle = min(snrs, key=lambda snr_db: abs(snr_db - PICTURES_SNR_DB))
        return tuple(dict.fromkeys((snrs[0], middle, snrs[-1])))


class Kind(NamedTuple):
    """Transmissions that cost about the same: one method with one choice of options (JSON text, "" for defaults)."""

    method: str
    options: str

    def __str__(self) -> str:
        """Name the method, and the options where there are any."""
        chosen: dict[str, Any] = json.loads(self.options or "{}")
        return " ".join([self.method, *(f"{name}={value}" for name, value in chosen.items())])


class Point(NamedTuple):
    """One transmission to make."""

    kind: Kind
    image: ImageRef
    snr_db: float
    draw: int


def all_points(spec: SweepSpec, images: Sequence[ImageRef], routes: Mapping[str, Route]) -> list[Point]:
    """List every transmission of a sweep once.

    Args:
        spec: what to sweep.
        images: the data set.
        routes: of the spec's methods, by served name.
    """
    kinds = [Kind(name, routes[name].chosen(spec.options)) for name in spec.methods]
    points = [
        Point(kind, image, snr_db, draw)
        for draw in range(spec.draws)
        for snr_db in spec.snr_db
        for kind in kinds
        for image in images
    ]
    if spec.studies:
        points += [point for name in spec.methods for point in _study_points(name, routes[name], images)]
    return list(dict.fromkeys(points))


def shown_image(images: Sequence[ImageRef]) -> ImageRef:
    """Return the image whose pictures are kept."""
    return images[len(images) * 4 // 5]


def spread(images: Sequence[ImageRef], count: int) -> list[ImageRef]:
    """Return `count` images evenly spread over all; all of them for 0 or too many."""
    if not 0 < count < len(images):
        return list(images)
    return [images[(2 * number + 1) * len(images) // (2 * count)] for number in range(count)]


def _study_points(name: str, route: Route, images: Sequence[ImageRef]) -> list[Point]:
    return [
        Point(Kind(name, route.chosen(convert.plain_options(study.options))), image, snr_db, 0)
        for study in route.receiver.studies
        for snr_db in study.snr_db
        for image in spread(images, study.images)
    ]
