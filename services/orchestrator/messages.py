"""Between the orchestrator's messages and its own types, for the service and for its clients alike."""

from typing import Any

from jscc.air import AWGN, AirSpec
from jscc.options import ChosenOptions
from jscc.serving import tensors
from jscc.wire import convert
from jscc.wire.timing import HopRecord
from jscc.wire.v1 import orchestrator_pb2 as pb
from jscc.wire.v1 import symbols_pb2
from services.orchestrator.link.airs import air_of, airs_of
from services.orchestrator.link.job import Job
from services.orchestrator.results.rows import Row, air_fields
from services.orchestrator.sweep.spec import ALL, SweepSpec


def job_of(request: pb.SendImageRequest) -> Job:
    """Return what a request asks for.

    Raises:
        ValueError: a field is missing or out of its range; names it.
    """
    convert.require(request, "channel")
    convert.require(request.channel, "snr_db")
    snr_db = request.channel.snr_db
    return Job(
        image_id=request.image_id,
        method=request.method,
        snr_db=snr_db,
        told_snr_db=request.told_snr_db if request.HasField("told_snr_db") else snr_db,
        air=air_of(request.channel.name, convert.plain_options(request.channel.options)),
        options=convert.plain_options(request.options),
        root_seed=request.seed,
        draw=request.draw,
    )


def send_request(job: Job, image_file: bytes) -> pb.SendImageRequest:
    """Return the request for a job; image_file is a file that Pillow reads."""
    return pb.SendImageRequest(
        method=job.method,
        channel=symbols_pb2.ChannelModel(
            name=job.air.channel, snr_db=job.snr_db, options=convert.options_to_wire(job.air.asked())
        ),
        told_snr_db=job.told_snr_db,
        options=convert.options_to_wire(job.options),
        seed=job.root_seed,
        draw=job.draw,
        image_id=job.image_id,
        image_file=image_file,
    )


def spec_of(request: pb.RunSweepRequest, concurrency: int, patience_s: float) -> SweepSpec:
    """Return the sweep that a request asks for.

    Args:
        request: as it came.
        concurrency: transmissions under way at once.
        patience_s: how long an unreachable service is waited for.

    Raises:
        ValueError: a field is out of its range; names it.
        UnknownChannelError: there is no such channel.
    """
    methods = tuple(request.methods)
    return SweepSpec(
        methods=methods,
        snr_db=tuple(request.snr_db),
        draws=request.draws if request.HasField("draws") else 1,
        seed=request.seed,
        airs=_airs_of(request),
        told_snr_db=request.told_snr_db if request.HasField("told_snr_db") else None,
        told_above_db=_told_above_db(request),
        options=convert.plain_options(request.options),
        studies=request.studies if request.HasField("studies") else methods == ALL,
        limit=request.limit,
        concurrency=concurrency,
        patience_s=patience_s,
    )


def _airs_of(request: pb.RunSweepRequest) -> tuple[AirSpec, ...]:
    if not request.channels:
        return (air_of(request.channel or AWGN.channel, convert.plain_options(request.channel_options)),)
    if request.channel or request.channel_options:
        raise ValueError("channels: give them or channel and channel_options, not both")
    return airs_of(request.channels)


def _told_above_db(request: pb.RunSweepRequest) -> tuple[float, ...]:
    if request.mismatches_db and request.HasField("told_above_db"):
        raise ValueError("mismatches_db: give them or told_above_db, not both")
    return tuple(request.mismatches_db) or (request.told_above_db,)


def report_of(row: Row) -> pb.TransmissionReport:
    """Return a transmission as the API answers with it."""
    return pb.TransmissionReport(
        method=row.method,
        checkpoint_digest=row.checkpoint,
        transmitter_digest=row.transmitter_checkpoint,
        seed=row.seed,
        rho=row.rho,
        ledger=symbols_pb2.Ledger(
            channel_uses=row.channel_uses,
            header_uses=int(row.header_uses or 0),
            header_bits=row.header_bits,
            header_share=row.header_share or 0.0,
            peak_to_average_db=row.peak_to_average_db or 0.0,
            pilot_uses=int(row.pilot_uses or 0),
        ),
        lost=row.lost or "",
        noise_digest=row.noise_digest,
        quality=pb.Quality(psnr_db=row.psnr_db, ssim=row.ssim, ms_ssim=row.ms_ssim, lpips=row.lpips),
        hops=[
            pb.HopReport(hop=hop.hop, network_ns=hop.network_ns, timing=hop.to_wire(), codec_ns=hop.codec_ns)
            for hop in row.hops
        ],
        load_ns=row.load_ns,
        score_ns=row.score_ns,
        total_ns=row.total_ns,
        channel=symbols_pb2.ChannelModel(
            name=row.channel, snr_db=row.snr_db, options=convert.options_to_wire(row.channel_options)
        ),
        told_snr_db=row.told_snr_db,
        options=convert.options_to_wire(row.options),
        image_id=row.image,
        image_digest=row.image_digest,
        draw=row.draw,
        started=row.started,
        grid=tensors.grid_to_wire(row.air.grid),
        csi=row.csi,
    )


def row_of_report(report: pb.TransmissionReport) -> Row:
    """Return the transmission that the API answered with."""
    quality: dict[str, Any] = {name: _maybe(report.quality, name) for name in ("psnr_db", "ssim", "ms_ssim", "lpips")}
    return Row(
        dataset=report.image_id.rpartition("/")[0],
        image=report.image_id,
        image_digest=report.image_digest,
        method=report.method,
        transmitter_checkpoint=report.transmitter_digest,
        checkpoint=report.checkpoint_digest,
        **air_fields(_air_of(report)),
        snr_db=report.channel.snr_db,
        told_snr_db=report.told_snr_db,
        draw=report.draw,
        seed=report.seed,
        options=ChosenOptions(convert.plain_options(report.options)),
        rho=report.rho,
        channel_uses=report.ledger.channel_uses,
        header_bits=report.ledger.header_bits,
        noise_digest=report.noise_digest,
        **quality,
        total_ns=report.total_ns,
        load_ns=report.load_ns,
        score_ns=report.score_ns,
        hops=tuple(HopRecord.from_wire(hop.hop, hop.timing, hop.network_ns, hop.codec_ns) for hop in report.hops),
        started=report.started,
        warm_up=False,
        header_uses=report.ledger.header_uses,
        header_share=report.ledger.header_share,
        peak_to_average_db=report.ledger.peak_to_average_db,
        pilot_uses=report.ledger.pilot_uses,
        lost=report.lost,
    )


def _air_of(report: pb.TransmissionReport) -> AirSpec:
    options = ChosenOptions(convert.plain_options(report.channel.options))
    return AirSpec(report.channel.name, options, tensors.grid_from_wire(report.grid), report.csi or AWGN.csi)


def _maybe(quality: pb.Quality, name: Any) -> float | None:
    return getattr(quality, name) if quality.HasField(name) else None
