"""A sweep that fails or is stopped has kept every transmission that was finished."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import factories
import numpy as np
import pytest

from jscc.data import Dataset, ImageRef, check_images
from jscc.images import write_image
from jscc.options import ChosenOptions
from jscc.quality.scores import Scorer, Scores
from jscc.wire.client import Client
from jscc.wire.errors import LinkError
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.frames import FrameMemory
from services.orchestrator.link.job import Job
from services.orchestrator.link.routes import Route
from services.orchestrator.link.star import Delivery, Star
from services.orchestrator.link.transmission import Engine, Transmission
from services.orchestrator.link.waiting import Step
from services.orchestrator.results.store import Store
from services.orchestrator.sweep.plan import Plan, all_points
from services.orchestrator.sweep.recovery import SweepError
from services.orchestrator.sweep.run import Sweep
from services.orchestrator.sweep.spec import SweepSpec

NOWHERE = "127.0.0.1:1"
GREY = np.full((2, 3, 3), 128, dtype=np.uint8)
GOOD, BAD = 10, 10
SENT = 1 + GOOD + BAD
"""The first transmission is sent alone; the others together, so that one step of the sweep finds all of them ended."""


class Held(Engine):
    """An engine without services: transmissions end when the test lets them, those of the last draws in an error."""

    def __init__(self, link: Star) -> None:
        super().__init__(link, Scorer(None), 1)
        self.release, self.all_started = asyncio.Event(), asyncio.Event()
        self.lets_go = False
        self.under_way: set[asyncio.Task[Any]] = set()

    async def transmit(
        self, job: Job, source: Path | bytes, step: Step | None = None, frames: FrameMemory | None = None
    ) -> Transmission:
        if job.draw:
            self.under_way.add(cast("asyncio.Task[Any]", asyncio.current_task()))
            if len(self.under_way) == GOOD + BAD:
                self.all_started.set()
                if self.lets_go:
                    self.release.set()
            await self.release.wait()
        if job.draw > GOOD:
            raise LinkError("decoder", NOWHERE, "INVALID_ARGUMENT", "refused")
        digest, hop = f"digest of {job.method}", factories.hop("decoder")
        ledger = pb.Ledger(channel_uses=100, header_uses=60, header_bits=8)
        delivery = Delivery(GREY, job.method, ChosenOptions(), digest, digest, ledger, "", "00", (hop,))
        return Transmission(job, GREY, delivery, Scores(30.0, None, None, None), "2025-01-01T00:00:00+00:00", 1, 1, 10)


@pytest.fixture
async def engine() -> AsyncIterator[Held]:
    async with Star(Addresses(NOWHERE, NOWHERE, (NOWHERE,))) as link:
        decoder, digest = Client("decoder", NOWHERE), "digest of first"
        served = pb.ServedMethod(
            name="first", method="first", checkpoint_digest=digest, transmitter_digest=digest, family="analog"
        )
        link.table.routes["first"] = Route(served, served, decoder)
        engine = Held(link)
        yield engine
        engine.close()
        await decoder.close()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "results.sqlite", sweep=True) as opened:
        yield opened


def sweep(engine: Engine, store: Store, tmp_path: Path) -> Sweep:
    path = tmp_path / "a.png"
    write_image(path, GREY)
    dataset = Dataset("set", (ImageRef("set/a", path),))
    spec = SweepSpec(methods=("first",), snr_db=(0.0,), draws=SENT, concurrency=GOOD + BAD)
    routes = engine.link.table.routes
    plan = Plan(spec, all_points(spec, dataset.images, routes), check_images(dataset.images), routes)
    return Sweep(engine, dataset, plan, store)


def kept(store: Store) -> list[int]:
    return sorted(row.draw for row in store.rows())


async def test_a_failure_loses_no_other_transmission_of_its_step(engine: Held, store: Store, tmp_path: Path) -> None:
    engine.lets_go = True
    steps = sweep(engine, store, tmp_path).run()
    while (await anext(steps)).estimate == ():
        pass
    with pytest.raises(SweepError, match="refused"):
        await anext(steps)
    assert kept(store) == list(range(1 + GOOD))


async def test_what_ends_while_nobody_looks_is_kept_when_the_sweep_is_stopped(
    engine: Held, store: Store, tmp_path: Path
) -> None:
    steps = sweep(engine, store, tmp_path).run()
    while not engine.all_started.is_set():
        await anext(steps)
    engine.release.set()
    await asyncio.wait(engine.under_way)
    await steps.aclose()
    assert kept(store) == list(range(1 + GOOD))
