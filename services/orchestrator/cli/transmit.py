"""`jscc-link send` and `jscc-link bench`: single images through the link or through an orchestrator's API."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.orchestrator.cli import output
from services.orchestrator.link.job import DEFAULT_TIMEOUT_S, Job
from services.orchestrator.link.waiting import Say, patiently
from services.orchestrator.results.rows import Row

if TYPE_CHECKING:
    from jscc.images import Pixels
    from services.orchestrator.link.star import Addresses

SEND_TIMEOUT_S = 3 * DEFAULT_TIMEOUT_S


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
    pixels: "Pixels"


def image_id_of(path: Path) -> str:
    """Return the name under which a sweep over the image's folder sends it, so that both meet the same noise."""
    resolved = path.resolve()
    return f"{resolved.parent.name or 'root'}/{resolved.stem}"


async def send_directly(
    addresses: "Addresses | None", jobs: Sequence[tuple[Path, Job]], say: Say
) -> AsyncIterator[Sent]:
    """Send images through services one after the other, without an orchestrator's API; yields each as it arrives.

    Raises:
        ImageError: a file is no image within the limits.
        RouteError: a method is not served.
        LinkError: a hop failed.
    """
    from services.orchestrator.link.session import open_session  # only now: torch comes with it
    from services.orchestrator.sweep.record import row_of

    async with open_session(addresses, 1, say) as session:
        for path, job in jobs:
            transmission = await patiently(session.engine.transmit(job, path), f"the link to send {path}", say)
            row = row_of(transmission, job.image_id.rpartition("/")[0])
            yield Sent(path, row, transmission.delivery.pixels)


async def send_to(address: str, jobs: Sequence[tuple[Path, Job]]) -> AsyncIterator[Sent]:
    """Send images through an orchestrator's API, one after the other; yields each as it arrives.

    Raises:
        OSError: a file cannot be read.
        LinkError: the orchestrator failed or refused.
    """
    from jscc.images import read_image
    from jscc.wire.client import Client
    from jscc.wire.v1 import orchestrator_pb2 as pb
    from services.orchestrator import messages  # only now: torch comes with it
    from services.orchestrator.link.condition import require_answer
    from services.orchestrator.link.vigil import Vigil

    client = Client("orchestrator", address)
    async with Vigil([client], output.say) as vigil:
        await require_answer(client)
        for path, job in jobs:
            request = messages.send_request(job, path.read_bytes())
            sending = vigil.over(client.call("SendImage", request, pb.SendImageResponse, SEND_TIMEOUT_S))
            answer = await patiently(sending, f"the orchestrator at {address} to send {path}", output.say)
            yield Sent(path, messages.row_of_report(answer.report), read_image(answer.image_png))


async def send_often(
    addresses: "Addresses | None", path: Path, job: Job, counts: tuple[int, int], say: Say
) -> list[Row]:
    """Send an image (warm-up, counted) times, one after the other; return the rows of the counted ones."""
    rows = [sent.row async for sent in send_directly(addresses, [(path, job)] * sum(counts), say)]
    return rows[counts[0] :]
