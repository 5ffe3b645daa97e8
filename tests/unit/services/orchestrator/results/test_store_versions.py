"""Results databases of other versions: reported, resumed, or refused in one sentence."""

import re
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from old_runs import OLD, OLD_OTHERS, old_run
from test_store import REFERENCE, ROW, child, finish
from test_store_faults import change, refusal

from jscc.air import AWGN
from jscc.options import ChosenOptions
from jscc.wire.timing import HopRecord
from services.orchestrator.results import migrate, tables
from services.orchestrator.results.rows import Event, Picture, Reference, air_fields
from services.orchestrator.results.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


BEFORE_FRAMES: dict[str, Any] = {**air_fields(AWGN), "pilot_uses": None}
"""What a row of a version before 4 was sent under."""
del BEFORE_FRAMES["channel"], BEFORE_FRAMES["channel_options"]


OF_WHITE_NOISE = ("channel", "channel_options", "told_above_db", "draw")
"""What references have since version 4."""


EXPECTATIONS = ("row_length", "expected_doppler", "expected_spread")
"""What rows have since version 5."""


def drop(path: Path, of_rows: Iterable[str], of_references: Iterable[str]) -> None:
    """Take later columns out of a database; what it tells apart by them must not be there twice."""
    for table, kept, gone in (
        ("results", tables.ROW_COLUMNS, tuple(of_rows)),
        ("computed", Reference._fields, tuple(of_references)),
    ):
        with closing(sqlite3.connect(path)) as database:
            (made,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        for name in gone:
            made = re.sub(rf"  {name} [A-Z ]+,\n|, {name}\b", "", made)
        columns = ", ".join(name for name in ("id", *kept) if name not in gone)
        change(
            path,
            f"PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO gone; {made};"
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM gone; DROP TABLE gone",
        )


def test_a_later_version_is_refused_and_left_alone(path: Path) -> None:
    with Store(path) as store:
        store.add(ROW)
    change(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    text = refusal(path, sweep=True)
    assert f"written by a later version (its schema is 99, this one knows {tables.VERSION}): update" in text
    assert path.read_bytes() == before


def test_an_old_database_is_brought_to_this_version_without_a_nanosecond_lost(path: Path) -> None:
    others = (
        "INSERT INTO methods VALUES ('diffusion', 'diffusion', '0123456789abcdef', 'fedcba9876543210', 1, 2, 0.25,"
        """ '{"steps": 8}', '{"step": [0.5]}');"""
        "INSERT INTO computed VALUES ('kodak', 'kodim01', 'jpeg_adaptive', 5.0, 0.0625, 9, 0, 14.5, NULL, NULL, NULL);"
        "INSERT INTO computed VALUES ('kodak', 'kodim01', 'jpeg_adaptive', 5.0, 0.25, 99, 1, 25.5, NULL, NULL, NULL);"
        "INSERT INTO settings VALUES ('seed', '7'); INSERT INTO events VALUES ('then', 'something');"
        "INSERT INTO pictures VALUES ('kodim01', '', 0.0, 'original', x'00');"
        "INSERT INTO pictures VALUES ('kodim01', 'diffusion', 5.0, 'received', x'01');"
        "INSERT INTO pictures VALUES ('kodim01', 'jpeg_adaptive', 5.0, 'received', x'02');"
        "INSERT INTO pictures VALUES ('kodim01', 'softcast', 5.0, 'received', x'03');"  # of a row that never came
    )
    old_run(path, OLD_OTHERS + others)
    expected = replace(
        ROW,
        image_digest="",
        channel_options=ChosenOptions(),
        snr_db=5.0,
        told_snr_db=5.0,
        seed=7,
        options=ChosenOptions(),
        noise_digest="ab",
        psnr_db=25.5,
        ssim=0.5,
        ms_ssim=None,
        lpips=0.25,
        total_ns=1_839_046_047,
        load_ns=11_150_633,
        score_ns=477_861_339,
        header_bits=32,
        header_uses=None,
        header_share=None,
        peak_to_average_db=None,
        lost=None,
        **BEFORE_FRAMES,
        # 1.2 ms of packing by the bytes of 200, 400 and 600, the fields' own byte included
        hops=(
            HopRecord("encoder", 12_530_220, 139_107, 1_303_008, 575_855_357, 222_662, 200_000, 99, 100),
            HopRecord("channel", 10_857_316, 317_287, 14_748_360, 13_240_637, 251_644, 400_000, 199, 200),
            HopRecord("decoder", 14_127_947, 150_984, 898_958, 703_915_262, 246_016, 600_000, 299, 300),
        ),
    )
    for _ in range(2):  # the second time it is of this version already
        with Store(path) as store:
            rows = {(row.snr_db, row.draw, str(row.options)): row for row in store.rows()}
            assert rows[5.0, 0, ""] == expected
            assert set(rows) == {
                (5.0, 0, "steps=4"),
                *((snr_db, draw, "") for snr_db in (5.0, 10.0) for draw in (0, 1)),
            }
            assert [(item.rho, item.delivered, item.image_digest) for item in store.references()] == [
                (0.0625, False, ""),
                (0.25, True, ""),
            ]
            (info,) = store.methods()
            assert (info.options, info.learned, info.label, info.family) == ({"steps": 8}, {"step": (0.5,)}, "", "")
            assert (store.settings(), store.events()) == ({"seed": 7}, [Event("then", "something")])
            assert store.pictures() == [
                Picture(expected.image_key, b"\x00"),
                Picture(expected.key, b"\x01"),
                Picture(store.references()[1].key, b"\x02"),
            ]


def test_a_column_that_is_new_is_empty_in_a_database_of_before_and_nothing_else_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of before is made by taking the column out of one of today."""
    pictures = [Picture(ROW.image_key, b"\x00"), Picture(ROW.key, b"\x01")]
    with Store(path) as store:
        store.add(replace(ROW, draw=1))
        store.add(ROW, pictures)
        store.add_reference(REFERENCE, [Picture(REFERENCE.key, b"\x02")])
        store.set_setting("seed", 7)
        rows, kept = store.rows(), store.pictures()
    change(path, "ALTER TABLE results DROP COLUMN lpips")
    monkeypatch.setattr(migrate, "VERSION", tables.VERSION + 1)
    for _ in range(2):  # the second time it is of this version already
        with Store(path, sweep=True) as store:
            assert store.rows() == [replace(row, lpips=None) for row in rows]
            assert (store.pictures(), store.references(), store.settings()) == (kept, [REFERENCE], {"seed": 7})
            assert not store.add(ROW)


def test_references_of_former_settings_keep_their_scores_under_their_names(path: Path) -> None:
    """JPEG and AVIF were 4:2:0 alone in version 1; WebP is what it was."""
    curves = ("jpeg_adaptive", "jpeg_fixed", "webp_adaptive", "webp_fixed", "avif_adaptive", "gaussian_spectrum")
    with Store(path) as store:
        for bits, curve in enumerate(curves):
            store.add_reference(REFERENCE._replace(curve=curve, bits=bits))
    change(path, "PRAGMA user_version = 1")
    with Store(path, sweep=True) as store:
        assert {item.curve: item.bits for item in store.references()} == {
            "jpeg_420_adaptive": 0,
            "jpeg_420_fixed": 1,
            "webp_adaptive": 2,
            "webp_fixed": 3,
            "avif_420_adaptive": 4,
            "gaussian_spectrum": 5,
        }
        assert store.add_reference(REFERENCE._replace(curve="jpeg_adaptive"))


def test_a_very_old_database_lacks_tables_and_gets_them(path: Path) -> None:
    old_run(path)
    with Store(path) as store:
        assert {row.transmitter_checkpoint for row in store.rows()} == {""}
        assert (store.references(), store.methods()) == ([], [])
        assert store.add_reference(REFERENCE)


def test_an_old_database_is_not_resumed_as_nobody_knows_which_images_it_is_of(path: Path) -> None:
    old_run(path)
    before = path.read_bytes()
    text = refusal(path, sweep=True)
    assert "kept no digests of the images: it can be reported but not resumed; use another folder" in text
    assert path.read_bytes() == before
    Store(path).close()  # reported once
    assert refusal(path, sweep=True) == text


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_whose_headers_crossed_no_air_is_reported_and_not_resumed(path: Path, version: int) -> None:
    """One of before is made by taking the columns of version 3 out of one of today."""
    with Store(path) as store:
        store.add(ROW)
    unpaid = replace(ROW, header_uses=None, header_share=None, peak_to_average_db=None, lost=None)
    for column in ("header_uses", "header_share", "peak_to_average_db", "lost"):
        change(path, f"ALTER TABLE results DROP COLUMN {column}")
    change(path, f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    text = refusal(path, sweep=True)
    assert "a version whose headers crossed no air: it can be reported but not resumed; use another folder" in text
    assert path.read_bytes() == before
    with Store(path) as store:  # reported once, and by that of this version
        assert store.rows() == [unpaid]
    assert refusal(path, sweep=True) == text


def test_a_run_of_before_frames_goes_on_as_one_over_air_that_does_not_fade(path: Path) -> None:
    before = replace(ROW, **BEFORE_FRAMES)
    pictures = [Picture(before.image_key, b"\x00"), Picture(before.key, b"\x01")]
    with Store(path) as store:
        store.add(before, pictures)
        store.add(replace(before, draw=1))
        store.add_reference(REFERENCE, [Picture(REFERENCE.key, b"\x02")])
    drop(path, BEFORE_FRAMES, OF_WHITE_NOISE)
    change(path, "PRAGMA user_version = 3")
    for _ in range(2):  # the second time it is of this version already
        with Store(path, sweep=True) as store:
            assert store.rows() == [before, replace(before, draw=1)]
            assert store.pictures() == [*pictures, Picture(REFERENCE.key, b"\x02")]
            assert store.references() == [REFERENCE]
            assert not store.add_reference(REFERENCE)
            assert store.keys() == {before.key, before.key._replace(draw=1)}
            assert not store.add(before)
    with Store(path, sweep=True) as store:
        for change_of in ({"csi": "perfect"}, {"fading": "block"}, {"block": 8}, {"pilots": 1}, {"interleaved": False}):
            assert store.add(replace(before, **change_of)), change_of
        options = ChosenOptions({"coherence": 8})
        for other in ({"channel": "rayleigh"}, {"channel_options": options}, {"told_above_db": 3.0}, {"draw": 1}):
            assert store.add_reference(REFERENCE._replace(**other)), other


def test_a_run_of_before_expectations_goes_on_as_one_whose_receiver_took_blocks_for_themselves(path: Path) -> None:
    before = replace(ROW, row_length=1, expected_doppler=0.0, expected_spread=0.0)
    with Store(path) as store:
        store.add(before, [Picture(before.key, b"\x01")])
        store.add_reference(REFERENCE)
    drop(path, EXPECTATIONS, ())
    change(path, "PRAGMA user_version = 4")
    with Store(path, sweep=True) as store:
        assert store.rows() == [before]
        assert store.pictures() == [Picture(before.key, b"\x01")]
        assert not store.add(before)
        assert not store.add_reference(REFERENCE)
        for change_of in ({"row_length": 12}, {"expected_doppler": 0.1}, {"expected_spread": 0.1}):
            assert store.add(replace(before, **change_of)), change_of


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_without_rows_is_resumed_whatever_crossed_the_air(path: Path, version: int) -> None:
    with Store(path) as store:
        store.add_reference(REFERENCE)
    for column in ("header_uses", "header_share", "peak_to_average_db", "lost"):
        change(path, f"ALTER TABLE results DROP COLUMN {column}")
    change(path, f"PRAGMA user_version = {version}")
    with Store(path, sweep=True) as store:
        assert store.add(ROW)


def test_an_old_database_without_rows_is_resumed(path: Path) -> None:
    change(path, OLD)
    with Store(path, sweep=True) as store:
        assert store.add(ROW)


def test_a_file_that_cannot_be_written_is_read_from_a_copy() -> None:
    """As another user than root, who may write everything."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "results.sqlite"
        old_run(path)
        before = path.read_bytes()
        path.chmod(0o444)
        Path(name).chmod(0o555)
        said = finish(
            child(
                "os.getuid() or os.setuid(65534)\n"
                "with Store(pathlib.Path(sys.argv[2])) as store:\n"
                "    print(len(store.rows()), len(store.rows()[0].hops))\n"
                "    try: store.add(ROW)\n"
                "    except StoreError as error: print(error)\n",
                path,
            )
        )
        Path(name).chmod(0o755)
        assert said.splitlines() == ["5 3", f"{path} cannot be written: check the rights of the file and its folder"]
        assert path.read_bytes() == before
        assert list(Path(name).iterdir()) == [path]
