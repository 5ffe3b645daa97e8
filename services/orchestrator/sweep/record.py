"""What a run keeps of itself beside its rows: its settings, the machine, the services."""

import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from jscc import __version__, machine
from jscc.data.datasets import Dataset
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.routes import Route
from services.orchestrator.results.rows import MethodInfo
from services.orchestrator.results.store import Store


def keep_settings(store: Store, dataset: Dataset, settings: Mapping[str, Any]) -> None:
    """Put on record what was asked for, of which images, and on which machine."""
    if dataset.note:
        store.set_setting("dataset_note", dataset.note)
    own = {
        "version": __version__,
        "machine": f"{machine.cpu_model()}, {machine.cores()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }
    for key, value in {**settings, "images": len(dataset.images), **own}.items():
        store.set_setting(key, value)


def keep_services(store: Store, descriptions: Sequence[pb.ServiceDescription]) -> None:
    """Put on record where and with which settings the services ran: encoder, channel, then every decoder."""
    for number, item in enumerate(descriptions):
        name = item.service if number < 3 else f"{item.service}_{number - 1}"
        store.set_setting(f"service_{name}", f"{item.device} {item.precision} {dict(item.settings)}")


def method_info(route: Route) -> MethodInfo:
    """Return what a run's database keeps of a route."""
    halves = [route.transmitter, route.receiver] if route.is_whole else [route.receiver]
    learned = {item.name: list(item.values) for half in halves for item in half.learned}
    return MethodInfo(
        name=route.name,
        method=route.receiver.method,
        checkpoint=route.digest,
        transmitter_checkpoint=route.transmitter.checkpoint_digest,
        transmitter_parameters=route.transmitter.parameters,
        receiver_parameters=route.receiver.parameters,
        rho=route.rho,
        options=json.dumps(route.defaults, sort_keys=True),
        learned=json.dumps(learned, sort_keys=True),
    )
