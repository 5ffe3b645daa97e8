"""The computed references: each point once, as jscc.baselines has it, and what a run says it will take."""

import asyncio
import importlib.util
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jscc.baselines import bounds, ideal
from jscc.baselines.curves import CHEAP, CURVES
from jscc.baselines.spectrum import measure_spectrum
from jscc.data import Dataset, ImageRef
from jscc.images import ImageError, read_image, write_image
from jscc.quality.scores import Scorer, psnr_db
from services.orchestrator.results.rows import Reference, ReferenceKey
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.references import ReferenceRun, ReferenceSpec, distinct_rates

SNRS = (0.0, 10.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two smooth pictures of 64x96 px."""
    folder = tmp_path_factory.mktemp("pictures")
    rows, columns = np.mgrid[:64, :96]
    for number in range(2):
        waves = [np.sin((number + 1) * rows / 9 + channel) + np.cos(columns / 7) for channel in range(3)]
        pixels = (127.5 + 50 * np.stack(waves, axis=2)).clip(0, 255).astype(np.uint8)
        write_image(folder / f"{number}.png", pixels)
    return Dataset("set", tuple(ImageRef(f"set/{number}", folder / f"{number}.png") for number in range(2)))


def spec(**changes: Any) -> ReferenceSpec:
    known = {"sources": CHEAP, "rhos": (0.25,), "snr_db": SNRS, "more_snr_db": (8.0,), "shown_snr_db": SNRS}
    return ReferenceSpec(**{**known, "full": False, **changes})


def digests(dataset: Dataset) -> dict[str, str]:
    return {image.id: f"pixels of {image.id}" for image in dataset.images}


def computed(dataset: Dataset, store: Store, **changes: Any) -> list[int]:
    async def collect() -> list[int]:
        return [
            done async for done in ReferenceRun(dataset, digests(dataset), spec(**changes), store, Scorer(None)).run()
        ]

    return asyncio.run(collect())


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


def expected(pixels: Any, item: Reference) -> tuple[float, int, bool]:
    """What jscc.baselines says of a point: PSNR, bits, whether the file arrived."""
    if item.curve == "gaussian_variance":
        return bounds.gaussian_psnr_db(pixels, item.rho, item.snr_db), 0, True
    if item.curve == "gaussian_spectrum":
        return bounds.water_filling_psnr_db(measure_spectrum(pixels), item.rho, item.snr_db), 0, True
    codec, kind = item.curve.split("_")
    coded = ideal.CodedImage(pixels, codec)
    if kind == "adaptive":
        sent = ideal.rate_adaptive(coded, item.rho, item.snr_db)
    else:
        sent = ideal.fixed_rate(coded, item.rho, 10.0, item.snr_db)
    return psnr_db(pixels, sent.pixels), sent.size_bits, sent.decoded


def test_every_point_is_what_the_baselines_say(dataset: Dataset, store: Store) -> None:
    """Per image: 2 adaptive curves at 2 SNRs, 2 fixed and 2 Gaussian ones at 3 SNRs."""
    steps = computed(dataset, store)
    assert steps == list(range(1, 2 * (2 * 2 + 4 * 3) + 1))
    found = store.references()
    assert len(found) == len(steps)
    assert {item.curve for item in found} == {curve for source in CHEAP for curve in CURVES[source]}
    for item in found:
        pixels = read_image(dataset.images[int(item.image[-1])].path)
        assert (item.psnr_db, item.bits, item.delivered) == expected(pixels, item), item
        assert (item.ssim, item.ms_ssim, item.lpips) == (None, None, None)


def test_a_fixed_rate_falls_off_the_cliff_and_an_adaptive_one_does_not(dataset: Dataset, store: Store) -> None:
    computed(dataset, store, sources=("jpeg",), rhos=(1.0,), more_snr_db=(5.0, 20.0))
    found = {(item.curve, item.snr_db): item for item in store.references() if item.image == "set/0"}
    assert [found["jpeg_fixed", snr_db].delivered for snr_db in (0.0, 5.0, 10.0, 20.0)] == [False, False, True, True]
    assert found["jpeg_fixed", 10.0] == found["jpeg_adaptive", 10.0]._replace(curve="jpeg_fixed")
    assert found["jpeg_fixed", 20.0].psnr_db == found["jpeg_fixed", 10.0].psnr_db
    assert found["jpeg_adaptive", 0.0].delivered


def test_a_full_run_has_all_metrics_and_replaces_psnr_alone(dataset: Dataset, store: Store) -> None:
    computed(dataset, store, sources=("jpeg", "gaussian"))
    computed(dataset, store, sources=("jpeg", "gaussian"), full=True)
    for item in store.references():
        assert (item.ssim is None) == item.curve.startswith("gaussian")
        if item.curve == "jpeg_adaptive":
            pixels = read_image(dataset.images[int(item.image[-1])].path)
            sent = ideal.rate_adaptive(ideal.CodedImage(pixels, "jpeg"), item.rho, item.snr_db)
            assert item.ssim == Scorer(None).score(pixels, sent.pixels).ssim
    assert ReferenceRun(dataset, digests(dataset), spec(sources=("jpeg",)), store, Scorer(None)).left == 0


def test_an_image_without_any_error_has_100_db_as_a_transmission_has(store: Store, tmp_path: Path) -> None:
    write_image(tmp_path / "grey.png", np.full((32, 32, 3), 90, np.uint8))
    grey = Dataset("set", (ImageRef("set/grey", tmp_path / "grey.png"),))
    assert bounds.gaussian_psnr_db(read_image(tmp_path / "grey.png"), 0.25, 0.0) == math.inf
    computed(grey, store, sources=("gaussian",))
    assert {item.psnr_db for item in store.references()} == {100.0}


def test_a_run_resumes_after_what_is_there(dataset: Dataset, store: Store) -> None:
    computed(dataset, store, sources=("jpeg",))
    before = store.references()
    run = ReferenceRun(dataset, digests(dataset), spec(sources=("jpeg",), snr_db=(*SNRS, 20.0)), store, Scorer(None))
    assert (run.total, run.left) == (2 * (3 + 4), 2 * (1 + 1))
    steps = computed(dataset, store, sources=("jpeg",), snr_db=(*SNRS, 20.0))
    assert steps == list(range(11, 15))
    assert [item for item in store.references() if item.snr_db != 20.0] == before
    assert computed(dataset, store, sources=("jpeg",)) == []


def test_a_run_that_is_left_keeps_what_is_done_and_ends(dataset: Dataset, store: Store) -> None:
    async def leave() -> None:
        steps = ReferenceRun(dataset, digests(dataset), spec(sources=("jpeg",)), store, Scorer(None)).run()
        assert await anext(steps) == 1
        await steps.aclose()

    asyncio.run(leave())
    assert store.references()
    computed(dataset, store, sources=("jpeg",))
    assert len(store.references()) == 2 * 5


def test_references_of_other_pixels_do_not_count(dataset: Dataset, store: Store) -> None:
    computed(dataset, store, sources=("jpeg",))
    changed = digests(dataset) | {"set/1": "other pixels"}
    run = ReferenceRun(dataset, changed, spec(sources=("jpeg",)), store, Scorer(None))
    assert (run.total, run.left) == (2 * 5, 5)


def test_pictures_of_one_image_at_the_highest_rate(dataset: Dataset, store: Store) -> None:
    computed(dataset, store, rhos=(0.25, 0.0625), shown_snr_db=(10.0,))
    kept = {picture.of: picture.png for picture in store.pictures()}
    curves = sorted(curve for source in ("jpeg", "webp") for curve in CURVES[source])
    assert list(kept) == [ReferenceKey("set", "set/1", "pixels of set/1", curve, 10.0, 0.25) for curve in curves]
    original = read_image(dataset.images[1].path)
    for scored in store.references():
        if scored.key in kept:
            assert psnr_db(original, read_image(kept[scored.key])) == scored.psnr_db


def test_what_is_left_is_told_by_codec(dataset: Dataset, store: Store) -> None:
    lines = ReferenceRun(dataset, digests(dataset), spec(), store, Scorer(None)).lines()
    assert [(line.what, line.pieces) for line in lines] == [
        ("reference jpeg", 2 * 5),
        ("reference webp", 2 * 5),
        ("reference gaussian", 2 * 6),
    ]
    assert all(math.isfinite(line.left_s) and line.left_s >= 0 for line in lines)
    computed(dataset, store)
    assert ReferenceRun(dataset, digests(dataset), spec(), store, Scorer(None)).lines() == ()


def test_what_is_not_installed_is_left_out_and_said(
    dataset: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "imageio_ffmpeg" else found(name, *rest)
    )
    run = ReferenceRun(dataset, digests(dataset), spec(sources=("jpeg", "hevc", "gaussian")), store, Scorer(None))
    assert run.sources == ("jpeg", "gaussian")
    assert run.left_out == ("codec hevc: imageio-ffmpeg is not installed: pip install 'jscc-link[codecs]'",)
    assert ReferenceRun(dataset, digests(dataset), spec(sources=("jpeg",)), store, Scorer(None)).left_out == ()


def test_an_error_in_a_thread_ends_the_run(dataset: Dataset, store: Store, tmp_path: Path) -> None:
    broken = Dataset("set", (*dataset.images, ImageRef("set/2", tmp_path / "nosuch.png")))
    with pytest.raises(ImageError, match="nosuch"):
        computed(broken, store, sources=("jpeg",))


async def test_what_was_computed_before_an_error_is_told_is_kept(
    dataset: Dataset, store: Store, tmp_path: Path
) -> None:
    """One image, then the broken one, then another, whose five references wait behind the error."""
    first, last = dataset.images
    broken = Dataset("set", (first, ImageRef("set/broken", tmp_path / "nosuch.png"), last))
    turns = {image: threading.Event() for image in broken.images}
    ended = threading.Event()

    class InTurn(ReferenceRun):
        def _work(self, unit: Any, hand_over: Any, stop: Any) -> None:
            assert turns[unit.image].wait(60)
            super()._work(unit, hand_over, stop)
            if unit.image == last:
                ended.set()
            elif unit.image != first:
                turns[last].set()

    run = InTurn(broken, digests(broken), spec(sources=("jpeg",)), store, Scorer(None)).run()
    turns[first].set()
    try:
        assert await anext(run) == 1
        turns[broken.images[1]].set()
        assert await asyncio.to_thread(ended.wait, 60)
        with pytest.raises(ImageError, match="nosuch"):
            async for _ in run:
                pass
    finally:
        for turn in turns.values():
            turn.set()
    assert sorted(item.image for item in store.references()) == ["set/0"] * 5 + ["set/1"] * 5


def test_rates_that_padding_makes_differ_are_one() -> None:
    assert distinct_rates([0.0625, 0.25, 0.251, 0.2500001]) == (0.251, 0.0625)
    assert distinct_rates([]) == ()
