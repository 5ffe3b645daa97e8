"""References: what digital transmission with an ideal code reaches over the same channel, and two Gaussian sources.

They are computed here, not transmitted: no symbol crosses the link for them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from jscc.baselines import bounds, codecs, ideal
from jscc.baselines.curves import CURVES, DESIGN_SNR_DB, GAUSSIAN, present
from jscc.baselines.spectrum import Spectrum, measure_spectrum
from jscc.cancel import Cancellation, check, working_for
from jscc.data import Dataset, ImageRef
from jscc.images import Pixels, encode_png, read_image
from jscc.machine import cores
from jscc.quality.scores import MAX_PSNR_DB, Scorer, Scores, psnr_db
from jscc.rates import same_rate
from services.orchestrator.results.database import when_free
from services.orchestrator.results.faults import StoreError
from services.orchestrator.results.rows import ImageKey, Picture, Reference
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.estimate import Line
from services.orchestrator.sweep.fading_lines import FILES, CurvePoint, LineSpec, computed, is_line
from services.orchestrator.sweep.plan import shown_image

_FILES_PER_POINT = 6
"""Files that the search for the best quality makes for a point and a way of a codec, measured on Kodak; the others it
has made already."""
_NO_LINES = LineSpec()
_Result = tuple[list[Reference], list[Picture]]


class Unit(NamedTuple):
    """The points of one image that share the files of a codec."""

    image: ImageRef
    source: str
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class ReferenceSpec:
    """Which references.

    Attributes:
        sources: keys of CURVES, over white noise.
        rhos: rates, real channel uses per source value.
        snr_db: SNRs in dB of the rate-adaptive curves.
        more_snr_db: further SNRs in dB of the others, which cost next to nothing.
        shown_snr_db: SNRs in dB whose pictures are kept, at the highest rate.
        full: whether all metrics are measured; PSNR alone otherwise, and of lines over fading.
        lines: over fading.
    """

    sources: tuple[str, ...]
    rhos: tuple[float, ...]
    snr_db: tuple[float, ...]
    more_snr_db: tuple[float, ...]
    shown_snr_db: tuple[float, ...]
    full: bool
    lines: LineSpec = _NO_LINES

    @property
    def all_sources(self) -> tuple[str, ...]:
        """Everything that something is made with."""
        return tuple(dict.fromkeys((*self.sources, *(self.lines.codecs if self.lines.fadings else ()))))

    def points(self, source: str) -> Iterator[CurvePoint]:
        """Yield every point of an image."""
        all_snrs = sorted({*self.snr_db, *self.more_snr_db})
        for curve in CURVES[source] if source in self.sources else ():
            for rho in self.rhos:
                for snr_db in self.snr_db if curve.endswith("_adaptive") else all_snrs:
                    yield CurvePoint(curve, rho, snr_db)
        yield from self.lines.points(source)


class ReferenceRun:
    """One run over a store that may already hold a part of the references.

    Attributes:
        sources: keys of CURVES that something is computed with.
        left_out: why something else is not, a line for each.
        total: how many references there are to be.
        left: how many of them are not there yet.
    """

    def __init__(
        self, dataset: Dataset, digests: Mapping[str, str], spec: ReferenceSpec, store: Store, scorer: Scorer
    ) -> None:
        """Plan what is left to compute.

        Args:
            dataset: the images.
            digests: of their pixels, by the images' names.
            spec: which references.
            store: where they go.
            scorer: of those that are scored with all metrics.
        """
        self._dataset, self._spec, self._store, self._scorer = dataset, spec, store, scorer
        self._digests = digests
        lacks = {source: _lack(source) for source in spec.all_sources}
        self.sources = tuple(source for source in spec.all_sources if not lacks[source])
        self.left_out = tuple(filter(None, (*lacks.values(), *spec.lines.left_out)))
        have = {
            (item.image_key, CurvePoint(*(getattr(item, name) for name in CurvePoint._fields)))
            for item in store.references()
            if (item.ssim is not None or not self._is_scored_fully(item.curve))
        }
        wanted = [(image, source) for source in self.sources for image in dataset.images]
        self._units: list[Unit] = []
        for image, source in wanted:
            points = tuple(point for point in spec.points(source) if (self._image_key(image), point) not in have)
            if points:
                self._units.append(Unit(image, source, points))
        self.total = len(dataset.images) * sum(len(list(spec.points(source))) for source in self.sources)
        self.left = sum(len(unit.points) for unit in self._units)

    def _image_key(self, image: ImageRef) -> ImageKey:
        return ImageKey(self._dataset.name, image.id, self._digests[image.id])

    def _is_scored_fully(self, curve: str) -> bool:
        return self._spec.full and not curve.startswith(GAUSSIAN) and not is_line(curve)

    def lines(self) -> tuple[Line, ...]:
        """Estimate how long each codec takes, by encoding and scoring one image once."""
        if not self._units:
            return ()
        pixels = read_image(self._units[0].image.path)
        score_s = _duration_s(lambda: self._score(pixels, pixels))
        lines = []
        for source in self.sources:
            counts = [sum(point.curve.endswith("_adaptive") for point in u.points) for u in self._of(source)]
            faded = [sum(is_line(point.curve) for point in u.points) for u in self._of(source)]
            times_s = list(_file_times_s(pixels, source)) if any((*counts, *faded)) else [0.0]
            left_s = sum(counts) * (_FILES_PER_POINT * sum(times_s) + score_s) / cores()
            pieces = sum(len(unit.points) for unit in self._of(source)) - sum(faded)
            lines.append(Line(f"reference {source}", pieces, left_s))
            files = FILES * sum(map(bool, faded))
            file_s = sum(times_s) / len(times_s) + _duration_s(lambda: psnr_db(pixels, pixels))
            lines.append(Line(f"lines over fading {source}", sum(faded), files * file_s / cores()))
        return tuple(line for line in lines if line.pieces)

    def _of(self, source: str) -> list[Unit]:
        return [unit for unit in self._units if unit.source == source]

    async def run(self) -> AsyncGenerator[int]:
        """Compute what is left, as many images at once as there are cores; commit each reference by itself.

        Yields:
            How many references are there, earlier ones included.
        """
        done, results, caller = self.total - self.left, asyncio.Queue[_Result | BaseException](), Cancellation()
        loop = asyncio.get_running_loop()

        def hand_over(item: _Result | BaseException) -> None:
            loop.call_soon_threadsafe(results.put_nowait, item)

        pool = ThreadPoolExecutor(cores(), "reference")
        try:
            for unit in self._units:
                pool.submit(self._work, unit, hand_over, caller)
            while done < self.total:
                result = await results.get()
                if isinstance(result, BaseException):
                    raise result
                await when_free(partial(self._store.add_references, *result))
                done += len(result[0])
                yield done
        finally:
            caller.cancel()
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
            self._keep_rest(results)

    def _keep_rest(self, results: asyncio.Queue[_Result | BaseException]) -> None:
        """Commit what was computed before the end, unless the database is the trouble."""
        while not results.empty():
            result = results.get_nowait()
            if not isinstance(result, BaseException):
                with suppress(StoreError):  # what ended the run is told, and the next one computes it again
                    self._store.add_references(*result)

    def _work(self, unit: Unit, hand_over: Callable[[_Result | BaseException], None], caller: Cancellation) -> None:
        try:
            original = read_image(unit.image.path)
            compute = self._gaussian if unit.source == GAUSSIAN else self._coded
            with working_for(caller):
                for result in compute(unit, original):
                    hand_over(result)
                    check()
        except BaseException as error:  # the run raises it, unless it has ended
            hand_over(error)

    def _gaussian(self, unit: Unit, original: Pixels) -> Iterator[_Result]:
        spectrum: Spectrum = measure_spectrum(original)
        for point in unit.points:
            if point.curve == "gaussian_variance":
                value = bounds.gaussian_psnr_db(original, point.rho, point.snr_db)
            else:
                value = bounds.water_filling_psnr_db(spectrum, point.rho, point.snr_db)
            yield [self._reference(unit, point, (0, True), Scores(min(MAX_PSNR_DB, value), None, None, None))], []

    def _coded(self, unit: Unit, original: Pixels) -> Iterator[_Result]:
        image, known = ideal.CodedImage(original, unit.source), dict[ideal.Choice | None, Scores]()
        for point in (point for point in unit.points if not is_line(point.curve)):
            design_db = point.snr_db if point.curve.endswith("_adaptive") else DESIGN_SNR_DB
            sent = ideal.fixed_rate(image, point.rho, design_db, point.snr_db)
            shown = sent.choice if sent.decoded else None
            if shown not in known:
                known[shown] = self._score(original, sent.pixels)
            reference = self._reference(unit, point, (sent.size_bits, sent.decoded), known[shown])
            is_shown = self._is_shown(unit.image, point)
            yield [reference], [Picture(reference.key, encode_png(sent.pixels))] if is_shown else []
        faded = [point for point in unit.points if is_line(point.curve)]
        for values in computed(image, unit.image.id, faded, self._spec.lines):
            found = ((point, (it.bits, it.delivered), Scores(it.psnr_db, None, None, None)) for point, it in values)
            yield [self._reference(unit, *each) for each in found], []

    def _score(self, original: Pixels, received: Pixels) -> Scores:
        if self._spec.full:
            return self._scorer.score(original, received)
        return Scores(psnr_db(original, received), None, None, None)

    def _reference(self, unit: Unit, point: CurvePoint, file: tuple[int, bool], scores: Scores) -> Reference:
        return Reference(
            **self._image_key(unit.image)._asdict(),
            **point._asdict(),
            bits=file[0],
            delivered=file[1],
            psnr_db=scores.psnr_db,
            ssim=scores.ssim,
            ms_ssim=scores.ms_ssim,
            lpips=scores.lpips,
        )

    def _is_shown(self, image: ImageRef, point: CurvePoint) -> bool:
        spec = self._spec
        return (
            image == shown_image(self._dataset.images)
            and present(point.curve) == point.curve
            and point.rho == max(spec.rhos)
            and point.snr_db in spec.shown_snr_db
        )


def distinct_rates(rhos: Sequence[float]) -> tuple[float, ...]:
    """Return the rates, highest first, each once (see jscc.rates)."""
    kept: list[float] = []
    for rho in sorted(rhos, reverse=True):
        if not any(same_rate(rho, other) for other in kept):
            kept.append(rho)
    return tuple(kept)


def _lack(source: str) -> str:
    """Say why there is no reference of a source; "" if there is."""
    try:
        if source != GAUSSIAN:
            codecs.qualities(source)
    except codecs.CodecMissingError as error:
        return str(error)
    return ""


def _file_times_s(pixels: Pixels, source: str) -> Iterator[float]:
    """Make a file in each of the ways of a codec, and say how long each took."""
    if source != GAUSSIAN:
        middle = codecs.qualities(source)[len(codecs.qualities(source)) // 2]
        for way in codecs.ways(source):
            yield _duration_s(partial(codecs.encode, pixels, source, middle, way))


def _duration_s(work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s
