"""What a sweep sends: images x methods x SNRs x noise draws, and the methods' studies beside them."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jscc import channels, config
from jscc.data import ImageRef
from jscc.options import ChosenOptions
from jscc.wire import convert
from services.orchestrator.link.job import Job, check_seed, check_snr_db
from services.orchestrator.link.routes import Route, RouteTable

ALL = ("all",)
"""As the methods of a sweep: every one of the link."""
MAX_SNRS = 100
MAX_DRAWS = 1000
MAX_TRANSMISSIONS = 200_000
"""Of one sweep: a week at three a second."""
PICTURES_SNR_DB = 5.0
"""SNR of the paper's visual comparison."""


@dataclass(frozen=True)
class SweepSpec:
    """What to sweep, whoever asks for it: the command line or the API.

    Attributes:
        methods: served names; ALL for every one of the link, empty for its default.
        snr_db: what the channel has, 1 to MAX_SNRS different SNRs of -30..60 dB.
        draws: noise draws per image and SNR, 1..MAX_DRAWS.
        seed: root seed, 0..2^63 - 1.
        channel: name of the channel.
        channel_options: its options by name.
        told_snr_db: what the transmitter is told at every SNR, -30..60 dB; None for what told_above_db says.
        told_above_db: by how much the SNR that the transmitter is told is above the channel's; 0 for the truth.
        options: options by name, each for the methods that have it.
        studies: whether the methods' studies are sent too, each with the first noise draw.
        limit: only the first so many images; 0 for all.
        concurrency: transmissions under way at once, 1..64.
        patience_s: how long an unreachable service is waited for, 0..86400 s.
    """

    methods: tuple[str, ...]
    snr_db: tuple[float, ...]
    draws: int = 1
    seed: int = 0
    channel: str = "awgn"
    channel_options: Mapping[str, Any] = field(default_factory=dict)
    told_snr_db: float | None = None
    told_above_db: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    studies: bool = False
    limit: int = 0
    concurrency: int = 4
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a field is out of its range; names it and the limit.
            UnknownChannelError: there is no such channel.
        """
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods: expected different names, got {', '.join(self.methods)[:100]}")
        config.from_mapping(channels.load(self.channel).options_type, self.channel_options, f"channel {self.channel}")
        if not 1 <= len(self.snr_db) <= MAX_SNRS or len(set(self.snr_db)) != len(self.snr_db):
            raise ValueError(f"snr_db: expected 1 to {MAX_SNRS} different values, got {len(self.snr_db)}")
        if self.told_snr_db is not None and self.told_above_db:
            raise ValueError("told_snr_db: give it or told_above_db, not both")
        for snr_db in self.snr_db:
            check_snr_db("snr_db", snr_db)
            check_snr_db("told_snr_db" if self.told_above_db == 0 else "snr_db + told_above_db", self.told(snr_db))
        check_seed(self.seed)
        for name, low, high in (
            ("draws", 1, MAX_DRAWS),
            ("limit", 0, MAX_TRANSMISSIONS),
            ("patience_s", 0, 86_400),
            ("concurrency", 1, 64),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: {getattr(self, name)} is outside {low}..{high}")

    def told(self, snr_db: float) -> float:
        """Return the SNR in dB that the transmitter is told when the channel has snr_db."""
        return snr_db + self.told_above_db if self.told_snr_db is None else self.told_snr_db

    def resolved(self, table: RouteTable) -> "SweepSpec":
        """Return this with the served names of a link in place of ALL or nothing.

        Raises:
            RouteError: a method is not served, or none at all.
        """
        methods = tuple(sorted(table.routes)) if self.methods == ALL else self.methods or (table.default(),)
        for name in methods:
            table.find(name)
        return dataclasses.replace(self, methods=methods)

    @property
    def shown_snr_db(self) -> tuple[float, ...]:
        """The SNRs at which pictures are kept: lowest, highest, and the one nearest to that of the paper's pictures."""
        snrs = sorted(self.snr_db)
        middle = min(snrs, key=lambda snr_db: abs(snr_db - PICTURES_SNR_DB))
        return tuple(dict.fromkeys((snrs[0], middle, snrs[-1])))


class Kind(NamedTuple):
    """Transmissions that cost about the same: one method with one choice of options."""

    method: str
    options: ChosenOptions

    def __str__(self) -> str:
        """Name the method, and the options where there are any."""
        return " ".join([self.method, *(f"{name}={value}" for name, value in self.options.items())])


class Point(NamedTuple):
    """One transmission to make."""

    kind: Kind
    image: ImageRef
    snr_db: float
    draw: int

    def job(self, spec: SweepSpec) -> Job:
        """Return what is asked of the link."""
        return Job(
            image_id=self.image.id,
            method=self.kind.method,
            snr_db=self.snr_db,
            told_snr_db=spec.told(self.snr_db),
            channel=spec.channel,
            channel_options=spec.channel_options,
            options=self.kind.options,
            root_seed=spec.seed,
            draw=self.draw,
        )


@dataclass(frozen=True)
class Plan:
    """A sweep, checked against a link and its images.

    Attributes:
        spec: what to sweep, its methods resolved.
        points: every transmission of it, each once.
        image_digests: of the images' pixels, by image id.
    """

    spec: SweepSpec
    points: Sequence[Point]
    image_digests: Mapping[str, str]


def all_points(spec: SweepSpec, images: Sequence[ImageRef], routes: Mapping[str, Route]) -> list[Point]:
    """List every transmission of a sweep once.

    Args:
        spec: what to sweep.
        images: the data set.
        routes: of the spec's methods, by served name.

    Raises:
        ValueError: there are more than MAX_TRANSMISSIONS, or no method has an option.
    """
    count = len(images) * len(spec.methods) * len(spec.snr_db) * spec.draws
    if count > MAX_TRANSMISSIONS:
        raise ValueError(f"sweep: {count} transmissions, the limit is {MAX_TRANSMISSIONS}; sweep in several runs")
    _check_options(spec.options, routes.values())
    kinds = [_kind(name, routes[name], spec.options) for name in spec.methods]
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


def _check_options(options: Mapping[str, Any], routes: Iterable[Route]) -> None:
    known = {name for route in routes for name in route.defaults}
    for name in options:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ValueError(f"options: none of the methods has an option '{name[:100]}' (known: {there})")


def _kind(name: str, route: Route, options: Mapping[str, Any]) -> Kind:
    """Return a method with those of the options that it has."""
    own = {option: value for option, value in options.items() if option in route.defaults}
    return Kind(name, route.chosen(own))


def shown_image(images: Sequence[ImageRef]) -> ImageRef:
    """Return the image whose pictures are kept."""
    return images[len(images) * 4 // 5]


def evenly_spread(images: Sequence[ImageRef], count: int) -> list[ImageRef]:
    """Return `count` images evenly spread over all; all of them for 0 or too many."""
    if not 0 < count < len(images):
        return list(images)
    return [images[(2 * number + 1) * len(images) // (2 * count)] for number in range(count)]


def _study_points(name: str, route: Route, images: Sequence[ImageRef]) -> list[Point]:
    return [
        Point(_kind(name, route, convert.plain_options(study.options)), image, snr_db, 0)
        for study in route.receiver.studies
        for snr_db in study.snr_db
        for image in evenly_spread(images, study.images)
    ]
