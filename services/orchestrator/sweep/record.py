"""What a run keeps of itself beside its rows: its settings, the machine, the services."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from jscc import __version__, machine
from jscc.data import Dataset, names
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.routes import Route
from services.orchestrator.link.transmission import Transmission
from services.orchestrator.results.rows import MethodInfo, Row, air_fields
from services.orchestrator.results.store import Store


def keep_settings(store: Store, dataset: Dataset, settings: Mapping[str, Any]) -> None:
    """Put on record what was asked for, of which images, and on which machine."""
    if dataset.note:
        store.set_setting("dataset_note", dataset.note)
    own = {
        "images_in": dataset.name if dataset.name in names() else str(dataset.images[0].path.parent.resolve()),
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


def row_of(transmission: Transmission, dataset: str, warm_up: bool = False) -> Row:
    """Return the one description of a transmission, which is kept, shown and answered with.

    Args:
        transmission: finished.
        dataset: name of the data set that was really used.
        warm_up: whether its latencies are not to be counted, as those of a frame that was there are not in any case.
    """
    job, delivery, scores = transmission.job, transmission.delivery, transmission.scores
    return Row(
        dataset=dataset,
        image=job.image_id,
        image_digest=transmission.image_digest,
        method=delivery.method,
        transmitter_checkpoint=delivery.transmitter_digest,
        checkpoint=delivery.receiver_digest,
        **air_fields(job.air),
        snr_db=job.snr_db,
        told_snr_db=job.told_snr_db,
        draw=job.draw,
        seed=job.seed,
        options=delivery.options,
        rho=transmission.rho,
        channel_uses=delivery.ledger.channel_uses,
        header_bits=delivery.ledger.header_bits,
        noise_digest=delivery.noise_digest,
        psnr_db=scores.psnr_db,
        ssim=scores.ssim,
        ms_ssim=scores.ms_ssim,
        lpips=scores.lpips,
        total_ns=transmission.total_ns,
        load_ns=transmission.load_ns,
        score_ns=transmission.score_ns,
        hops=delivery.hops,
        started=transmission.started,
        warm_up=warm_up or delivery.is_old_frame,
        header_uses=delivery.ledger.header_uses,
        header_share=delivery.ledger.header_share,
        peak_to_average_db=delivery.ledger.peak_to_average_db,
        pilot_uses=delivery.ledger.pilot_uses,
        lost=delivery.lost,
    )


def method_info(route: Route) -> MethodInfo:
    """Return what a run's database keeps of a route."""
    halves = [route.transmitter, route.receiver] if route.is_whole else [route.receiver]
    learned = {item.name: tuple(item.values) for half in halves for item in half.learned}
    return MethodInfo(
        name=route.name,
        method=route.receiver.method,
        checkpoint=route.digest,
        transmitter_checkpoint=route.transmitter.checkpoint_digest,
        transmitter_parameters=route.transmitter.parameters,
        receiver_parameters=route.receiver.parameters,
        rho=route.rho,
        options=route.defaults,
        learned=learned,
        label=route.receiver.label,
        family=route.receiver.family,
    )
