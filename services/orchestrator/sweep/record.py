"""What a run keeps of itself beside its rows: its settings, the machine, the services."""

import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from jscc import __version__, machine
from jscc.data import Dataset
from jscc.wire.client import HopTimes
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.routes import Route
from services.orchestrator.link.transmission import Transmission
from services.orchestrator.results.rows import HopTiming, MethodInfo, Row
from services.orchestrator.results.store import Store

_NS_PER_MS = 1e6


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


def row_of(transmission: Transmission, dataset: str, warm_up: bool = False) -> Row:
    """Return the one description of a transmission, which is kept, shown and answered with.

    Args:
        transmission: finished.
        dataset: name of the data set that was really used.
        warm_up: whether its latencies are not to be counted.
    """
    job, delivery, scores = transmission.job, transmission.delivery, transmission.scores
    return Row(
        dataset=dataset,
        image=job.image_id,
        method=delivery.method,
        checkpoint=delivery.receiver_digest,
        channel=job.channel,
        snr_db=job.snr_db,
        draw=job.draw,
        seed=job.seed,
        rho=transmission.rho,
        channel_uses=delivery.channel_uses,
        header_bits=delivery.header_bits,
        noise_digest=delivery.noise_digest,
        psnr_db=scores.psnr_db,
        ssim=scores.ssim,
        ms_ssim=scores.ms_ssim,
        lpips=scores.lpips,
        total_ms=transmission.total_ns / _NS_PER_MS,
        hops={hop: _hop_timing(times) for hop, times in delivery.hops.items()},
        load_ms=transmission.load_ns / _NS_PER_MS,
        codec_ms=sum(times.codec_ns for times in delivery.hops.values()) / _NS_PER_MS,
        score_ms=transmission.score_ns / _NS_PER_MS,
        options=json.dumps(delivery.options, sort_keys=True) if delivery.options else "",
        started=transmission.started,
        warm_up=warm_up,
    )


def _hop_timing(times: HopTimes) -> HopTiming:
    timing = times.timing
    return HopTiming(
        network_ms=times.network_ns / _NS_PER_MS,
        queue_ms=timing.queue_ns / _NS_PER_MS,
        deserialize_ms=timing.deserialize_ns / _NS_PER_MS,
        compute_ms=timing.compute_ns / _NS_PER_MS,
        serialize_ms=timing.serialize_ns / _NS_PER_MS,
        bytes_in=timing.bytes_in,
        bytes_out=timing.bytes_out,
    )


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
