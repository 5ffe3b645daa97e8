"""What a sweep sends to a link: images x methods x SNRs x noise draws, and the methods' studies beside them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jscc.air import AWGN, AirSpec
from jscc.data import ImageRef
from jscc.options import ChosenOptions
from jscc.wire import convert
from services.orchestrator.link.job import Job
from services.orchestrator.link.routes import Route
from services.orchestrator.results.rows import Key, air_fields
from services.orchestrator.sweep.spec import MAX_TRANSMISSIONS, SweepSpec


class Kind(NamedTuple):
    """Transmissions that cost about the same: one method with one choice of options, over one air."""

    method: str
    options: ChosenOptions
    air: AirSpec = AWGN

    def __str__(self) -> str:
        """Name the method, the options where there are any, and the air where it is not the default."""
        named = " ".join([self.method, *(f"{name}={value}" for name, value in self.options.items())])
        return named if self.air == AWGN else f"{named} over {self.air}"


class Point(NamedTuple):
    """One transmission to make."""

    kind: Kind
    image: ImageRef
    snr_db: float
    draw: int
    above_db: float = 0.0
    """By how much the SNR that the transmitter is told is above the channel's."""

    def job(self, spec: SweepSpec) -> Job:
        """Return what is asked of the link."""
        return Job(
            image_id=self.image.id,
            method=self.kind.method,
            snr_db=self.snr_db,
            told_snr_db=spec.told(self.snr_db, self.above_db),
            air=self.kind.air,
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
        routes: of its methods, by served name.
    """

    spec: SweepSpec
    points: Sequence[Point]
    image_digests: Mapping[str, str]
    routes: Mapping[str, Route]

    @property
    def snr_db(self) -> tuple[float, ...]:
        """Every SNR in dB that the channel has, those of the studies included."""
        return tuple(sorted({point.snr_db for point in self.points}))

    def key(self, point: Point, dataset: str) -> Key:
        """Return what a transmission will be known by in the results, with the name of its data set."""
        route, job = self.routes[point.kind.method], point.job(self.spec)
        return Key(
            dataset=dataset,
            image=job.image_id,
            image_digest=self.image_digests[job.image_id],
            method=job.method,
            transmitter_checkpoint=route.transmitter.checkpoint_digest,
            checkpoint=route.digest,
            **air_fields(job.air),
            snr_db=job.snr_db,
            told_snr_db=job.told_snr_db,
            draw=job.draw,
            seed=job.seed,
            options=point.kind.options,
        )


def all_points(spec: SweepSpec, images: Sequence[ImageRef], routes: Mapping[str, Route]) -> list[Point]:
    """List every transmission of a sweep once.

    Args:
        spec: what to sweep.
        images: the data set.
        routes: of the spec's methods, by served name.

    Raises:
        ValueError: there are more than MAX_TRANSMISSIONS, or no method has an option.
    """
    count = len(images) * spec.sent_per_image
    if count > MAX_TRANSMISSIONS:
        raise ValueError(f"sweep: {count} transmissions, the limit is {MAX_TRANSMISSIONS}; sweep in several runs")
    _check_options(spec.options, routes.values())
    kinds = [_kind(name, routes[name], spec.options, air) for air in spec.airs for name in spec.methods]
    points = [
        Point(kind, image, snr_db, draw, above_db)
        for above_db in spec.told_above_db
        for snr_db in spec.snr_db
        for kind in kinds
        for image in images
        for draw in range(spec.draws)  # one after the other: they share what is encoded
    ]
    if spec.studies:
        points += [point for name in spec.methods for point in _study_points(name, routes[name], images, spec)]
    return list(dict.fromkeys(points))


def repeated(points: Iterable[Point]) -> list[Point]:
    """Return those of points whose frame another of them has had encoded, sent in their order."""
    found, frames = [], set()
    for point in points:
        frame = point._replace(draw=0)
        if point.draw and frame in frames:
            found.append(point)
        frames.add(frame)
    return found


def _check_options(options: Mapping[str, Any], routes: Iterable[Route]) -> None:
    known = {name for route in routes for name in route.defaults}
    for name in options:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ValueError(f"options: none of the methods has an option '{name[:100]}' (known: {there})")


def _kind(name: str, route: Route, options: Mapping[str, Any], air: AirSpec) -> Kind:
    """Return a method with those of the options that it has."""
    own = {option: value for option, value in options.items() if option in route.defaults}
    return Kind(name, route.chosen(own), air)


def shown_image(images: Sequence[ImageRef]) -> ImageRef:
    """Return the image whose pictures are kept."""
    return images[len(images) * 4 // 5]


def evenly_spread(images: Sequence[ImageRef], count: int) -> list[ImageRef]:
    """Return `count` images evenly spread over all; all of them for 0 or too many."""
    if not 0 < count < len(images):
        return list(images)
    return [images[(2 * number + 1) * len(images) // (2 * count)] for number in range(count)]


def _study_points(name: str, route: Route, images: Sequence[ImageRef], spec: SweepSpec) -> list[Point]:
    air, above_db = spec.airs[0], spec.told_above_db[0]
    return [
        Point(_kind(name, route, convert.plain_options(study.options), air), image, snr_db, 0, above_db)
        for study in route.receiver.studies
        for snr_db in study.snr_db
        for image in evenly_spread(images, study.images)
    ]
