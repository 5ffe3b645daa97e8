"""`jscc-link methods`: what can be sent, of a link that is up or else of the checkpoints."""

import ast
import asyncio
import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jscc
from jscc.cards import cards, chosen_folder
from jscc.rates import of_highest_rate
from services.orchestrator.cli import output
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.routes import Route
from services.orchestrator.link.serving import GIVEN_WAIT_S, until_serving
from services.orchestrator.link.star import Star
from services.orchestrator.link.waiting import Say


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes:
        name: as in --option name=value.
        default: its value when left out.
        meaning: what it does and its range, as the method's code says; "" where that is not here.
    """

    name: str
    default: bool | int | float | str
    meaning: str

    @property
    def written(self) -> str:
        """The default as a user writes it."""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


@dataclass(frozen=True)
class Listed:
    """One served name.

    Attributes:
        name: what users ask for.
        method: name of the method.
        digest: of the receiver's checkpoint.
        rho: bandwidth ratio for sizes that need no padding.
        parameters: of both halves.
        kodak_psnr_db: mean over the SNRs of the card; None where the card has none.
        options: by name.
        is_default: whether an empty name means it.
    """

    name: str
    method: str
    digest: str
    rho: float
    parameters: int
    kodak_psnr_db: float | None
    options: tuple[Option, ...]
    is_default: bool = False


def list_methods(addresses: Addresses | None, as_json: bool) -> None:
    """Print what a link serves; where none is up and no addresses are given, what the checkpoints would.

    Raises:
        LinkError: the link does not serve.
        RouteError: no receiver understands what the encoder sends.
        CheckpointError: there is no model card.
    """
    from services.orchestrator.cli import link_tables

    if addresses is not None or LocalLink(state_folder()).is_running:
        source, listed = "link", asyncio.run(of_link(addresses, output.say))
    else:
        folder = chosen_folder()
        output.say(f"no link is up; these are the checkpoints in {folder}")
        source, listed = str(folder), of_checkpoints(folder, output.say)
    if as_json:
        output.show_json(to_json(listed, source))
        return
    output.console.print(link_tables.method_table(listed))
    for item in listed:
        for option in item.options:
            output.show(f"{item.name} --option {option.name}={option.written}  {option.meaning}".rstrip())


async def of_link(addresses: Addresses | None, say: Say, wait_s: float = GIVEN_WAIT_S) -> list[Listed]:
    """List what a link serves.

    Args:
        addresses: of services that run elsewhere; None for the local link, which must be up.
        say: called with what is waited for.
        wait_s: how long.

    Raises:
        LinkError: the link does not serve.
        RouteError: no receiver understands what the encoder sends.
        ValueError: the local link is not up.
    """
    local = LocalLink(state_folder()) if addresses is None else None
    where = local.addresses if local else addresses
    assert where is not None
    await until_serving(where, wait_s, say, local)
    async with Star(where) as link:
        await link.discover()
        default = link.table.default()
        return [_of_route(route, name == default) for name, route in sorted(link.table.routes.items())]


def of_checkpoints(folder: Path, say: Say) -> list[Listed]:
    """List the checkpoints of a folder; one that this installation cannot build is left out with a word.

    Raises:
        CheckpointError: there is no model card.
    """
    from jscc.models import UnknownMethodError

    listed = []
    for card in cards(folder):
        try:
            listed.append(_of_card(card))
        except (ModuleNotFoundError, UnknownMethodError, ValueError) as error:
            say(f"{card.name}: not listed: {error}")
    best = min(of_highest_rate(listed), key=lambda item: (-(item.kodak_psnr_db or 0.0), item.name), default=None)
    return [dataclasses.replace(item, is_default=item is best) for item in listed]


def to_json(listed: Iterable[Listed], source: str) -> dict[str, Any]:
    """Return what a program is told: where the list comes from, and the list."""
    return {"source": source, "methods": [dataclasses.asdict(item) for item in listed]}


def meanings(method: str) -> dict[str, str]:
    """Return what the code of a method says of its options, by name; read, not run, since running it takes seconds."""
    folder = Path(jscc.__file__).parent / "models"
    path = folder / f"{method}.py"
    if not method.isidentifier() or not path.is_file():
        return {}
    return _said_by(folder / "_contract.py") | _said_by(path)


def _said_by(path: Path) -> dict[str, str]:
    """Return what a file says of the options in it."""
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options"):
            _, _, attributes = (ast.get_docstring(node) or "").partition("Attributes:\n")
            entries = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", attributes, re.MULTILINE)
            found |= {name: " ".join(text.split()).rstrip(".") for name, text in entries}
    return found


def _options(method: str, defaults: dict[str, Any]) -> tuple[Option, ...]:
    said = meanings(method)
    return tuple(Option(name, value, said.get(name, "")) for name, value in sorted(defaults.items()))


def _of_route(route: Route, is_default: bool) -> Listed:
    receiver = route.receiver
    return Listed(
        name=route.name,
        method=receiver.method,
        digest=receiver.checkpoint_digest,
        rho=route.rho,
        parameters=route.transmitter.parameters + receiver.parameters,
        kodak_psnr_db=receiver.kodak_psnr_db or None,
        options=_options(receiver.method, route.defaults),
        is_default=is_default,
    )


def _of_card(card: Any) -> Listed:
    import torch

    from jscc import models
    from jscc.checkpoints import config_of
    from jscc.serving.host import NOMINAL_SIZE_PX
    from jscc.signals import bandwidth_ratio

    method, config = models.load(card.method), config_of(card)
    send, receive = method.send_options_type(), method.receive_options_type()
    with torch.device("meta"):  # shapes without values: nothing is computed or read
        halves = [method.transmitter_type(config), method.receiver_type(config)]
    return Listed(
        name=card.name,
        method=card.method,
        digest=card.digest,
        rho=bandwidth_ratio(config.layout(*NOMINAL_SIZE_PX, send).channel_uses, *NOMINAL_SIZE_PX),
        parameters=sum(item.numel() for half in halves for item in half.parameters()),
        kodak_psnr_db=card.kodak_psnr_db or None,
        options=_options(card.method, dataclasses.asdict(send) | dataclasses.asdict(receive)),
    )
