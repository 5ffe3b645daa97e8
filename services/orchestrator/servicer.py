"""The orchestrator's API: the same engine as the command line's."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from google.protobuf.message import Message

from jscc.data import check_images, open_offered
from jscc.images import ImageTooLargeError, encode_png
from jscc.wire import codec
from jscc.wire.describe import description
from jscc.wire.errors import TooLargeError
from jscc.wire.log import about
from jscc.wire.service import Service
from jscc.wire.v1 import orchestrator_pb2 as pb
from services.orchestrator import messages
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.serving import clients_of, until_serving
from services.orchestrator.link.star import Star
from services.orchestrator.link.transmission import Engine, load_scorer
from services.orchestrator.link.vigil import Vigil
from services.orchestrator.report.write import write_report
from services.orchestrator.settings import OrchestratorSettings
from services.orchestrator.sweep import whole
from services.orchestrator.sweep.record import row_of

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class OrchestratorServicer:
    """Handlers of the orchestrator service."""

    def __init__(self, settings: OrchestratorSettings) -> None:
        """Answer once `prepare` has opened the link."""
        self._settings = settings
        self._running: set[str] = set()
        self._opened = AsyncExitStack()

    async def prepare(self) -> None:
        """Wait for the services, find out what they serve, load what scoring needs.

        Raises:
            LinkError: a service does not serve within the start timeout.
        """
        settings = self._settings
        decoders = tuple(settings.decoder_address.split(","))
        addresses = Addresses(settings.encoder_address, settings.channel_address, decoders)
        await until_serving(addresses, settings.start_timeout_s, _log.warning)
        link = await self._opened.enter_async_context(Star(addresses))
        vigil = await self._opened.enter_async_context(Vigil(clients_of(addresses), _log.warning))
        await link.discover()
        self._engine = Engine(link, await asyncio.to_thread(load_scorer, _log.warning), settings.concurrency, vigil)
        self._opened.callback(self._engine.close)

    async def finish(self) -> None:
        """Close what `prepare` has opened of the link."""
        await self._opened.aclose()

    async def send_image(self, raw: bytes) -> pb.SendImageResponse:
        """Answer SendImageRequest bytes.

        Raises:
            TooLargeError: the image has too many pixels.
            ValueError: a field is missing or out of its range, or the file is no image.
            LinkError: a hop failed.
        """
        request = codec.decode_plain(pb.SendImageRequest, raw)
        job = messages.job_of(request)
        about(rpc="SendImage", request_id=job.request_id, method=job.method)
        try:
            transmission = await self._engine.transmit(job, request.image_file)
        except ImageTooLargeError as error:
            raise TooLargeError(str(error)) from error
        png = await asyncio.to_thread(encode_png, transmission.delivery.pixels)
        row = row_of(transmission, job.image_id.rpartition("/")[0])
        return pb.SendImageResponse(report=messages.report_of(row), image_png=png)

    async def run_sweep(self, raw: bytes) -> AsyncIterator[Message]:
        """Answer RunSweepRequest bytes with a stream of progress.

        Raises:
            ValueError: a field is out of its range.
            SweepError: the sweep cannot go on; what is done is kept.
        """
        request = codec.decode_plain(pb.RunSweepRequest, raw)
        if not _NAME.fullmatch(request.name):
            raise ValueError(f"name: '{request.name[:100]}' must be 1 to 100 letters, digits, '.', '_' or '-'")
        if request.name in self._running:
            raise ValueError(f"name: the sweep '{request.name}' is running already")
        about(rpc="RunSweep", request_id=request.name)
        self._running.add(request.name)
        try:
            async with aclosing(self._sweep(request)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            self._running.discard(request.name)

    async def _sweep(self, request: pb.RunSweepRequest) -> AsyncGenerator[pb.RunSweepResponse]:
        spec = messages.spec_of(request, self._settings.concurrency, self._settings.start_timeout_s)
        dataset = await asyncio.to_thread(open_offered, request.dataset or "kodak", _offered())
        run = whole.SweepRun(spec, dataset, self._settings.runs / request.name, f"RunSweep {request.name}")
        digests = await asyncio.to_thread(check_images, run.dataset.images)
        checked = await whole.plan(self._engine.link.table, run, digests)
        with whole.open_store(run.folder) as store:
            sweep = await whole.begin(self._engine, run, checked, store)
            if dataset.note:
                yield pb.RunSweepResponse(total=sweep.total, message=dataset.note)
            async with aclosing(sweep.run()) as steps:
                async for progress in steps:
                    yield pb.RunSweepResponse(
                        done=progress.done, total=progress.total, left_s=progress.left_s, message=progress.message
                    )
        summary = await asyncio.to_thread(write_report, run.folder)
        yield pb.RunSweepResponse(done=sweep.total, total=sweep.total, summary_md=summary)

    async def describe(self, raw: bytes) -> pb.OrchestratorServiceDescribeResponse:
        """Say what is served here and behind it."""
        await self._engine.link.discover()
        own = description("orchestrator", self._settings.in_force())
        own.device, own.precision = "cpu", "float32"
        return pb.OrchestratorServiceDescribeResponse(description=own, services=self._engine.link.descriptions)

    def service(self) -> Service:
        """Return the service to run."""
        return Service(
            "jscc.wire.v1.OrchestratorService",
            direct={"SendImage": self.send_image, "Describe": self.describe},
            streams={"RunSweep": self.run_sweep},
            concurrency=self._settings.concurrency,
            prepare=self.prepare,
            finish=self.finish,
        )


def _offered() -> Path | None:
    """Return the folder below which callers may name data sets, if there is one."""
    root = os.environ.get("JSCC_DATA")
    return Path(root) if root else None
