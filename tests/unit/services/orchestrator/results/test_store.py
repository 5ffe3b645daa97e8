"""The results database: nothing lost, nothing twice, nothing rounded, and every fault in one sentence."""

import csv
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest

from jscc.options import ChosenOptions
from jscc.wire.timing import HopRecord
from services.orchestrator.results.csv_text import columns, csv_text
from services.orchestrator.results.faults import StoreError
from services.orchestrator.results.rows import Event, Key, Picture, Reference, ReferenceKey, Row
from services.orchestrator.results.store import Store

HEADER = (
    "dataset,image,method,checkpoint,channel,snr_db,draw,seed,rho,channel_uses,header_bits,noise_digest,"
    "psnr_db,ssim,ms_ssim,lpips,total_ms,"
    "encoder_network_ms,encoder_queue_ms,encoder_deserialize_ms,encoder_compute_ms,encoder_serialize_ms,"
    "encoder_bytes_in,encoder_bytes_out,"
    "channel_network_ms,channel_queue_ms,channel_deserialize_ms,channel_compute_ms,channel_serialize_ms,"
    "channel_bytes_in,channel_bytes_out,"
    "decoder_network_ms,decoder_queue_ms,decoder_deserialize_ms,decoder_compute_ms,decoder_serialize_ms,"
    "decoder_bytes_in,decoder_bytes_out,"
    "load_ms,codec_ms,score_ms,options,started,warm_up,"
    "image_digest,transmitter_checkpoint,channel_options,told_snr_db,header_uses,header_share,peak_to_average_db,lost,"
    "fading,block,pilots,interleaved,csi,pilot_uses,row_length,expected_doppler,expected_spread"
)

ROW = factories.row(
    method="diffusion",
    transmitter_checkpoint="fedcba9876543210",
    channel_options=ChosenOptions({"coherence": "block"}),
    snr_db=-5.0,
    told_snr_db=-2.5,
    seed=2**63 - 1,
    options=ChosenOptions({"steps": 4}),
    noise_digest="ab" * 8,
    psnr_db=0.1 + 0.2,
    ssim=1 / 3,
    ms_ssim=5e-324,
    lpips=1.7976931348623157e308,
    total_ns=100_100_000,
    load_ns=7_700_000,
    score_ns=2**60,
    hops=(
        HopRecord("encoder", 100_000, 200_000, 300_000, 400_000, 500_000, 1_000_000, 11, 12),
        HopRecord("channel", 1_100_000, 1_200_000, 1_300_000, 1_400_000, 1_500_000, 2_000_000, 21, 22),
        HopRecord("decoder", 2_100_000, 2_200_000, 2_300_000, 2_400_000, 2_500_000, 5_800_000, 31, 32),
    ),
    warm_up=True,
    fading="fast",
    block=128,
    pilots=4,
    interleaved=False,
    csi="pilots",
    pilot_uses=18432.0,
    row_length=12,
    expected_doppler=0.1 + 0.2,
    expected_spread=1 / 300,
)
REFERENCE = factories.reference(snr_db=10.0, bits=1234, psnr_db=0.1 + 0.2, ssim=1 / 3, ms_ssim=0.5, lpips=5e-324)
INFO = factories.method_info(
    name="model_based_12",
    method="model_based",
    rho=0.0625,
    options={"K": 6, "soft": True},
    learned={"step": (0.5, 0.25)},
    label="Model-based (12 ch.)",
    family="learned",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a script that knows ROW and Store; arguments are from sys.argv[2]."""
    imports = (
        "import os, pathlib, signal, sys; from dataclasses import replace\n"
        "sys.path[:0] = sys.argv[1].split(os.pathsep); from test_store import ROW, Picture, Store, StoreError\n"
    )
    modules = os.pathsep.join(str(Path(file).parent) for file in (__file__, factories.__file__))
    command = [sys.executable, "-c", imports + script, modules, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return stdout


def test_a_row_survives_reopening_bit_for_bit(path: Path) -> None:
    with Store(path) as store:
        assert store.add(ROW)
    with Store(path) as store:
        assert store.rows() == [ROW]
        assert store.rows()[0].warm_up is True
        assert store.keys() == {ROW.key}


def test_committed_rows_survive_a_kill(path: Path) -> None:
    process = child(
        "store = Store(pathlib.Path(sys.argv[2]), sweep=True)\n"
        "for draw in range(20): store.add(replace(ROW, draw=draw))\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        path,
    )
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with Store(path, sweep=True) as store:
        assert [row.draw for row in store.rows()] == list(range(20))


def test_a_transmission_is_kept_once_and_the_first_stays(path: Path) -> None:
    with Store(path) as store:
        assert store.add(ROW)
        assert not store.add(replace(ROW, psnr_db=99.0, hops=ROW.hops[:1]))
        assert store.rows() == [ROW]


@pytest.mark.parametrize("field", Key._fields)
def test_every_field_of_the_key_makes_another_transmission(path: Path, field: str) -> None:
    value = getattr(ROW, field)
    values = {str: f"{value}x", ChosenOptions: ChosenOptions({"x": 1}), bool: not value}
    other = replace(ROW, **{field: values[type(value)] if type(value) in values else value - 1})
    with Store(path) as store:
        assert store.add(ROW)
        assert store.add(other)
        assert store.keys() == {ROW.key, other.key}
        assert {row.key: row.hops for row in store.rows()} == {ROW.key: ROW.hops, other.key: other.hops}


def test_any_number_of_hops_of_any_names_is_kept_in_order(path: Path) -> None:
    relay = (ROW.hops[0], ROW.hops[1], replace(ROW.hops[2], hop="relay"), ROW.hops[1], ROW.hops[2])
    rows = [replace(ROW, draw=draw, hops=hops) for draw, hops in enumerate((relay, (), ROW.hops))]
    with Store(path) as store:
        for row in rows:
            store.add(row)
        assert store.rows() == rows
    assert list(rows[0].named_hops) == ["encoder", "channel", "relay", "channel_2", "decoder"]


def test_missing_quality_is_null(path: Path) -> None:
    row = replace(ROW, psnr_db=None, ssim=None, ms_ssim=None, lpips=None)
    with Store(path) as store:
        store.add(row)
        assert store.rows() == [row]
    (line,) = csv.DictReader(csv_text([row]).splitlines())
    assert [line[name] for name in ("psnr_db", "ssim", "ms_ssim", "lpips")] == [""] * 4


def test_infinite_psnr_and_numbers_that_are_nearly_equal_stay_apart(path: Path) -> None:
    rows = [replace(ROW, draw=0, psnr_db=float("inf")), replace(ROW, draw=1, psnr_db=0.3)]
    with Store(path) as store:
        for row in rows:
            store.add(row)
        assert store.rows() == rows
        assert store.rows()[1].psnr_db != ROW.psnr_db


@pytest.mark.parametrize(
    ("field", "value"), [("rho", float("nan")), ("rho", "many"), ("draw", 0.5), ("total_ns", None)]
)
def test_a_bad_value_is_refused_and_named_not_dropped(path: Path, field: str, value: Any) -> None:
    with Store(path) as store:
        with pytest.raises(StoreError, match=field):
            store.add(replace(ROW, **{field: value}))
        assert store.rows() == []


def test_a_name_that_is_no_unicode_is_refused_in_one_sentence(path: Path) -> None:
    with Store(path) as store, pytest.raises(StoreError, match=r"results\.sqlite takes only names that are Unicode"):
        store.add(replace(ROW, image=os.fsdecode(b"photo\xff.png")))


def test_parts_are_all_times_but_the_total() -> None:
    times = [name.removesuffix("_ms") for name in HEADER.split(",") if name.endswith("_ms") and name != "total_ms"]
    assert list(ROW.parts_ns()) == times
    assert sum(ROW.parts_ns().values()) == 1_500_000 + 6_500_000 + 11_500_000 + 7_700_000 + 8_800_000 + 2**60
    assert ROW.codec_ns == 8_800_000


def test_csv_has_the_columns_in_order_and_exact_values() -> None:
    header, line = csv_text([ROW]).splitlines()
    assert header == HEADER == ",".join(columns([ROW]))
    values = dict(zip(HEADER.split(","), next(csv.reader([line])), strict=True))
    assert float(values["psnr_db"]) == ROW.psnr_db
    assert (values["seed"], values["warm_up"], values["options"]) == (str(2**63 - 1), "1", '{"steps": 4}')
    assert (values["encoder_bytes_in"], values["channel_queue_ms"], values["decoder_bytes_out"]) == ("11", "1.2", "32")
    assert (values["total_ms"], values["codec_ms"], values["told_snr_db"]) == ("100.1", "8.8", "-2.5")
    assert (values["image_digest"], values["channel_options"]) == ("fe" * 8, '{"coherence": "block"}')
    frame = ("fading", "block", "pilots", "interleaved", "csi", "pilot_uses")
    assert [values[name] for name in frame] == ["fast", "128", "4", "0", "pilots", "18432.0"]
    expected = ("row_length", "expected_doppler", "expected_spread")
    assert [values[name] for name in expected] == ["12", "0.30000000000000004", str(1 / 300)]


def test_csv_has_the_columns_of_every_hop_and_empty_cells_where_a_row_lacks_one() -> None:
    plain, relayed = replace(ROW, options=ChosenOptions()), replace(ROW, hops=(*ROW.hops[:2], *ROW.hops[1:]))
    first, second = csv.DictReader(csv_text([plain, relayed]).splitlines())
    assert (first["channel_2_compute_ms"], second["channel_2_compute_ms"]) == ("", "1.4")
    assert first["options"] == ""
    names = list(first)
    assert names[names.index("decoder_bytes_out") + 1] == "channel_2_network_ms"
    assert [name for name in names if not name.startswith("channel_2_")] == HEADER.split(",")


def test_rows_come_in_one_order_whatever_the_order_of_arrival(path: Path) -> None:
    rows = [
        replace(ROW, method=method, snr_db=snr_db, image=image, draw=draw)
        for method in ("a", "b")
        for snr_db in (-5.0, 0.0, 10.0)
        for image in ("1", "2")
        for draw in (0, 1)
    ]
    with Store(path) as store:
        for row in rows[::-2] + rows[::2]:
            store.add(row)
        assert store.rows() == rows


def test_settings_keep_their_type_and_the_last_value_in_the_first_order(path: Path) -> None:
    with Store(path) as store:
        store.set_setting("seed", 1)
        store.set_setting("machine", {"cpu": "µ", "cores": 2, "gpu": None})
        store.set_setting("seed", 2**70)
    with Store(path) as store:
        assert list(store.settings().items()) == [
            ("seed", 2**70),
            ("machine", {"cpu": "µ", "cores": 2, "gpu": None}),
        ]


def test_events_stay_in_order_with_their_time(path: Path) -> None:
    with Store(path) as store:
        assert store.events() == []
        store.add_event("the decoder went away")
        store.add_event("resumed")
    with Store(path) as store:
        first, second = store.events()
    assert (first.text, second) == ("the decoder went away", Event(second.time, "resumed"))
    assert first.time.endswith("+00:00")
    assert first.time <= second.time


def test_pictures_are_kept_once_with_the_key_of_what_they_show(path: Path) -> None:
    original = Picture(ROW.image_key, b"\x89PNG\x00")
    received, computed = Picture(ROW.key, b"\x00\xff"), Picture(REFERENCE.key, b"\x01")
    other = Picture(replace(ROW, channel="fading").key, b"\x02")
    with Store(path) as store:
        assert store.add(ROW, [received, original])
        assert store.add(replace(ROW, channel="fading"), [other, original])
        assert store.add_reference(REFERENCE, [computed])
        assert not store.add(ROW, [received._replace(png=b"other"), original._replace(png=b"other")])
        assert not store.add_reference(REFERENCE, [computed._replace(png=b"other")])
    with Store(path) as store:
        assert store.pictures() == [original, received, other, computed]


def test_a_row_is_kept_with_its_pictures_or_not_at_all(path: Path) -> None:
    nowhere = Picture(replace(ROW, draw=7).key, b"")
    with Store(path) as store:
        with pytest.raises(StoreError, match="picture of what is not there"):
            store.add(ROW, [Picture(ROW.key, b""), nowhere])
        assert (store.rows(), store.pictures()) == ([], [])


def test_references_are_kept_once_bit_for_bit_and_come_in_order(path: Path) -> None:
    others = [
        REFERENCE._replace(snr_db=-5.0, delivered=False, bits=0, ssim=None, ms_ssim=None, lpips=None),
        REFERENCE,
        REFERENCE._replace(image_digest="ff"),
        REFERENCE._replace(image="kodim02", psnr_db=float("inf")),
        REFERENCE._replace(rho=0.5),
        REFERENCE._replace(curve="webp_adaptive"),
    ]
    with Store(path) as store:
        assert all(store.add_reference(reference) for reference in reversed(others))
        assert not store.add_reference(REFERENCE._replace(psnr_db=99.0))
    with Store(path) as store:
        assert store.references() == others
        assert [reference.delivered for reference in store.references()] == [False, True, True, True, True, True]
        with pytest.raises(StoreError, match="bits"):
            store.add_reference(REFERENCE._replace(curve="other", bits=0.5))


def test_a_reference_with_all_metrics_replaces_one_with_psnr_alone(path: Path) -> None:
    alone = REFERENCE._replace(ssim=None, ms_ssim=None, lpips=None)
    with Store(path) as store:
        assert store.add_reference(alone, [Picture(alone.key, b"png")])
        assert not store.add_reference(alone._replace(psnr_db=99.0))
        assert store.add_reference(REFERENCE)
        assert not store.add_reference(alone)
        assert store.references() == [REFERENCE]
        assert store.pictures() == [Picture(REFERENCE.key, b"png")]


def test_the_keys_of_rows_and_references_are_fields_of_theirs() -> None:
    assert set(Key._fields) <= set(Row.__dataclass_fields__)
    assert set(ReferenceKey._fields) <= set(Reference._fields)


def test_a_method_is_described_once_and_by_the_last_word(path: Path) -> None:
    with Store(path) as store:
        store.set_method(INFO)
        store.set_method(INFO._replace(name="deepjscc", options={}, learned={}))
        store.set_method(INFO._replace(receiver_parameters=21))
    with Store(path) as store:
        first, second = store.methods()
    assert first == INFO._replace(name="deepjscc", options={}, learned={})
    assert second == INFO._replace(receiver_parameters=21)
    assert second.options["soft"] is True


def test_a_file_and_its_folder_are_made_by_the_first_write_alone(path: Path) -> None:
    path = path.parent / "new" / "folder" / path.name
    for sweep in (False, True):
        with Store(path, sweep=sweep) as store:
            assert (store.rows(), store.keys(), store.settings(), store.pictures()) == ([], set(), {}, [])
        assert list(path.parents[2].iterdir()) == []
    with Store(path, sweep=True) as store:
        store.set_setting("seed", 1)
        store.add(ROW)
        assert store.rows() == [ROW]
    with Store(path) as store:
        assert (store.rows(), store.settings()) == ([ROW], {"seed": 1})


def test_a_store_is_used_from_one_thread_after_another(path: Path) -> None:
    with ThreadPoolExecutor(1) as thread, Store(path, sweep=True) as store:
        assert store.keys() == set()
        assert thread.submit(store.add, ROW).result()
        assert store.rows() == thread.submit(store.rows).result() == [ROW]
