"""`jscc-link send` and `jscc-link bench`: single images through the link or through an orchestrator's API."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jscc.images import Pixels, read_image
from jscc.wire.client import Client
from jscc.wire.v1 import orchestrator_pb2 as pb
from services.orchestrator import messages
from services.orchestrator.link.job import DEFAULT_TIMEOUT_S, Job
from services.orchestrator.link.session import open_session
from services.orchestrator.link.star import Addresses
from services.orchestrator.results.rows import Row
from services.orchestrator.sweep.record import row_of

SEND_TIMEOUT_S = 3 * DEFAULT_TIMEOUT_S

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sent:
    """One image that crossed the link.

    Attributes:
        path: of the image.
        row: what happened.
        pixels: uint8 [H, W, 3], as received.
    """

    path: Path
    row: Row
    pixels: Pixels


def image_id_of(path: Path) -> str:
    """Return the name under which a sweep over the image's folder sends it, so that both meet the same noise."""
    resolved = path.resolve()
    return f"{resolved.parent.name or 'root'}/{resolved.stem}"


async def send_directly(addresses: Addresses | None, jobs: Sequence[tuple[Path, Job]], say: Say) -> AsyncIterator[Sent]:
    """Send images through services one after the other, without an orchestrator's API; yields each as it arrives.

    Raises:
        ImageError: a file is no image within the limits.
        RouteError: a method is not served.
        LinkError: a hop failed.
    """
    async with open_session(addresses, 1, say) as session:
        for path, job in jobs:
            transmission = await session.engine.transmit(job, path)
            row = row_of(transmission, job.image_id.rpartition("/")[0])
            yield Sent(path, row, transmission.delivery.pixels)


async def send_to(address: str, jobs: Sequence[tuple[Path, Job]]) -> AsyncIterator[Sent]:
    """Send images through an orchestrator's API, one after the other; yields each as it arrives.

    Raises:
        OSError: a file cannot be read.
        LinkError: the orchestrator failed or refused.
    """
    client = Client("orchestrator", address)
    try:
        for path, job in jobs:
            request = messages.send_request(job, path.read_bytes())
            answer = await client.call("SendImage", request, pb.SendImageResponse, SEND_TIMEOUT_S)
            yield Sent(path, messages.row_of_report(answer.report), read_image(answer.image_png))
    finally:
        await client.close()


async def send_often(addresses: Addresses | None, path: Path, job: Job, counts: tuple[int, int], say: Say) -> list[Row]:
    """Send an image (warm-up, counted) times, one after the other; return the rows of the counted ones."""
    rows = [sent.row async for sent in send_directly(addresses, [(path, job)] * sum(counts), say)]
    return rows[counts[0] :]
