"""The results database: nothing lost, nothing twice, nothing rounded."""

import csv
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.orchestrator.results.rows import COLUMNS, Event, HopTiming, Key, MethodInfo, Picture, Reference, Row
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
    "load_ms,codec_ms,score_ms,options,started,warm_up"
)

ROW = Row(
    dataset="kodak",
    image="kodim01",
    method="deepjscc",
    checkpoint="0123456789abcdef",
    channel="awgn",
    snr_db=-5.0,
    draw=0,
    seed=2**63 - 1,
    rho=0.25,
    channel_uses=294912,
    header_bits=32,
    noise_digest="ab" * 8,
    psnr_db=0.1 + 0.2,
    ssim=1 / 3,
    ms_ssim=5e-324,
    lpips=1.7976931348623157e308,
    total_ms=100.1,
    hops={
        "encoder": HopTiming(0.1, 0.2, 0.3, 0.4, 0.5, 11, 12),
        "channel": HopTiming(1.1, 1.2, 1.3, 1.4, 1.5, 21, 22),
        "decoder": HopTiming(2.1, 2.2, 2.3, 2.4, 2.5, 31, 32),
    },
    load_ms=7.7,
    codec_ms=8.8,
    score_ms=9.9,
    options='{"steps": 4}',
    started="2025-01-01T00:00:00+00:00",
    warm_up=True,
)


REFERENCE = Reference("kodak", "kodim01", "jpeg_adaptive", 10.0, 0.25, 1234, True, 0.1 + 0.2, 1 / 3, 0.5, 5e-324)
INFO = MethodInfo("model_based_12", "model_based", "01" * 8, "01" * 8, 10, 20, 0.0625, '{"K": 6}', '{"step": [0.5]}')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def test_a_row_survives_reopening_bit_for_bit(path: Path) -> None:
    with Store(path) as store:
        assert store.add(ROW)
    with Store(path) as store:
        assert store.rows() == [ROW]
        assert store.rows()[0].warm_up is True
        assert store.keys() == {ROW.key}


def test_committed_rows_survive_a_kill(path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys; from dataclasses import replace\n"
        "sys.path.insert(0, sys.argv[2]); from test_store import ROW\n"
        "from services.orchestrator.results.store import Store\n"
        "store = Store(pathlib.Path(sys.argv[1]))\n"
        "for draw in range(20): store.add(replace(ROW, draw=draw))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with Store(path) as store:
        assert [row.draw for row in store.rows()] == list(range(20))


def test_a_transmission_is_kept_once_and_the_first_stays(path: Path) -> None:
    with Store(path) as store:
        assert store.add(ROW)
        assert not store.add(replace(ROW, psnr_db=99.0))
        assert store.rows() == [ROW]


@pytest.mark.parametrize("field", Key._fields)
def test_every_field_of_the_key_makes_another_transmission(path: Path, field: str) -> None:
    value = getattr(ROW, field)
    other = replace(ROW, **{field: value + "x" if isinstance(value, str) else value - 1})
    with Store(path) as store:
        assert store.add(ROW)
        assert store.add(other)
        assert store.keys() == {ROW.key, other.key}


def test_missing_quality_is_null(path: Path) -> None:
    row = replace(ROW, psnr_db=None, ssim=None, ms_ssim=None, lpips=None)
    with Store(path) as store:
        store.add(row)
        assert store.rows() == [row]
        store.write_csv(path.with_suffix(".csv"))
    with path.with_suffix(".csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert [line[name] for name in ("psnr_db", "ssim", "ms_ssim", "lpips")] == [""] * 4


def test_infinite_psnr_and_numbers_that_are_nearly_equal_stay_apart(path: Path) -> None:
    rows = [replace(ROW, draw=0, psnr_db=float("inf")), replace(ROW, draw=1, psnr_db=0.3)]
    with Store(path) as store:
        for row in rows:
            store.add(row)
        assert store.rows() == rows
        assert store.rows()[1].psnr_db != ROW.psnr_db


@pytest.mark.parametrize(("field", "value"), [("total_ms", float("nan")), ("rho", "many"), ("draw", 0.5)])
def test_a_bad_value_is_refused_and_named_not_dropped(path: Path, field: str, value: object) -> None:
    with Store(path) as store:
        with pytest.raises(sqlite3.IntegrityError, match=field):
            store.add(replace(ROW, **{field: value}))
        assert store.rows() == []


def test_a_row_needs_exactly_the_three_hops() -> None:
    with pytest.raises(ValueError, match="hops: need encoder, channel, decoder"):
        replace(ROW, hops={"encoder": ROW.hops["encoder"]})


def test_parts_are_all_times_but_the_total() -> None:
    times = [name for name in HEADER.split(",") if name.endswith("_ms") and name != "total_ms"]
    assert list(ROW.parts_ms()) == times
    assert sum(ROW.parts_ms().values()) == pytest.approx(1.5 + 6.5 + 11.5 + 7.7 + 8.8 + 9.9)


def test_csv_has_the_columns_in_order_and_exact_values(path: Path) -> None:
    with Store(path) as store:
        store.add(ROW)
        store.write_csv(path.with_suffix(".csv"))
    header, line = path.with_suffix(".csv").read_text().splitlines()
    assert header == HEADER == ",".join(COLUMNS)
    values = dict(zip(HEADER.split(","), next(csv.reader([line])), strict=True))
    assert float(values["psnr_db"]) == ROW.psnr_db
    assert (values["seed"], values["warm_up"], values["options"]) == (str(2**63 - 1), "1", '{"steps": 4}')
    assert (values["encoder_bytes_in"], values["channel_queue_ms"], values["decoder_bytes_out"]) == ("11", "1.2", "32")


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


def test_pictures_are_kept_once(path: Path) -> None:
    original = Picture("kodim01", "", 0.0, "original", b"\x89PNG\x00")
    received = Picture("kodim01", "deepjscc", 5.0, "received", b"\x00\xff")
    with Store(path) as store:
        assert store.add_image(received)
        assert store.add_image(original)
        assert not store.add_image(received._replace(png=b"other"))
    with Store(path) as store:
        assert store.pictures() == [original, received]


@pytest.mark.parametrize("table", ["results", "computed", "tune"])
def test_another_schema_is_refused_by_file_name_and_left_alone(path: Path, table: str) -> None:
    database = sqlite3.connect(path)
    database.execute(f"CREATE TABLE {table} (title TEXT)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"results\.sqlite has another schema.*" + table):
        Store(path)
    assert path.read_bytes() == before


def test_a_database_with_fewer_tables_gets_the_others_and_keeps_its_rows(path: Path) -> None:
    with Store(path) as store:
        store.add(ROW)
    database = sqlite3.connect(path)
    database.executescript("DROP TABLE computed; DROP TABLE methods")
    database.close()
    with Store(path) as store:
        assert store.rows() == [ROW]
        assert store.add_reference(REFERENCE)


def test_references_are_kept_once_bit_for_bit_and_come_in_order(path: Path) -> None:
    others = [
        REFERENCE._replace(snr_db=-5.0, delivered=False, bits=0, ssim=None, ms_ssim=None, lpips=None),
        REFERENCE,
        REFERENCE._replace(image="kodim02", psnr_db=float("inf")),
        REFERENCE._replace(rho=0.5),
        REFERENCE._replace(curve="webp_adaptive"),
    ]
    with Store(path) as store:
        assert all(store.add_reference(reference) for reference in reversed(others))
        assert not store.add_reference(REFERENCE._replace(psnr_db=99.0))
    with Store(path) as store:
        assert store.references() == others
        assert [reference.delivered for reference in store.references()] == [False, True, True, True, True]
        with pytest.raises(sqlite3.IntegrityError, match="bits"):
            store.add_reference(REFERENCE._replace(curve="other", bits=0.5))


def test_a_reference_with_all_metrics_replaces_one_with_psnr_alone(path: Path) -> None:
    alone = REFERENCE._replace(ssim=None, ms_ssim=None, lpips=None)
    with Store(path) as store:
        assert store.add_reference(alone)
        assert not store.add_reference(alone._replace(psnr_db=99.0))
        assert store.add_reference(REFERENCE)
        assert not store.add_reference(alone)
        assert store.references() == [REFERENCE]


def test_a_method_is_described_once_and_by_the_last_word(path: Path) -> None:
    with Store(path) as store:
        store.set_method(INFO)
        store.set_method(INFO._replace(name="deepjscc"))
        store.set_method(INFO._replace(receiver_parameters=21))
    with Store(path) as store:
        assert store.methods() == [INFO._replace(name="deepjscc"), INFO._replace(receiver_parameters=21)]


def test_a_file_that_is_no_database_is_refused_by_name(path: Path) -> None:
    path.write_text("dataset,image,method\n" * 100)
    with pytest.raises(ValueError, match=r"results\.sqlite cannot be read as a results database"):
        Store(path)
