"""What the commands of `jscc-link` do, apart from reading their arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from jscc.images import read_image, write_image
from jscc.wire import convert
from jscc.wire.client import Client
from jscc.wire.v1 import orchestrator_pb2 as pb
from services.orchestrator.cli import terminal
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.send import MAX_NAME, send_image
from services.orchestrator.link.session import open_session, wait_for_start
from services.orchestrator.link.star import DEFAULT_TIMEOUT_S, Addresses, Air, Link

SEND_TIMEOUT_S = 3 * DEFAULT_TIMEOUT_S

Say = Callable[[str], None]


async def bring_up(decoders: tuple[str, ...], say: Say) -> None:
    """Start the local link and wait until it serves.

    Args:
        decoders: what each decoder serves, see `processes.decoder_groups`; empty for one decoder, or those of before.
        say: called with every line that a person should know.

    Raises:
        LinkError: a service does not come up; the others keep running.
        ValueError: the link is up with other decoders.
    """
    local = LocalLink(state_folder(), decoders)
    started = local.start({})
    async with Link(local.addresses) as link:
        await wait_for_start(link, local)
    for process in local.processes.values():
        say(f"{process.name:8} {process.address}  pid {process.pid}  log {process.log}")
    say(f"started: {', '.join(started)}" if started else "the link was up already")


async def show_status(addresses: Addresses | None, console: Console) -> None:
    """Print what serves.

    Raises:
        LinkError: a service does not answer.
        ValueError: no link is up.
    """
    local = LocalLink(state_folder())
    if addresses is None and not local.processes:
        raise ValueError("no link is up; `jscc-link up` starts one")
    dead = [process.name for process in local.processes.values() if not process.is_running]
    if addresses is None and dead:
        raise ValueError(f"{', '.join(dead)}: not running; `jscc-link up` starts it again ({local.last_words()})")
    where = addresses or local.addresses
    async with Link(where) as link:
        await link.wait_until_serving(5.0)
        await link.discover()
        console.print(f"encoder {where.encoder}  channel {where.channel}  decoder {','.join(where.decoders)}")
        console.print(terminal.service_table(link.descriptions))
        learned = terminal.learned_table(link.descriptions)
        if learned.row_count:
            console.print(learned)
        for sentence in link.table.unmatched.values():
            console.print(f"no route: {sentence}", markup=False, highlight=False, soft_wrap=True)


def send_request(
    image: Path, method: str, air: tuple[str, float], options: dict[str, Any], noise: tuple[int, int]
) -> pb.SendImageRequest:
    """Build the request for one image; air is (model, SNR in dB), noise is (root seed, draw)."""
    channel = Air(*air).to_wire()
    return pb.SendImageRequest(
        method=method,
        **channel,
        options=convert.options_to_wire(options),
        seed=noise[0],
        draw=noise[1],
        image_id=image.stem[:MAX_NAME],
        image_file=image.read_bytes(),
    )


async def send_to(address: str, request: pb.SendImageRequest) -> pb.SendImageResponse:
    """Send an image through an orchestrator's API."""
    client = Client("orchestrator", address)
    try:
        return await client.call("SendImage", request, pb.SendImageResponse, SEND_TIMEOUT_S)
    finally:
        await client.close()


async def send_directly(addresses: Addresses | None, request: pb.SendImageRequest, say: Say) -> pb.SendImageResponse:
    """Send an image through services, without an orchestrator's API."""
    async with open_session(addresses, 1, say) as session:
        return await send_image(session.engine, request)


async def send_often(
    addresses: Addresses | None, request: pb.SendImageRequest, counts: tuple[int, int], say: Say
) -> list[pb.TransmissionReport]:
    """Send an image (warm-up, counted) times, one after the other; return the reports of the counted ones."""
    async with open_session(addresses, 1, say) as session:
        answers = [await send_image(session.engine, request) for _ in range(sum(counts))]
    return [answer.report for answer in answers[counts[0] :]]


def save(answer: pb.SendImageResponse, output: Path) -> None:
    """Write the received image in the format that the suffix names."""
    write_image(output, read_image(answer.image_png))
