"""`jscc-link send`: single images through the link or through an orchestrator's API."""

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jscc.images import check_writable, read_image, write_image
from services.orchestrator.cli import output
from services.orchestrator.cli.reproduce import difference
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.job import DEFAULT_TIMEOUT_S, Job
from services.orchestrator.link.waiting import Say, Step, patiently
from services.orchestrator.results.rows import Row

if TYPE_CHECKING:
    from jscc.images import Pixels

SEND_TIMEOUT_S = 3 * DEFAULT_TIMEOUT_S


@dataclass(frozen=True)
class Answer:
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


def jobs_of(
    images: Sequence[Path], asked: Mapping[str, Any], row: tuple[Path, int] | None
) -> tuple[list[tuple[Path, Job]], Row | None]:
    """Return what is to be sent, every image of it read once, and the row that is sent once more.

    Args:
        images: files, or folders whose images are all taken.
        asked: fields of the jobs but the image's.
        row: folder of a sweep and number of a row, in place of images.

    Raises:
        ValueError: a value is out of its range, or images cannot be read; lists them.
    """
    from jscc.data import ImageRef, check_images, open_dataset
    from services.orchestrator.cli.reproduce import job_of_row

    if row is not None:
        path, job, kept = job_of_row(*row)
        return [(path, job)], kept
    refs: list[ImageRef] = []
    for path in images:
        found = open_dataset(str(path.resolve())).images if path.is_dir() else (ImageRef(image_id_of(path), path),)
        refs += found
    if len(refs) == 1:
        read_image(refs[0].path)  # one image is named by its own sentence
    else:
        check_images(refs)
    return [(ref.path, Job(image_id=ref.id, **asked)) for ref in refs], None


def targets_of(jobs: Sequence[tuple[Path, Job]], output: Path | None) -> list[Path | None]:
    """Return where the received image of each job goes, checked before anything is sent.

    Args:
        jobs: what is sent.
        output: a file for one image, a folder for several; None to keep none.

    Raises:
        ImageError: a place cannot be written.
    """
    if output is None:
        return [None] * len(jobs)
    if len(jobs) == 1:
        check_writable(output)
        return [output]
    if output.suffix:
        raise ValueError(f"-o {output}: {len(jobs)} images need a folder, a name without a suffix")
    output.mkdir(parents=True, exist_ok=True)
    targets = [output / f"{path.stem}.png" for path, _ in jobs]
    for target in targets:
        check_writable(target)
    return [*targets]


async def show(answers: AsyncIterator[Answer], targets: Sequence[Path | None], kept: Row | None, as_json: bool) -> bool:
    """Show what arrives, write the images; return whether a row that was sent once more came out the same."""
    documents: list[dict[str, Any]] = []
    take = documents.append if as_json else None
    try:
        return await _show_each(answers, targets, kept, take)
    finally:
        if documents:  # those that arrived before a failure too
            output.show_json(documents)


async def _show_each(
    answers: AsyncIterator[Answer],
    targets: Sequence[Path | None],
    kept: Row | None,
    take: Callable[[dict[str, Any]], None] | None,
) -> bool:
    same, number = True, 0
    async for sent in answers:
        target, number = targets[number], number + 1
        if target is not None:
            write_image(target, sent.pixels)
        if take is not None:
            take(as_document(sent.row) | {"path": str(sent.path), "output": target and str(target)})
        else:
            _show_one(sent, target)
        if kept is not None:
            differs = difference(kept, sent.row)
            same = not differs
            output.say(f"differs from the row: {differs}" if differs else "the same air and quality as in the row")
    return same


def _show_one(sent: Answer, target: Path | None) -> None:
    from services.orchestrator.cli import terminal

    output.console.print(terminal.quality_table(sent.row, sent.pixels.shape[:2]), terminal.hop_table(sent.row))
    if target is not None:
        output.show(f"wrote {target}")


def as_document(row: Row) -> dict[str, Any]:
    """Return a row for a program, with options as objects and times in nanoseconds."""
    return dataclasses.asdict(row) | {"channel_options": dict(row.channel_options), "options": dict(row.options)}


async def send_directly(
    addresses: Addresses | None, jobs: Sequence[tuple[Path, Job]], say: Say, wait_s: float | None = None
) -> AsyncGenerator[Answer]:
    """Send images through services one after the other, without an orchestrator's API; yields each as it arrives.

    Args:
        addresses: of services that run elsewhere; None for local ones.
        jobs: images, and what is asked of the link.
        say: called with every line that a person should know; a wait names the service that it is for.
        wait_s: how long the services may take until they serve, see `open_session`.

    Raises:
        ImageError: a file is no image within the limits.
        RouteError: a method is not served.
        LinkError: a hop failed.
    """
    from services.orchestrator.link.session import open_session  # only now: torch comes with it
    from services.orchestrator.sweep.record import row_of

    async with open_session(addresses, 1, say, wait_s) as session:
        for path, job in jobs:
            step = Step()
            work = session.engine.transmit(job, path, step)
            transmission = await patiently(work, partial(_what, step, path), say)
            row = row_of(transmission, job.image_id.rpartition("/")[0])
            yield Answer(path, row, transmission.delivery.pixels)


def _what(step: Step, path: Path) -> str:
    return f"{step.what} {path}"


async def send_to(address: str, jobs: Sequence[tuple[Path, Job]]) -> AsyncIterator[Answer]:
    """Send images through an orchestrator's API, one after the other; yields each as it arrives.

    Raises:
        OSError: a file cannot be read.
        LinkError: the orchestrator failed or refused.
    """
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
            yield Answer(path, messages.row_of_report(answer.report), read_image(answer.image_png))
