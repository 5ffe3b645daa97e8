"""What the commands of `jscc-link` do, apart from reading their arguments."""

from collections.abc import Callable

from rich.console import Console

from services.orchestrator.cli import terminal
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.session import wait_for_start
from services.orchestrator.link.star import Addresses, Link

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
