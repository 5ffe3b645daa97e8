"""A sweep is checked before anything is sent, and knows what is left of it."""

import itertools
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest

from jscc.air import AWGN, AirSpec
from jscc.data import Dataset, ImageRef, check_images
from jscc.grid import Grid
from jscc.images import pixel_digest, write_image
from jscc.options import ChosenOptions
from jscc.quality.scores import Scorer
from jscc.seeds import derive_seed
from jscc.wire import convert
from jscc.wire.client import Client
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.airs import airs_of
from services.orchestrator.link.routes import Route, RouteError
from services.orchestrator.link.star import Star
from services.orchestrator.link.transmission import Engine
from services.orchestrator.results.rows import Row, air_fields
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.plan import Plan, all_points, evenly_spread, repeated, shown_image
from services.orchestrator.sweep.recovery import SweepError
from services.orchestrator.sweep.run import Sweep
from services.orchestrator.sweep.spec import SweepSpec

NOWHERE = "127.0.0.1:1"
IMAGES = Dataset("set", tuple(ImageRef(f"set/{name}", Path(f"{name}.png")) for name in ("a", "b", "c")))
STUDIES = [
    pb.Study(options=convert.options_to_wire({"K": iterations}), snr_db=[0.0, 10.0], images=0)
    for iterations in (1, 2, 3)
] + [pb.Study(snr_db=[6.0, 10.0], images=2)]
GREY = np.full((2, 3, 3), 128, dtype=np.uint8)


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec(**{"methods": ("first", "second"), "snr_db": (-5.0, 10.0), "draws": 2, "seed": 7, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr_db": ()}, r"^snr_db: expected 1 to 100 different values, got 0$"),
        ({"snr_db": tuple(i / 10 for i in range(101))}, r"^snr_db: expected 1 to 100 different values, got 101$"),
        ({"snr_db": (1.0, 2.0, 1.0)}, r"^snr_db: expected 1 to 100 different values"),
        ({"snr_db": (0.0, -0.0)}, r"^snr_db: expected 1 to 100 different values"),
        ({"snr_db": (0.0, -30.5)}, r"^snr_db: -30\.5 is outside -30\.\.60 dB$"),
        ({"snr_db": (61.0,)}, r"^snr_db: 61 is outside -30\.\.60 dB$"),
        ({"snr_db": (math.nan,)}, r"^snr_db: nan is outside -30\.\.60 dB$"),
        ({"snr_db": (math.inf,)}, r"^snr_db: inf is outside -30\.\.60 dB$"),
        ({"draws": 0}, r"^draws: 0 is outside 1\.\.1000$"),
        ({"draws": 1001}, r"^draws: 1001 is outside 1\.\.1000$"),
        ({"seed": -1}, r"^seed: -1 is outside 0\.\.2\^63 - 1$"),
        ({"seed": 2**63}, r"^seed: 9223372036854775808 is outside 0\.\.2\^63 - 1$"),
        ({"concurrency": 0}, r"^concurrency: 0 is outside 1\.\.64$"),
        ({"concurrency": 65}, r"^concurrency: 65 is outside 1\.\.64$"),
        ({"limit": -1}, r"^limit: -1 is outside 0\.\.200000$"),
        ({"patience_s": -1.0}, r"^patience_s: -1\.0 is outside 0\.\.86400$"),
        ({"methods": ("first", "first")}, r"^methods: "),
    ],
)
def test_a_field_out_of_range_is_refused_by_name_and_limit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"snr_db": (-30.0, 60.0)},
        {"snr_db": tuple(i / 10 for i in range(100))},
        {"draws": 1},
        {"draws": 1000},
        {"seed": 0},
        {"seed": 2**63 - 1},
        {"concurrency": 1},
        {"concurrency": 64},
        {"airs": (AirSpec("noiseless"), AWGN)},
    ],
)
def test_the_limits_themselves_are_inside(changes: dict[str, Any]) -> None:
    assert spec(**changes)


@pytest.mark.parametrize(("airs", "got"), [((), "none"), ((AWGN, AWGN), "awgn, awgn")])
def test_the_same_air_twice_or_none_is_refused(airs: tuple[AirSpec, ...], got: str) -> None:
    with pytest.raises(ValueError, match=f"^airs: expected different ones, got {got}$"):
        spec(airs=airs)


def test_what_the_transmitter_is_told_is_apart_from_what_the_channel_has() -> None:
    assert spec().told(-5.0, 0.0) == -5.0
    assert spec(told_above_db=(3.0,)).told(-5.0, 3.0) == -2.0
    assert spec(told_snr_db=10.0).told(-5.0, 0.0) == 10.0
    with pytest.raises(ValueError, match=r"^told_snr_db: give it or told_above_db, not both$"):
        spec(told_snr_db=10.0, told_above_db=(3.0,))
    with pytest.raises(ValueError, match=r"^told_snr_db: 61 is outside -30\.\.60 dB$"):
        spec(told_snr_db=61.0)
    with pytest.raises(ValueError, match=r"^snr_db \+ told_above_db: 65 is outside -30\.\.60 dB$"):
        spec(told_above_db=(0.0, 55.0))
    for values in ((), (1.0, 1.0)):
        with pytest.raises(ValueError, match=r"^told_above_db: expected 1 to 100 different values, got "):
            spec(told_above_db=values)


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of IMAGES."""
    monkeypatch.chdir(tmp_path)
    for image in IMAGES.images:
        write_image(image.path, GREY)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine whose link knows two methods and has nobody at the other end."""
    async with Star(Addresses(NOWHERE, NOWHERE, (NOWHERE,))) as link:
        decoder = Client("decoder", NOWHERE)
        for method in ("first", "second"):
            served = pb.ServedMethod(
                name=method,
                method="first",
                checkpoint_digest=f"digest of {method}",
                transmitter_digest=f"digest of {method}",
                rho=0.25,
                label=method.capitalize(),
                family="analog",
                send_options=convert.options_to_wire({"soft": 0.5}),
                receive_options=convert.options_to_wire({"K": 3}),
                studies=STUDIES if method == "second" else [],
            )
            link.table.routes[method] = Route(served, served, decoder)
        engine = Engine(link, Scorer(None), 1)
        yield engine
        engine.close()
        await decoder.close()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


def row(image: str, method: str, snr_db: float, draw: int, **options: int) -> Row:
    return factories.row(
        dataset="set",
        image=image,
        image_digest=pixel_digest(GREY),
        method=method,
        checkpoint=f"digest of {method}",
        snr_db=snr_db,
        draw=draw,
        options=ChosenOptions(options),
        seed=derive_seed(7, image, snr_db, draw),
    )


def sweep(engine: Engine, asked: SweepSpec, store: Store, dataset: Dataset = IMAGES) -> Sweep:
    resolved = asked.resolved(engine.link.table)
    points = all_points(resolved, dataset.images, engine.link.table.routes)
    return Sweep(engine, dataset, Plan(resolved, points, check_images(dataset.images), engine.link.table.routes), store)


POINTS = list(itertools.product(("set/a", "set/b", "set/c"), ("first", "second"), (-5.0, 10.0), (0, 1)))


def test_a_sweep_is_every_combination_once(engine: Engine, store: Store) -> None:
    assert sweep(engine, spec(), store).total == len(POINTS) == 24


async def test_a_sweep_resumes_after_the_rows_that_are_there(engine: Engine, store: Store) -> None:
    for point in POINTS[:5]:
        store.add(row(*point))
    progress = sweep(engine, spec(), store).run()
    first = await anext(progress)
    await progress.aclose()
    assert (first.done, first.total) == (5, 24)
    assert "5 of 24" in first.message


def test_draws_follow_each_other_and_all_but_the_first_find_their_frame(engine: Engine, store: Store) -> None:
    """A frame is of all but the draw; if the first draw is done, the second has none."""
    points = sweep(engine, spec(draws=3, told_above_db=(0.0, 1.0)), store).plan.points
    assert [point.draw for point in points] == [0, 1, 2] * 24
    assert [point.draw for point in repeated(points)] == [1, 2] * 24
    assert [point.draw for point in repeated([point for point in points if point.draw])] == [2] * 24
    assert repeated([point for point in points if not point.draw]) == []


async def test_rows_of_other_pixels_do_not_count(engine: Engine, store: Store) -> None:
    """The same name and data set, but another picture in the file: its 8 rows are sent again."""
    for point in POINTS:
        store.add(row(*point))
    write_image(IMAGES.images[0].path, GREY + 1)
    found = sweep(engine, spec(), store)
    assert (found.total, found.left) == (24, 8)


def test_one_sweep_tells_its_transmitters_several_amounts(engine: Engine, store: Store) -> None:
    """3 images, 2 methods, 2 SNRs, 2 draws, told 0, 0.5 and 6 dB too much; the truth is there already."""
    for point in POINTS:
        store.add(row(*point))
    found = sweep(engine, spec(told_above_db=(0.0, 0.5, 6.0)), store)
    assert (found.total, found.left) == (72, 48)
    told = {(point.snr_db, point.job(found.spec).told_snr_db) for point in found.plan.points}
    assert told == {(-5.0, -5.0), (-5.0, -4.5), (-5.0, 1.0), (10.0, 10.0), (10.0, 10.5), (10.0, 16.0)}


def test_air_is_a_part_of_what_tells_transmissions_apart(engine: Engine, store: Store) -> None:
    """3 images, 2 methods, 2 SNRs, 2 draws over three kinds of air: of awgn all is there, of the others a draw."""
    for point in POINTS:
        store.add(row(*point))
    (pilots,) = airs_of(["rayleigh"])
    genie = AirSpec("rayleigh", grid=Grid("block"), csi="perfect")
    asked = spec(airs=(AWGN, pilots, genie))
    found = sweep(engine, asked, store)
    assert (found.total, found.left) == (72, 48)
    for air in (pilots, genie):
        for image, method, snr_db, _ in POINTS[::2]:
            store.add(replace(row(image, method, snr_db, 0), **air_fields(air)))
    again = sweep(engine, asked, store)
    assert (again.total, again.left) == (72, 24)
    seeds = {(point.image.id, point.snr_db, point.draw, point.job(asked).seed) for point in again.plan.points}
    assert len(seeds) == 3 * 2 * 2  # methods and airs meet the same
    kinds = {str(point.kind) for point in again.plan.points}
    airs = ("", " over rayleigh", " over rayleigh:csi=perfect")
    assert kinds == {f"{method}{air}" for method in ("first", "second") for air in airs}


def test_a_refused_sweep_leaves_no_folder_and_no_database(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.sqlite"
    with Store(path, sweep=True) as store, pytest.raises(RouteError):
        sweep(engine, spec(methods=("first", "third")), store)
    assert not path.parent.exists()


async def test_a_finished_sweep_sends_nothing(engine: Engine, store: Store) -> None:
    for point in POINTS:
        store.add(row(*point))
    steps = [progress async for progress in sweep(engine, spec(), store).run()]
    assert [(step.done, step.total) for step in steps] == [(24, 24)]


@pytest.mark.parametrize("changes", [{"snr_db": (-5.0, 11.0)}, {"draws": 3}, {"airs": (AirSpec("noiseless"),)}])
async def test_rows_of_another_sweep_do_not_count(engine: Engine, store: Store, changes: dict[str, Any]) -> None:
    """Of the 24 rows, half are at 10 dB; a third draw adds 12; the other channel shares none."""
    for point in POINTS:
        store.add(row(*point))
    changed = sweep(engine, spec(**changes), store)
    expected = {"snr_db": (12, 24), "draws": (24, 36), "airs": (0, 24)}[next(iter(changes))]
    assert changed.total == expected[1]
    if expected[0]:
        progress = changed.run()
        assert (await anext(progress)).done == expected[0]
        await progress.aclose()


def test_an_unknown_method_is_refused_with_those_that_are_served(engine: Engine, store: Store) -> None:
    with pytest.raises(RouteError, match=r"'third' is not served by this link \(served: first, second\)"):
        sweep(engine, spec(methods=("first", "third")), store)


def test_a_folder_with_another_sweep_is_refused(engine: Engine, store: Store) -> None:
    sweep(engine, spec(), store)
    with pytest.raises(SweepError, match=r"^seed: this folder holds a sweep with seed '?7'?, not 8"):
        sweep(engine, spec(seed=8), store)
    assert store.settings() == {"dataset": "set", "seed": 7}
    with pytest.raises(SweepError, match=r"^dataset: this folder holds a sweep with dataset 'set', not 'other'"):
        sweep(engine, spec(), store, Dataset("other", IMAGES.images))
    sweep(engine, spec(draws=5, snr_db=(3.0,)), store)  # more of the same sweep is fine


def test_studies_come_beside_the_sweep_and_nothing_twice(engine: Engine, store: Store) -> None:
    """K = 1 and 2: 2 SNRs x 3 images each. K = 3 and no option are the defaults: 3 images at 0 dB, 2 at 6 dB."""
    assert sweep(engine, spec(studies=True), store).total == 24 + 2 * 2 * 3 + 3 + 2
    assert sweep(engine, spec(studies=True, methods=("first",)), store).total == 12


async def test_rows_of_a_study_are_told_by_their_options(engine: Engine, store: Store) -> None:
    for point in POINTS:
        store.add(row(*point))
    store.add(row("set/a", "second", 0.0, 0, K=1))
    store.add(row("set/a", "second", 0.0, 0))
    store.add(row("set/a", "second", 6.0, 0, K=1))  # not in the study
    progress = sweep(engine, spec(studies=True), store).run()
    assert (await anext(progress)).done == 26
    await progress.aclose()


def test_options_at_their_defaults_are_none(engine: Engine, store: Store) -> None:
    route = engine.link.table.find("first")
    assert route.chosen({}) == {}
    assert route.chosen({"K": 3, "soft": 0.5}) == {}
    assert list(route.chosen({"soft": 1, "K": 4}).items()) == [("K", 4), ("soft", 1)]
    assert route.chosen({"K": 3, "soft": 0.25}) == {"soft": 0.25}
    assert route.chosen({"K": True}) == {"K": True}


def test_each_half_gets_its_own_options_and_an_unknown_one_is_refused(engine: Engine) -> None:
    route = engine.link.table.find("first")
    assert route.split({"soft": 1.0, "K": 4}) == ({"soft": 1.0}, {"K": 4})
    with pytest.raises(ValueError, match=r"^options: 'first' has no option 'L' \(known: K, soft\)$"):
        route.split({"L": 1})
    with pytest.raises(ValueError, match=r"^options: none of the methods has an option 'L' \(known: K, soft\)$"):
        all_points(spec(options={"L": 1}), IMAGES.images, engine.link.table.routes)


def test_a_sweep_that_is_too_large_is_refused_before_it_is_listed(engine: Engine) -> None:
    images = [ImageRef(f"set/{number}", Path()) for number in range(1000)]
    with pytest.raises(ValueError, match=r"^sweep: 4000000 transmissions, the limit is 200000"):
        all_points(spec(draws=1000), images, engine.link.table.routes)


def test_the_methods_of_a_sweep_are_on_record(engine: Engine, store: Store) -> None:
    sweep(engine, spec(), store)
    first, second = store.methods()
    assert (first.name, second.name) == ("first", "second")
    assert second.method == "first"
    assert second.checkpoint == second.transmitter_checkpoint == "digest of second"
    assert second.options == {"K": 3, "soft": 0.5}
    assert (second.label, second.family) == ("Second", "analog")


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(24, 6, [2, 6, 10, 14, 18, 22]), (5, 1, [2]), (3, 3, [0, 1, 2]), (3, 4, [0, 1, 2]), (3, 0, [0, 1, 2])],
)
def test_some_images_are_spread_evenly(total: int, count: int, expected: list[int]) -> None:
    images = [ImageRef(str(number), Path()) for number in range(total)]
    assert [int(image.id) for image in evenly_spread(images, count)] == expected


def test_pictures_are_of_one_image_at_three_snrs() -> None:
    assert shown_image(IMAGES.images).id == "set/c"
    assert spec(snr_db=(20.0, -5.0, 0.0, 5.0, 10.0)).shown_snr_db == (-5.0, 5.0, 20.0)
    assert spec(snr_db=(3.0,)).shown_snr_db == (3.0,)
