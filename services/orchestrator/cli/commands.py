"""`jscc-link up` and `jscc-link down`: the link as local processes. Loads neither torch nor gRPC."""

import asyncio
import os
from dataclasses import replace

from jscc.cards import cards, choose, chosen_folder
from services.orchestrator.cli.output import fail, say, show, show_json
from services.orchestrator.link.local import LocalLink, decoder_groups, state_folder


def wanted_decoders(decoders: str) -> tuple[str, ...]:
    """Return what each decoder is to serve, having checked that the services will find their checkpoints.

    Args:
        decoders: methods that get a decoder of their own, see `local.decoder_groups`.

    Raises:
        CheckpointError: the folder of checkpoints holds no card.
        UnknownCheckpointError: a method of `decoders` or of the setting METHODS is not there.
    """
    there = cards(chosen_folder())
    choose(there, os.environ.get("METHODS", ""))
    return decoder_groups(decoders, there)


def bring_up(decoders: tuple[str, ...], wait_s: float) -> None:
    """Start the local link and wait until it serves; what was started and does not come up is ended again.

    Args:
        decoders: what each decoder serves, see `local.decoder_groups`; empty for one decoder, or those of before.
        wait_s: how long the services may take.

    Raises:
        LinkError: a service does not come up.
        ValueError: the link is up with other decoders, or its state is damaged.
    """
    from jscc.wire.errors import LinkError  # only now: gRPC comes with it
    from services.orchestrator.link.serving import until_serving

    local = LocalLink(state_folder(), decoders, say=say)
    started = local.start()
    try:
        asyncio.run(until_serving(local.addresses, wait_s, say, local))
    except BaseException as error:
        local.end(started)
        if isinstance(error, LinkError) and local.processes:
            raise replace(error, details=f"{error.details}; `jscc-link down` ends what still runs") from None
        raise
    for process in local.processes.values():
        say(f"{process.name:8} {process.address}  pid {process.pid}  log {process.log}")
    say(f"started: {', '.join(started)}" if started else "the link was up already")


def nothing_is_up(as_json: bool) -> bool:
    """Return whether no local link was started, and say so if it is; as_json for a program."""
    if LocalLink(state_folder()).processes:
        return False
    if as_json:
        show_json({"serves": False, "services": [], "methods": [], "default_method": None, "without_route": {}})
    fail("no link is up; `jscc-link up` starts one")
    return True


def take_down() -> None:
    """End the local link, and say what ran.

    Raises:
        ValueError: the link's state is damaged.
    """
    local = LocalLink(state_folder(), say=say)
    recorded = list(local.processes)
    ran = local.stop()
    ended = ", ".join(name for name in recorded if name not in ran)
    before = f" ({ended}: had ended before)" if ended else ""
    stopped = f"stopped {len(ran)} service{'' if len(ran) == 1 else 's'}"
    show(f"{stopped if ran else 'no link is up'}{before}")
