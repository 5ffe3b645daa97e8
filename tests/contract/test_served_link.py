"""The services of one small checkpoint, served in this process: what a command says of them, sends and foresees."""

import asyncio
import dataclasses
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from jscc.data import open_dataset
from jscc.images import write_image
from jscc.serving.host import Host
from jscc.wire.errors import LinkError
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from services.channel.servicer import ChannelServicer
from services.decoder.servicer import DecoderServicer
from services.encoder.servicer import EncoderServicer
from services.orchestrator.cli.reproduce import difference, job_of_row
from services.orchestrator.cli.transmit import send_directly
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.airs import airs_of
from services.orchestrator.link.job import Job
from services.orchestrator.link.star import Star
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import DATABASE, Store
from services.orchestrator.sweep.preview import Tally, preview_of
from services.orchestrator.sweep.recovery import Recovery, SweepError
from services.orchestrator.sweep.spec import SweepSpec
from services.orchestrator.sweep.whole import SweepRun, run_sweep

TIMEOUT_S = 300.0
RPCS = {"encoder": "Encode", "channel": "Transmit", "decoder": "Decode"}


@dataclass
class Served:
    """Where the services are, and which of them waits before it computes, until it is released."""

    addresses: Addresses
    decoder: Service
    release: dict[str, threading.Event] = field(default_factory=dict)
    computed: Counter[str] = field(default_factory=Counter)


def held(service: Service, rpc: str, release: threading.Event, computed: Counter[str]) -> Service:
    """Return a service that does what it is asked once it is released, and counts it."""
    pipeline = service.compute[rpc]

    def compute(requests: list[Any]) -> list[Any]:
        assert release.wait(TIMEOUT_S)
        computed[rpc] += len(requests)
        return pipeline.compute(requests)

    return dataclasses.replace(service, compute={rpc: dataclasses.replace(pipeline, compute=compute)})


@pytest.fixture
async def served(tiny_checkpoints: Path) -> AsyncIterator[Served]:
    hosts = {half: Host(tiny_checkpoints, half, "", "cpu", "float32") for half in ("transmitter", "receiver")}  # type: ignore[arg-type]
    services = {
        "encoder": EncoderServicer(hosts["transmitter"], {}).service(),
        "channel": ChannelServicer({}).service(),
        "decoder": DecoderServicer(hosts["receiver"], {}).service(),
    }
    release = {hop: threading.Event() for hop in services}
    for event in release.values():
        event.set()
    computed = Counter[str]()
    async with AsyncExitStack() as open_services:
        ports = {}
        for hop, service in services.items():
            slow = held(service, RPCS[hop], release[hop], computed)
            ports[hop] = await open_services.enter_async_context(serving(slow, Binding("127.0.0.1:0", 8, False, 0)))
        encoder, channel, decoder = (f"127.0.0.1:{ports[hop]}" for hop in services)
        yield Served(Addresses(encoder, channel, (decoder,)), services["decoder"], release, computed)


@pytest.fixture
def photos(tmp_path: Path, smooth_images: list[Tensor]) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(smooth_images[:3]):
        write_image(folder / f"photo{number}.png", np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    return folder


class Watcher:
    """Hears everything and shows nothing."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def estimate(self, lines: object) -> None:
        return None

    def advance(self, what: str, done: int, total: int, left_s: float) -> None:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("hop", RPCS)
async def test_a_service_that_takes_long_is_named(
    served: Served, photos: Path, hop: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on once something has been said."""
    monkeypatch.setenv("JSCC_DATA", str(data_folder))
    served.release[hop].clear()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("waiting for"):
            served.release[hop].set()

    path = photos / "photo0.png"
    job = Job("photos/photo0", "", 10.0, 10.0)
    answers = [sent async for sent in send_directly(served.addresses, [(path, job)], say)]
    assert [sent.row.method for sent in answers] == ["deepjscc"]
    (waited,) = [line for line in said if line.startswith("waiting for")]
    address = dict(served.addresses.named)[hop]
    assert waited.startswith(f"waiting for the {hop} at {address} to {RPCS[hop].lower()} {path} (")


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec(**{"methods": (), "snr_db": (0.0, 10.0), "draws": 2, "limit": 2, **changes})


def run_of(photos: Path, folder: Path, references: str = "none", **changes: Any) -> SweepRun:
    return SweepRun(spec(**changes), open_dataset(str(photos)), folder, "sweep", references)


def silent(_line: str) -> None:
    """Nobody listens."""


async def test_a_link_and_its_checkpoints_foresee_the_same(
    served: Served, photos: Path, tmp_path: Path, tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 images x 2 SNRs x 2 draws. JPEG, WebP and two Gaussian sources: 2 images x 2 SNRs x 6 curves."""
    monkeypatch.setenv("CHECKPOINTS", str(tiny_checkpoints))
    monkeypatch.setenv("JSCC_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("METHODS", raising=False)
    run = run_of(photos, tmp_path / "out", "cheap")
    of_link = await preview_of(run, served.addresses, 60, silent)
    of_checkpoints = await preview_of(run, None, 60, silent)
    assert (of_link.source, of_checkpoints.source) == ("link", str(tiny_checkpoints))
    for found in (of_link, of_checkpoints):
        assert found.transmissions == (Tally("deepjscc", 8, 0),)
        assert found.references == Tally("references", 24, 0)
        assert found.of_studies == 0
        assert {found.plan.key(point, "photos") for point in found.plan.points} == {
            of_link.plan.key(point, "photos") for point in of_link.plan.points
        }
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
async def test_what_is_kept_of_a_sweep_is_told_and_left_as_it_is(
    served: Served, photos: Path, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 transmissions and 24 references are done; 12 dB more are 4 transmissions and 12 references more."""
    monkeypatch.setenv("JSCC_DATA", str(data_folder))
    out = tmp_path / "out"
    await run_sweep(run_of(photos, out, "cheap"), served.addresses, Watcher(), 60)
    with Store(out / DATABASE) as store:
        before = (store.rows(), store.references(), store.settings())
    more = await preview_of(run_of(photos, out, "cheap", snr_db=(0.0, 10.0, 12.0)), served.addresses, 60, silent)
    assert more.all_transmissions == Tally("transmissions", 12, 8)
    assert more.references == Tally("references", 36, 24)
    assert (more.all_transmissions.left, more.references.left) == (4, 12)
    with Store(out / DATABASE) as store:
        assert (store.rows(), store.references(), store.settings()) == before
    with pytest.raises(SweepError, match=r"^seed: this folder holds a sweep with seed 0, not 1; use another --out$"):
        await preview_of(run_of(photos, out, seed=1), served.addresses, 60, silent)


@pytest.mark.slow
async def test_a_sweep_over_several_airs_resumes_and_its_rows_are_made_again(
    served: Served, photos: Path, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 images x 2 SNRs x 2 draws over each: the third command has the rows of the others, and adds its own.

    With a third draw in one go every frame is encoded once, and the rows are those that are sent one by one.
    """
    monkeypatch.setenv("JSCC_DATA", str(data_folder))
    asked = airs_of(["awgn,rayleigh:coherence=128,pilots=4,rayleigh:csi=perfect"])
    apart, whole = tmp_path / "apart", tmp_path / "whole"
    for some in (asked[2:], asked[:1], asked):
        await run_sweep(run_of(photos, apart, airs=some), served.addresses, Watcher(), 60)
    served.computed.clear()
    await run_sweep(run_of(photos, whole, airs=asked[::-1], draws=3), served.addresses, Watcher(), 60)
    assert served.computed == {"Encode": 3 * 2 * 2, "Transmit": 3 * 2 * 2 * 3, "Decode": 3 * 2 * 2 * 3}
    with Store(apart / DATABASE) as first, Store(whole / DATABASE) as second:
        rows, others = first.rows(), [row for row in second.rows() if row.draw < 2]
        assert first.settings()["channels"] == [str(air) for air in asked]
    assert [arrived(row) for row in rows] == [arrived(row) for row in others]
    assert Counter(row.air for row in rows) == dict.fromkeys(asked, 8)
    for air, of_air in ((air, [row for row in rows if row.air == air]) for air in asked):
        assert {row.pilot_uses for row in of_air} == {air.grid.pilot_uses(row.channel_uses) for row in of_air}
        assert (air.grid.pilots > 0) == all(row.pilot_uses for row in of_air)
    for number, kept in enumerate(rows, start=1):
        path, job, _ = job_of_row(apart, number)
        async for sent in send_directly(served.addresses, [(path, job)], silent):
            assert difference(kept, sent.row) == ""
            assert sent.row.key == kept.key


def arrived(row: Row) -> tuple[Any, ...]:
    """What tells a transmission, and what it came to."""
    return (row.key, row.noise_digest, row.psnr_db, row.ssim, row.lost, row.channel_uses, row.pilot_uses)


async def test_what_a_sweep_would_refuse_is_refused(served: Served, photos: Path, tmp_path: Path) -> None:
    for changes, words in (
        ({"methods": ("nosuch",)}, "'nosuch' is not served by this link"),
        ({"options": {"nosuch": 1}}, "none of the methods has an option 'nosuch'"),
    ):
        with pytest.raises((LookupError, ValueError), match=words):
            await preview_of(run_of(photos, tmp_path / "out", **changes), served.addresses, 60, silent)
    (photos / "photo1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"(?s)^dataset: 1 of the images cannot be read.*photo1\.png"):
        await preview_of(run_of(photos, tmp_path / "out"), served.addresses, 60, silent)


@pytest.fixture
async def away(served: Served) -> AsyncIterator[Star]:
    """The link, and nothing listens where its decoder should be."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    async with Star(dataclasses.replace(served.addresses, decoders=(address,))) as link:
        yield link


def lost(link: Star) -> LinkError:
    return LinkError("decoder", link.addresses.decoders[0], "UNAVAILABLE", "gone")


async def test_a_sweep_that_has_waited_in_vain_says_which_service_is_away_and_why(away: Star) -> None:
    said, (address,) = list[str](), away.addresses.decoders
    recovery = Recovery(away, 0.5, {}, said.append, silent)
    words = rf"^decoder at {address}: UNAVAILABLE: nothing listens there; waited .* is kept, the same command resumes$"
    with pytest.raises(SweepError, match=words):
        await recovery.recover(lost(away), 0)
    assert said == [f"interrupted: decoder at {address}: UNAVAILABLE: gone; waiting up to 0.5 s"]


async def test_while_a_sweep_waits_it_says_why(away: Star) -> None:
    """The reasons are told and not kept in the record of the run."""
    said, told, heard = list[str](), list[str](), asyncio.Event()

    def tell(line: str) -> None:
        told.append(line)
        heard.set()

    waiting = asyncio.create_task(Recovery(away, 3600, {}, said.append, tell).recover(lost(away), 0))
    await heard.wait()
    waiting.cancel()
    await asyncio.wait({waiting})
    (address,) = away.addresses.decoders
    assert told[0].startswith(f"waiting for the link, up to 3600 s: decoder at {address}: nothing listens there (")
    assert len(said) == 1


async def test_a_sweep_goes_on_when_a_service_is_back_that_was_called_in_vain(away: Star, served: Served) -> None:
    """The connection that has failed pauses before it tries again; the service comes back once it has been missed."""
    (address,) = away.addresses.decoders
    for _ in range(3):
        with pytest.raises(LinkError) as caught:
            await away.discover()
        assert caught.value.is_outage
    said, heard = list[str](), asyncio.Event()
    recovery = Recovery(away, 3600, {}, said.append, lambda _line: heard.set())
    going_on = asyncio.create_task(recovery.recover(lost(away), 0))
    await heard.wait()
    async with serving(served.decoder, Binding(address, 8, False, 0)):
        await going_on
    assert said[-1] == "decoder serves again; going on"
    assert list(away.table.routes) == ["deepjscc"]


async def test_a_sweep_goes_on_when_the_link_serves_what_it_served(served: Served, tiny_checkpoints: Path) -> None:
    said: list[str] = []
    async with Star(served.addresses) as link:
        await link.discover()
        digest = link.table.find("deepjscc").digest
        recovery = Recovery(link, 60, {"deepjscc": digest}, said.append, silent)
        await asyncio.gather(*(recovery.recover(lost(link), 0) for _ in range(3)))
        assert recovery.outages == 1
        assert said[-1] == "decoder serves again; going on"
        other = Recovery(link, 60, {"deepjscc": "another"}, silent, silent)
        with pytest.raises(SweepError, match=rf"^checkpoint: 'deepjscc' was another and is {digest} after"):
            await other.recover(lost(link), 0)
