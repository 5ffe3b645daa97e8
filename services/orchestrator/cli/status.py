"""`jscc-link status`: what runs, where, and what it serves. Loads gRPC only where something listens."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.orchestrator.cli import output
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.condition import Condition, condition_at
from services.orchestrator.link.local import LocalLink, state_folder
from services.orchestrator.link.process import HOPS, Process

if TYPE_CHECKING:
    from services.orchestrator.link.star import Star

UP = "`jscc-link up` starts it"


@dataclass(frozen=True)
class ServiceStatus:
    """One service of a link.

    Attributes:
        hop: encoder, channel or decoder.
        address: host:port; "" where it was never started.
        condition: how it is.
        process: when it is a local one.
    """

    hop: str
    address: str
    condition: Condition
    process: Process | None = None

    @property
    def serves(self) -> bool:
        """Whether it does what it is there for."""
        return self.condition.state == "serving"

    @property
    def problem(self) -> str:
        """Why it does not, one sentence."""
        name = self.process.name if self.process else self.hop
        return f"{name}{f' at {self.address}' if self.address else ''}: {self.condition.words}"

    def to_json(self) -> dict[str, Any]:
        """Return what a program is told."""
        local = {"pid": self.process.pid, "log": self.process.log} if self.process else {}
        name = self.process.name if self.process else self.hop
        state = {"state": self.condition.state, "problem": None if self.serves else self.condition.words}
        return {"service": self.hop, "name": name, "address": self.address or None, **state, **local}


async def show_status(addresses: Addresses | None, as_json: bool) -> bool:
    """Print how the services of a link are, and what they serve when all do.

    Args:
        addresses: of services that run elsewhere; None for the local link.
        as_json: whether one JSON document is printed instead of tables.

    Returns:
        Whether the link serves.

    Raises:
        ValueError: the state of the local link is damaged.
    """
    services = await (_local() if addresses is None else _given(addresses))
    problems = [service.problem for service in services if not service.serves]
    if problems:
        if as_json:
            output.show_json(_document(services))
        output.fail("; ".join(problems))
        return False
    return await _show_serving(services, as_json)


async def _show_serving(services: list[ServiceStatus], as_json: bool) -> bool:
    from jscc.wire.errors import LinkError
    from services.orchestrator.link.routes import RouteError
    from services.orchestrator.link.star import Star

    problems = []
    async with Star(_addresses(services)) as link:
        try:
            await link.discover()
        except (LinkError, RouteError) as error:
            problems = [str(error)]
        if as_json:
            output.show_json(_document(services, link))
        else:
            _show(services, link)
    for problem in problems:
        output.fail(problem)
    return not problems


async def _local() -> list[ServiceStatus]:
    local = LocalLink(state_folder())
    found = await asyncio.gather(*map(_local_service, local.processes.values()))
    never = Condition("missing", f"was not started; {UP}")
    missing = [ServiceStatus(hop, "", never) for hop in HOPS if found and hop not in {service.hop for service in found}]
    return sorted([*found, *missing], key=lambda service: HOPS.index(service.hop))


async def _local_service(process: Process) -> ServiceStatus:
    if not process.is_running:
        words = f"has ended; {UP} again; its log {process.log} ends: {process.last_words()}"
        return ServiceStatus(process.hop, process.address, Condition("ended", words), process)
    return await _ask(process.hop, process.address, process)


async def _given(addresses: Addresses) -> list[ServiceStatus]:
    return await asyncio.gather(*(_ask(hop, address) for hop, address in addresses.named))


async def _ask(hop: str, address: str, process: Process | None = None) -> ServiceStatus:
    return ServiceStatus(hop, address, await condition_at(hop, address), process)


def _addresses(services: list[ServiceStatus]) -> Addresses:
    """Return the addresses of services that are all there."""
    first = {service.hop: service.address for service in reversed(services)}
    decoders = tuple(service.address for service in services if service.hop == "decoder")
    return Addresses(first["encoder"], first["channel"], decoders)


def _show(services: list[ServiceStatus], link: "Star") -> None:
    from services.orchestrator.cli import link_tables

    output.show("  ".join(f"{service.hop} {service.address}" for service in services))
    output.console.print(link_tables.service_table(link.descriptions))
    learned = link_tables.learned_table(link.descriptions)
    if learned.row_count:
        output.console.print(learned)
    for sentence in link.table.unmatched.values():
        output.show(f"no route: {sentence}")


def _document(services: list[ServiceStatus], link: "Star | None" = None) -> dict[str, Any]:
    """Return what a program is told: the services, and what the link serves when it does."""
    described = iter(link.descriptions if link else ())
    entries = [service.to_json() | _described(next(described, None)) for service in services]
    routes = sorted(link.table.routes) if link else []
    return {
        "serves": bool(routes),
        "services": entries,
        "methods": routes,
        "default_method": link.table.default() if link and routes else None,
        "without_route": dict(link.table.unmatched) if link else {},
    }


def _described(description: Any) -> dict[str, Any]:
    if description is None:
        return {}
    return {
        "device": description.device,
        "precision": description.precision,
        "version": description.version,
        "methods": [method.name for method in description.methods],
        "channels": [kind.name for kind in description.channels],
    }
