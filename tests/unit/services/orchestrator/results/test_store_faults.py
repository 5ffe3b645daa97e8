"""Faults of the results database, each really provoked and told in one sentence."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_store import INFO, ROW, child, finish

from services.orchestrator.results.database import when_free
from services.orchestrator.results.faults import StoreError, StoreLockedError
from services.orchestrator.results.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def refusal(path: Path, **how: bool) -> str:
    """The one sentence with which a database is refused, or anything in it."""
    with pytest.raises(StoreError) as caught, Store(path, **how) as store:
        store.settings(), store.rows(), store.pictures(), store.methods()
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def change(path: Path, script: str) -> None:
    database = sqlite3.connect(path)
    database.executescript(script)
    database.close()


@pytest.mark.parametrize("table", ["results", "computed", "events", "tune"])
def test_another_schema_is_refused_by_file_name_and_left_alone(path: Path, table: str) -> None:
    change(path, f"CREATE TABLE {table} (title TEXT)")
    before = path.read_bytes()
    assert "has another schema" in refusal(path)
    assert path.read_bytes() == before


def test_a_table_of_this_version_with_other_columns_is_refused_by_name(path: Path) -> None:
    with Store(path) as store:
        store.add(ROW)
    change(path, "ALTER TABLE hops ADD COLUMN more TEXT")
    assert "has another schema than this version's (see: hops)" in refusal(path)


def test_a_file_that_is_no_database_is_refused_by_name(path: Path) -> None:
    path.write_text("dataset,image,method\n" * 100)
    assert "cannot be read as a results database" in refusal(path)
    assert "cannot be read as a results database" in refusal(path, sweep=True)


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.touch()
    with Store(path, sweep=True) as store:
        assert store.add(ROW)


def test_a_damaged_file_is_refused_and_told_how_to_save_what_can_be_saved(path: Path) -> None:
    with Store(path) as store:
        for draw in range(50):
            store.add(replace(ROW, draw=draw))
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xa5" * (len(raw) - 8192)  # the first pages, with the schema, stay
    path.write_bytes(raw)
    text = refusal(path)
    assert "is damaged" in text
    assert f"`sqlite3 {path} .recover`" in text


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE settings SET value = '{'", "setting 'seed'"),
        ("UPDATE results SET options = '{'", "options"),
        ("UPDATE results SET channel_options = '[1]'", "channel_options"),
        ("UPDATE methods SET learned = 'x'", "learned"),
    ],
)
def test_a_damaged_value_is_refused_by_name(path: Path, damage: str, named: str) -> None:
    with Store(path) as store:
        store.add(ROW)
        store.set_setting("seed", 1)
        store.set_method(INFO)
    change(path, damage)
    text = refusal(path)
    assert "is damaged" in text
    assert named in text


def test_something_else_in_the_place_of_the_file_is_named(path: Path) -> None:
    path.mkdir()
    assert "is a folder where a results database should be" in refusal(path)
    path.rmdir()
    os.mkfifo(path)
    assert "is no plain file where a results database should be" in refusal(path, sweep=True)


def test_a_file_in_the_place_of_the_folder_is_named_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file is a file where the folder of .* should be: use another folder"):
        Store(tmp_path / "file" / "run" / "results.sqlite", sweep=True)


FILL = """
limit, path = int(sys.argv[2]), pathlib.Path(sys.argv[3])
if limit:
    import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with Store(path, sweep=True) as store:
    for draw in range(1000):
        row = replace(ROW, draw=draw)
        try: store.add(row, [Picture(row.key, bytes(30_000))])
        except StoreError as error: said = error; break
    print(draw, said)
"""


def assert_kept(path: Path, said: str) -> None:
    """What was added before the disk was full is there, and goes on."""
    count, text = said.split(" ", 1)
    assert str(path) in text
    assert "what is finished is kept: make room" in text
    with Store(path, sweep=True) as store:
        assert [row.draw for row in store.rows()] == list(range(int(count)))
        assert len(store.pictures()) == int(count) > 3
        assert store.add(replace(ROW, draw=1000))


def test_a_file_that_may_not_grow_loses_no_row(path: Path) -> None:
    assert_kept(path, finish(child(FILL, 500_000, path)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_no_row(small_disk: Path) -> None:
    path = small_disk / "results.sqlite"
    (small_disk / "other").write_bytes(bytes(500_000))
    said = finish(child(FILL, 0, path))
    assert "its disk is full" in said
    (small_disk / "other").unlink()
    assert_kept(path, said)


def hold(path: Path) -> sqlite3.Connection:
    """Another program in the middle of a transaction."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def test_a_locked_file_is_waited_for_while_the_loop_goes_on(path: Path) -> None:
    with Store(path, sweep=True) as store:
        store.set_setting("seed", 1)
        other, waits = hold(path), asyncio.Event()
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            waits.set()

        added = asyncio.create_task(when_free(lambda: store.add(ROW), 600.0, say))
        await waits.wait()
        store.add_event("meanwhile")  # is not lost either
        other.execute("ROLLBACK")  # here, in the loop that waits
        other.close()
        assert await added
        assert len(said) == 1
        assert f"{path} is locked by another program; what is finished is kept" in said[0]
        assert [event.text for event in store.events()] == ["meanwhile"]
    with Store(path) as store:
        assert store.rows() == [ROW]


async def test_an_open_is_waited_for_too(path: Path) -> None:
    with Store(path) as store:
        store.add(ROW)
    other, waits = sqlite3.connect(path, isolation_level=None), asyncio.Event()
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    opened = asyncio.create_task(when_free(lambda: Store(path, sweep=True), 600.0, lambda _: waits.set()))
    await waits.wait()
    other.close()
    with await opened as store:
        assert store.rows() == [ROW]


async def test_a_lock_that_stays_is_told_in_one_sentence(path: Path) -> None:
    with Store(path, sweep=True) as store:
        store.set_setting("seed", 1)
        other = hold(path)
        with pytest.raises(StoreLockedError, match=r"results\.sqlite is locked by another program"):
            await when_free(lambda: store.add(ROW), 0.0)
        other.close()
        assert store.rows() == []


def test_a_report_reads_beside_a_sweep_and_beside_a_lock(path: Path) -> None:
    with Store(path, sweep=True) as store:
        store.add(ROW)
        other = hold(path)
        with Store(path) as reader:
            assert reader.rows() == [ROW]
        other.close()
        store.add(replace(ROW, draw=1))


def test_a_second_sweep_is_told_of_the_first_until_that_has_ended_in_any_way(path: Path) -> None:
    process = child(
        "store = Store(pathlib.Path(sys.argv[2]), sweep=True); store.add(ROW); print('on', flush=True)\n"
        "sys.stdin.read()",
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    with pytest.raises(StoreError, match=rf"another sweep writes its results there \(process {process.pid}\): wait"):
        Store(path, sweep=True)
    with Store(path) as reader:
        assert reader.rows() == [ROW]
    process.kill()
    process.communicate()
    with Store(path, sweep=True) as store:
        assert store.keys() == {ROW.key}
        with pytest.raises(StoreError, match=rf"process {os.getpid()}"):
            Store(path, sweep=True)
    Store(path, sweep=True).close()


def test_of_two_sweeps_that_begin_at_once_the_second_to_write_is_refused(path: Path) -> None:
    with Store(path, sweep=True) as first, Store(path, sweep=True) as second:
        first.add(ROW)
        with pytest.raises(StoreError, match="another sweep writes its results there"):
            second.set_setting("seed", 1)
    with Store(path, sweep=True) as store, Store(path.with_name("b"), sweep=True) as late:
        Store(path.with_name("b")).set_setting("seed", 1)
        with pytest.raises(StoreError, match="has just been made by another command"):
            late.add(ROW)
        assert store.settings() == {}
