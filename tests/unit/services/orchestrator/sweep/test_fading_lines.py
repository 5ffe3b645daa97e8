"""Lines over fading: at the gains that transmissions meet, where theory has them, and each draw once."""

import asyncio
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jscc import channels
from jscc.air import AWGN, AirSpec
from jscc.baselines import fading, ideal, rate_quality
from jscc.baselines.curves import CURVES
from jscc.baselines.outlook import ergodic_bits, rayleigh
from jscc.data import Dataset, ImageRef
from jscc.draws import Draws
from jscc.grid import Grid
from jscc.images import Pixels, write_image
from jscc.options import ChosenOptions
from jscc.quality.scores import Scorer, psnr_db
from jscc.signals import noise_generator
from services.orchestrator.link.job import Job
from services.orchestrator.results.rows import Reference
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.fading_lines import MOST_SNR_DB, Fading, LineSpec, fadings_of, power_gains
from services.orchestrator.sweep.references import ReferenceRun, ReferenceSpec

STILL = Fading("rayleigh", ChosenOptions())
FAST = Fading("rayleigh", ChosenOptions({"coherence": 1}))
BLOCKS = Fading("rayleigh", ChosenOptions({"coherence": 128}))
SNR_DB, SEED = 10.0, 3
HEIGHT, WIDTH = 64, 96
USES = HEIGHT * WIDTH * 3 // 4


def picture() -> Pixels:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(rows / 9 + channel) + np.cos(columns / 7) for channel in range(3)]
    return (127.5 + 50 * np.stack(waves, axis=2)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    write_image(tmp_path / "0.png", picture())
    return Dataset("set", (ImageRef("set/0", tmp_path / "0.png"),))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


def run_of(dataset: Dataset, store: Store, **changes: Any) -> ReferenceRun:
    told = tuple((snr_db, 0.0) for snr_db in changes.pop("snr_db", (SNR_DB,)))
    known = {"codecs": ("jpeg",), "fadings": (STILL,), "rhos": (0.25,), "told": told, "draws": 2, "seed": SEED}
    lines = LineSpec(**{**known, **changes})
    spec = ReferenceSpec((), (0.25,), (SNR_DB,), (), (), False, lines)
    return ReferenceRun(dataset, {"set/0": "pixels"}, spec, store, Scorer(None))


def computed(dataset: Dataset, store: Store, **changes: Any) -> list[int]:
    async def collect() -> list[int]:
        return [done async for done in run_of(dataset, store, **changes).run()]

    return asyncio.run(collect())


def by_line(store: Store) -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = defaultdict(list)
    for item in store.references():
        found[item.curve.removeprefix("jpeg_")].append(item)
    return found


def curve_of_picture() -> rate_quality.Curve:
    return rate_quality.measure(ideal.CodedImage(picture(), "jpeg"), ideal.budget_bits(USES, MOST_SNR_DB))


@pytest.mark.parametrize("fade", [STILL, BLOCKS, FAST, Fading("rayleigh", ChosenOptions({"k_factor_db": 3.0}))])
@pytest.mark.parametrize("uses", [600, 4608])
def test_the_gains_are_those_that_a_transmission_meets(fade: Fading, uses: int) -> None:
    """As the channel applies them to a transmission of the same image, SNR and draw, of few symbols or many."""
    job = Job("set/0", "any", SNR_DB, SNR_DB, AirSpec(*fade), root_seed=SEED, draw=4)
    channel = channels.make(fade.channel, torch.tensor([SNR_DB]), fade.options)
    drawn = channel.draw(torch.Size((1, uses)), Draws(noise_generator(job.seed)))
    _, truth = channel.apply(torch.zeros(1, uses), drawn)
    assert truth.gains is not None
    met = truth.gains[0, :: fade.coherence or uses].abs().square().numpy()
    assert power_gains(fade, SNR_DB, 4608, job.seed)[: len(met)] == pytest.approx(met, rel=1e-5)


def test_lines_are_as_often_lost_as_planned(dataset: Dataset, store: Store) -> None:
    """Of 400 independent draws, within 4 deviations: a false alarm in 16 000. What arrives is what was planned."""
    computed(dataset, store, draws=400)
    curve, lines = curve_of_picture(), by_line(store)
    single = fading.single_rate(curve, USES, rayleigh(SNR_DB))
    two = fading.two_layer(curve, USES, rayleigh(SNR_DB))
    for name, plan, levels_db in (
        ("single_rate", single, {single.file_db}),
        ("two_layer", two, set(two.layers_db)),
    ):
        lost = np.mean([not item.delivered for item in lines[name]])
        assert lost == pytest.approx(plan.outage, abs=4 * math.sqrt(plan.outage * (1 - plan.outage) / 400)), name
        nothing_db = psnr_db(picture(), ideal.mean_colour(picture()))
        assert {item.psnr_db for item in lines[name] if not item.delivered} == {nothing_db}
        assert {item.psnr_db for item in lines[name] if item.delivered} <= levels_db


def test_no_draw_is_better_than_with_feedback(dataset: Dataset, store: Store) -> None:
    """A rate that follows the gains is no less than any that arrives; layers together carry no more than the air."""
    computed(dataset, store, draws=100)
    lines = by_line(store)
    assert {name: len(items) for name, items in lines.items()} == {"single_rate": 100, "two_layer": 100, "csit": 100}
    best = {item.draw: item.psnr_db or 0 for item in lines["csit"]}
    for item in (*lines["single_rate"], *lines["two_layer"]):
        assert (item.psnr_db or 0) <= best[item.draw] + 1e-9


def test_over_fast_fading_there_is_the_ergodic_line_once_and_the_others_are_near_it(
    dataset: Dataset, store: Store
) -> None:
    """What 2304 independent gains carry differs from its expectation by 4 deviations of a mean at most."""
    computed(dataset, store, fadings=(FAST,))
    lines = by_line(store)
    assert {name: len(items) for name, items in lines.items()} == {"ergodic": 1, "single_rate": 2, "csit": 2}
    (ergodic,) = lines["ergodic"]
    assert ergodic.bits == int(ergodic_bits(USES, SNR_DB))
    assert ergodic.psnr_db == pytest.approx(float(curve_of_picture().psnr_db(ergodic_bits(USES, SNR_DB))))
    deviation_bits = USES * float(np.std(rayleigh(SNR_DB).information_bits)) / math.sqrt(USES / 2)
    for item in lines["csit"]:
        assert item.bits == pytest.approx(ergodic.bits, abs=4 * deviation_bits)


def test_a_line_is_planned_for_what_is_told_and_realised_with_what_there_is(dataset: Dataset, store: Store) -> None:
    """Told 10 dB at 0 dB: the file for 10 dB, lost where the air of 0 dB does not carry it. Feedback knows."""
    computed(dataset, store, told=((0.0, 10.0), (0.0, 0.0)), draws=50)
    plan = fading.single_rate(curve_of_picture(), USES, rayleigh(10.0))
    lines = by_line(store)
    bold = [item for item in lines["single_rate"] if item.told_above_db == 10.0]
    assert {item.told_above_db for item in lines["csit"]} == {0.0}
    assert {item.told_snr_db for item in bold} == {10.0}
    for item in bold:
        seed = Job("set/0", "any", 0.0, 0.0, root_seed=SEED, draw=item.draw).seed
        carried = 0.5 * math.log2(1 + float(power_gains(STILL, 0.0, USES, seed)[0]))
        assert item.delivered == (carried >= plan.rate_bits)
        assert item.bits == int(USES * plan.rate_bits)


def test_more_draws_and_another_channel_are_added_to_what_is_there(dataset: Dataset, store: Store) -> None:
    """One image: three lines of each draw; blocks have no two layers."""
    assert computed(dataset, store)[-1] == 3 * 2
    before = store.references()
    more = run_of(dataset, store, draws=3, fadings=(STILL, BLOCKS))
    assert (more.total, more.left) == ((3 + 2) * 3, 3 + 2 * 3)
    (line,) = more.lines()
    assert (line.what, line.pieces) == ("lines over fading jpeg", 9)
    assert line.left_s > 0
    computed(dataset, store, draws=3, fadings=(STILL, BLOCKS))
    assert set(before) < set(store.references())
    assert run_of(dataset, store, draws=3, fadings=(STILL, BLOCKS)).lines() == ()


def test_lines_stand_beside_references_of_white_noise(dataset: Dataset, store: Store) -> None:
    lines = LineSpec(("jpeg",), (STILL,), (0.25,), ((SNR_DB, 0.0),), 2, SEED)
    spec = ReferenceSpec(("jpeg",), (0.25,), (SNR_DB,), (), (), True, lines)
    run = ReferenceRun(dataset, {"set/0": "pixels"}, spec, store, Scorer(None))
    assert (run.total, [line.what for line in run.lines()]) == (8, ["reference jpeg", "lines over fading jpeg"])

    async def collect() -> int:
        return max([done async for done in run.run()])

    assert asyncio.run(collect()) == 8
    found = store.references()
    assert {item.curve for item in found if item.channel == "awgn"} == set(CURVES["jpeg"])
    assert {item.ssim is None for item in found if item.channel == "rayleigh"} == {True}
    assert ReferenceRun(dataset, {"set/0": "pixels"}, spec, store, Scorer(None)).left == 0


def test_lines_need_no_pilots_and_fading_of_some_kinds_has_none_and_says_so(dataset: Dataset, store: Store) -> None:
    airs = [AirSpec("rayleigh", grid=Grid("block", pilots=pilots), csi="pilots") for pilots in (4, 32)]
    assert fadings_of([AWGN, *airs, AirSpec("noiseless")]) == (STILL,)
    moving = Fading("rayleigh", ChosenOptions({"doppler": 0.01}))
    straight = Fading("rayleigh", ChosenOptions({"coherence": 8, "k_factor_db": 3.0}))
    run = run_of(dataset, store, fadings=(moving, straight))
    assert run.total == 0
    assert run.left_out == (
        "lines over rayleigh:doppler=0.01: known for rayleigh with blocks of one gain",
        "lines over rayleigh:coherence=8,k_factor_db=3.0: of k_factor_db known for one gain per image",
    )
    assert run_of(dataset, store, codecs=(), fadings=(moving,)).left_out == ()


def test_a_line_of_sight_makes_outages_rare(dataset: Dataset, store: Store) -> None:
    """With K = 30 dB a gain is 1 within a few percent: the rate is nearly that of white noise, and never 1 dB off."""
    computed(dataset, store, fadings=(Fading("rayleigh", ChosenOptions({"k_factor_db": 30.0})),), draws=20)
    white_db = float(curve_of_picture().psnr_db(USES * 0.5 * math.log2(1 + 10 ** (SNR_DB / 10))))
    for item in by_line(store)["csit"]:
        assert item.psnr_db == pytest.approx(white_db, abs=1.0)
