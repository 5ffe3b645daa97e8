"""The four services as processes: image in, image out, bad input refused, SIGTERM ends with 0."""

import asyncio
import io
import json
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import (
    DEADLINE_S,
    METHOD,
    Started,
    call,
    probe,
    refusal,
    start,
    wait_for_log,
    wait_until,
    wait_until_serving,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from jscc.images import read_image
from jscc.wire import codec, convert
from jscc.wire.client import Client
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2, orchestrator_pb2
from jscc.wire.v1 import symbols_pb2 as pb

Link = dict[str, Started]

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def send(link: Link, file: bytes, snr_db: float, seed: int = 0) -> orchestrator_pb2.SendImageResponse:
    request = orchestrator_pb2.SendImageRequest(
        channel=pb.ChannelModel(name="awgn", snr_db=snr_db), seed=seed, image_id="photo", image_file=file
    )
    raw = call(link["orchestrator"], "SendImage", request.SerializeToString())
    return orchestrator_pb2.SendImageResponse.FromString(raw)


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG")
    return buffer.getvalue()


def encode_request(image: np.ndarray, method: str = METHOD, digest: str = "", snr_db: float = 5.0) -> bytes:
    context = pb.RequestContext(method=method, checkpoint_digest=digest)
    return codec.encode(encoder_pb2.EncodeRequest(context=context, told_snr_db=snr_db), image)


def sweep_refusal(link: Link, **changes: Any) -> tuple[grpc.StatusCode, str]:
    fields = {"name": "refused", "dataset": "photos", "snr_db": [0.0], **changes}
    request = orchestrator_pb2.RunSweepRequest(**fields)
    with grpc.insecure_channel(link["orchestrator"].address) as channel:
        stream = channel.unary_stream("/jscc.wire.v1.OrchestratorService/RunSweep")(request.SerializeToString())
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
    return caught.value.code(), caught.value.details()


GREY = np.full((32, 48, 3), 120, dtype=np.uint8)


def test_quality_rises_with_snr(link: Link, photos: Path) -> None:
    file = (photos / "photo0.png").read_bytes()
    psnr_db = [send(link, file, snr_db).report.quality.psnr_db for snr_db in (-5, 0, 5, 10, 15, 20)]
    assert all(later > earlier + 0.5 for earlier, later in pairwise(psnr_db)), psnr_db
    assert psnr_db[-1] - psnr_db[0] > 5


def test_same_seed_same_bytes(link: Link, photos: Path) -> None:
    file = (photos / "photo1.png").read_bytes()
    first, again, other = (send(link, file, 3.0, seed) for seed in (7, 7, 8))
    assert first.image_png == again.image_png
    assert first.report.noise_digest == again.report.noise_digest
    assert other.report.noise_digest != first.report.noise_digest
    assert other.image_png != first.image_png


def test_report_is_right(link: Link, photos: Path) -> None:
    file = (photos / "photo2.png").read_bytes()
    answer = send(link, file, 12.0)
    original, received = read_image(file).astype(np.int64), read_image(answer.image_png).astype(np.int64)
    expected_psnr_db = 10 * np.log10(255**2 / np.mean((original - received) ** 2))
    assert answer.report.quality.psnr_db == pytest.approx(expected_psnr_db, abs=1e-9)
    ledger = answer.report.ledger
    assert ledger.channel_uses == original.size // 4  # 176x208 px are multiples of 16; the header is in them
    assert answer.report.rho == 0.25
    assert 128 < ledger.header_uses < 0.1 * ledger.channel_uses
    assert ledger.header_bits > 9 + 8 + 31  # told SNR, margin, size of the body, and the body
    assert 0 < ledger.header_share < 0.1
    assert ledger.peak_to_average_db > 3
    assert answer.report.lost == ""


@pytest.mark.parametrize(("options", "csi"), [({"coherence": 64}, "pilots"), ({"csi": "perfect"}, "perfect")])
def test_air_that_fades_is_asked_for_and_told(link: Link, photos: Path, options: dict[str, Any], csi: str) -> None:
    """Of 27,456 channel uses, 8 of every block of 128 are pilots', and of the last half block."""
    model = pb.ChannelModel(name="rayleigh", snr_db=20.0, options=convert.options_to_wire(options))
    request = orchestrator_pb2.SendImageRequest(
        channel=model, image_id="photo", image_file=(photos / "photo2.png").read_bytes()
    )
    raw = call(link["orchestrator"], "SendImage", request.SerializeToString())
    report = orchestrator_pb2.SendImageResponse.FromString(raw).report
    assert (report.csi, report.channel.name, report.ledger.channel_uses) == (csi, "rayleigh", 27_456)
    assert report.ledger.pilot_uses == (8 * 215 if csi == "pilots" else 0)
    assert (report.grid.fading, report.grid.coherence) == (("fast", 64) if csi == "pilots" else ("block", 0))
    request.channel.options["pilots"].int_value = 64
    request.channel.options["block"].int_value = 64
    code, details = refusal(link["orchestrator"], "SendImage", request.SerializeToString())
    assert code == INVALID
    assert details == "channel rayleigh: pilots: 64 of a block of 64 complex symbols leave nothing"


def parts_ns(report: orchestrator_pb2.TransmissionReport) -> list[int]:
    parts = [report.load_ns, report.score_ns]
    for hop in report.hops:
        own = hop.timing
        parts += [hop.network_ns, hop.codec_ns]
        parts += [own.queue_ns, own.deserialize_ns, own.compute_ns, own.serialize_ns]
    return parts


def test_the_parts_of_the_time_are_its_whole(link: Link, photos: Path) -> None:
    """Nothing is counted twice; 2 % at most is missing, unless another process came between two parts."""
    file, shares = (photos / "photo2.png").read_bytes(), [0.0]
    while max(shares) < 0.98:
        report = send(link, file, 12.0, seed=len(shares)).report
        assert min(parts_ns(report)) >= 0
        shares.append(sum(parts_ns(report)) / report.total_ns)
        assert shares[-1] <= 1
        assert len(shares) <= 100, shares


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (np.full((1, 1), 200, dtype=np.uint8), "L"),
        (np.full((40, 30, 4), 99, dtype=np.uint8), "RGBA"),
        (np.full((17, 33), 40000, dtype=np.uint16), "I;16"),
        (np.full((3, 4096, 3), 17, dtype=np.uint8), "RGB"),
    ],
)
def test_any_size_and_mode(link: Link, pixels: np.ndarray, mode: str) -> None:
    file = png(pixels) if mode != "I;16" else png(pixels, None)
    answer = send(link, file, 10.0)
    assert read_image(answer.image_png).shape == (*pixels.shape[:2], 3)


def test_noiseless_channel_is_at_least_as_good(link: Link, photos: Path) -> None:
    file = (photos / "photo3.png").read_bytes()
    channel = pb.ChannelModel(name="noiseless", snr_db=20.0)
    request = orchestrator_pb2.SendImageRequest(channel=channel, image_id="photo", image_file=file)
    raw = call(link["orchestrator"], "SendImage", request.SerializeToString())
    clean = orchestrator_pb2.SendImageResponse.FromString(raw).report.quality.psnr_db
    assert clean > send(link, file, 20.0).report.quality.psnr_db


class TestBadInput:
    """Every refusal has the right status and names the field; the service goes on."""

    def test_truncated_tensor(self, link: Link) -> None:
        code, details = refusal(link["encoder"], "Encode", encode_request(GREY)[:-10])
        assert code == INVALID
        assert "truncated" in details

    def test_wrong_shape(self, link: Link) -> None:
        code, details = refusal(link["encoder"], "Encode", encode_request(GREY[..., :2].copy()))
        assert code == INVALID
        assert details.startswith("image:")

    def test_unknown_method(self, link: Link) -> None:
        code, details = refusal(link["encoder"], "Encode", encode_request(GREY, method="nosuch"))
        assert code == grpc.StatusCode.NOT_FOUND
        assert "'nosuch'" in details
        assert METHOD in details

    def test_wrong_checkpoint(self, link: Link) -> None:
        code, details = refusal(link["encoder"], "Encode", encode_request(GREY, digest="0123456789abcdef"))
        assert code == grpc.StatusCode.FAILED_PRECONDITION
        assert "0123456789abcdef" in details

    def test_symbols_of_another_checkpoint(self, link: Link) -> None:
        context = pb.RequestContext(method=METHOD, checkpoint_digest="0123456789abcdef")
        size = pb.ImageSize(height_px=16, width_px=16)
        request = decoder_pb2.DecodeRequest(context=context, size=size, state=pb.ChannelState(noise_power=1.0))
        raw = codec.encode(request, np.zeros((1, 192), dtype=np.float32))
        code, details = refusal(link["decoder"], "Decode", raw)
        assert code == grpc.StatusCode.FAILED_PRECONDITION
        assert "0123456789abcdef" in details

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, link: Link, value: float) -> None:
        symbols = np.zeros((1, 64), dtype=np.float32)
        symbols[0, 5] = value
        code, details = refusal(link["channel"], "Transmit", codec.encode(channel_pb2.TransmitRequest(), symbols))
        assert code == INVALID
        assert details.startswith("symbols:")

    def test_snr_out_of_range(self, link: Link) -> None:
        code, details = refusal(link["encoder"], "Encode", encode_request(GREY, snr_db=1000.0))
        assert code == INVALID
        assert "told_snr_db" in details
        assert "60" in details

    def test_message_of_100_mb(self, link: Link) -> None:
        code, details = refusal(link["channel"], "Transmit", bytes(100_000_000))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "message" in details.lower()

    def test_image_bomb(self, link: Link) -> None:
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        request = orchestrator_pb2.SendImageRequest(
            channel=pb.ChannelModel(name="awgn", snr_db=3.0), image_id="bomb", image_file=bomb
        )
        code, details = refusal(link["orchestrator"], "SendImage", request.SerializeToString())
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details.startswith("image")
        assert "4096" in details

    def test_garbage(self, link: Link) -> None:
        for name, rpc in (("encoder", "Encode"), ("channel", "Transmit"), ("decoder", "Decode")):
            assert refusal(link[name], rpc, b"\xff" * 50)[0] == INVALID
        assert refusal(link["orchestrator"], "SendImage", b"\xff" * 50)[0] == INVALID

    def test_sweep_name_cannot_leave_its_folder(self, link: Link) -> None:
        code, details = sweep_refusal(link, name="../x")
        assert code == INVALID
        assert details.startswith("name:")

    @pytest.mark.parametrize("name", ["/etc", "~", "/proc/self/fd", "../photos", "nosuch", "x" * 300])
    def test_sweep_offers_named_data_alone_and_tells_nothing_of_others(self, link: Link, name: str) -> None:
        code, details = sweep_refusal(link, dataset=name)
        assert code == INVALID
        assert details.startswith(f"dataset: {name[:100]!r} is not offered; expected one of: kodak, samples")
        assert len(details) < 400

    def test_a_refused_sweep_leaves_nothing(self, link: Link) -> None:
        runs = Path(link["orchestrator"].log).parent / "runs"
        assert sweep_refusal(link, methods=["nosuch"])[0] == grpc.StatusCode.NOT_FOUND
        assert sweep_refusal(link, draws=0)[0] == INVALID
        assert not (runs / "refused").exists()

    def test_services_go_on(self, link: Link, photos: Path) -> None:
        assert send(link, (photos / "photo0.png").read_bytes(), 10.0).report.quality.psnr_db > 20


def test_describe(link: Link) -> None:
    answer = orchestrator_pb2.OrchestratorServiceDescribeResponse.FromString(
        call(link["orchestrator"], "Describe", b"")
    )
    assert [item.service for item in answer.services] == ["encoder", "channel", "decoder"]
    sent, received = (answer.services[at].methods for at in (0, 2))
    assert [(served.name, served.rho) for served in sent] == [("kltjscc", 0.25), (METHOD, 0.25)]
    assert [served.checkpoint_digest for served in sent] == [served.transmitter_digest for served in received]
    assert {"awgn", "noiseless"} <= {kind.name for kind in answer.services[1].channels}
    assert answer.services[0].max_side_px == 4096


def test_run_sweep_streams_progress(link: Link) -> None:
    request = orchestrator_pb2.RunSweepRequest(
        name="api", dataset="photos", methods=[METHOD], snr_db=[10], channels=["awgn,rayleigh"], mismatches_db=[0]
    )
    with grpc.insecure_channel(link["orchestrator"].address) as channel:
        stream = channel.unary_stream("/jscc.wire.v1.OrchestratorService/RunSweep")(request.SerializeToString())
        answers = [orchestrator_pb2.RunSweepResponse.FromString(raw) for raw in stream]
    assert [answer.done for answer in answers] == sorted(answer.done for answer in answers)
    assert (answers[-1].done, answers[-1].total) == (8, 8)
    assert "PSNR" in answers[-1].summary_md
    assert "## Over rayleigh\n" in answers[-1].summary_md
    assert answers[-2].summary_md == ""


def test_health_and_reflection(link: Link) -> None:
    for name, service in link.items():
        full_name = f"jscc.wire.v1.{name.capitalize()}Service"
        assert probe(service.address, full_name) == 0
        with grpc.insecure_channel(service.address) as channel:
            ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=full_name)
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            answers = list(stub.ServerReflectionInfo(iter([ask])))
        files = [
            FileDescriptorProto.FromString(raw) for raw in answers[0].file_descriptor_response.file_descriptor_proto
        ]
        assert f"jscc/wire/v1/{name}.proto" in [file.name for file in files]
    assert probe(link["encoder"].address, METHOD) == 0
    assert probe(link["encoder"].address, "nosuch") == 1


def test_sigterm_finishes_the_work(tmp_path: Path) -> None:
    service = start("channel", tmp_path)
    try:
        wait_until_serving(service)
        symbols = np.ones((1, 12_000_000), dtype=np.float32)
        request = channel_pb2.TransmitRequest(
            context=pb.RequestContext(request_id="slow"), channel=pb.ChannelModel(name="noiseless", snr_db=0.0)
        )
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(service.address, options=options) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            call_under_way = channel.unary_unary("/jscc.wire.v1.ChannelService/Transmit")
            under_way = call_under_way.future(codec.encode(request, symbols))
            wait_for_log(service, "request slow")
            service.process.terminate()
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
            answer = under_way.result(timeout=DEADLINE_S)
        assert np.array_equal(codec.decode(channel_pb2.TransmitResponse, answer)[1], symbols)
        assert service.process.wait(timeout=DEADLINE_S) == 0
    finally:
        service.stop()


@pytest.mark.parametrize("name", ["encoder", "channel", "decoder", "orchestrator"])
def test_a_service_that_is_asked_to_end_while_it_starts_does_so_quietly(tmp_path: Path, name: str) -> None:
    """Right after its first word; the orchestrator waits for services that are not there by then."""
    nowhere = {f"{hop}_ADDRESS": "127.0.0.1:1" for hop in ("ENCODER", "CHANNEL", "DECODER")}
    service = start(name, tmp_path, **nowhere)
    try:
        wait_until(lambda: "\n" in service.log.read_text(), service.process, service.log)
    finally:
        assert service.stop() == 0
    events = [json.loads(line)["event"] for line in service.log.read_text().splitlines()]
    assert events[-1] == "stopped"


def test_what_a_person_can_mend_is_one_line(tmp_path: Path, link: Link) -> None:
    cases = {
        "no model card": {"CHECKPOINTS": str(tmp_path)},
        "no checkpoint of 'nosuch'": {"METHODS": "nosuch"},
        "cannot listen there": {"LISTEN_ADDRESS": link["channel"].address},
    }
    for name in map(str, range(len(cases))):
        (tmp_path / name).mkdir()
    services = [start("decoder", tmp_path / str(at), **settings) for at, settings in enumerate(cases.values())]
    for words, service in zip(cases, services, strict=True):
        assert service.process.wait(timeout=DEADLINE_S) == 2
        assert words in service.log.read_text()
        assert "Traceback" not in service.log.read_text()


def test_bad_setting_is_named(tmp_path: Path) -> None:
    service = start("encoder", tmp_path, PRECISION="float8", MAX_QUEUE="-1")
    assert service.process.wait(timeout=DEADLINE_S) == 2
    log = service.log.read_text()
    assert "PRECISION='float8'" in log
    assert "MAX_QUEUE='-1'" in log


async def test_retries_carry_real_payloads(tmp_path: Path) -> None:
    """A refused message of 4 MB, far above gRPC's default retry buffer, is sent again by the client itself."""
    service = start("channel", tmp_path, MAX_QUEUE="0")
    wait_until_serving(service)
    client = Client("channel", service.address)
    symbols = np.ones((1, 1_000_000), dtype=np.float32)
    channel = pb.ChannelModel(name="awgn", snr_db=3.0)
    message = channel_pb2.TransmitRequest(context=pb.RequestContext(), channel=channel), symbols
    try:
        answers, rounds = [], 0
        while "UNAVAILABLE" not in service.log.read_text():  # until the second came while the first was computed
            calls = [client.exchange("Transmit", message, channel_pb2.TransmitResponse, DEADLINE_S) for _ in range(2)]
            answers += await asyncio.gather(*calls)
            rounds += 1
            assert rounds <= 100
    finally:
        await client.close()
        assert service.stop() == 0
    assert len(answers) == 2 * rounds
    assert len({answer.noise_digest for answer, _, _ in answers}) == 1
