"""Sweeps from the command line: byte-identical when repeated, and nothing lost when something dies."""

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import DEADLINE_S, METHOD, ROOT, Started, cli, command_environment, wait_until

from services.orchestrator.results.store import Store

QUALITY = ("psnr_db", "ssim", "ms_ssim", "lpips")
SNRS = "--snr-db=-5,5,20"


def sweep_command(photos: Path, out: Path, *more: str, draws: int = 2) -> list[str]:
    what = ["--dataset", str(photos), "--methods", METHOD, SNRS, "--draws", str(draws)]
    return ["sweep", *what, "--out", str(out), "--concurrency", "2", *more]


@pytest.fixture
def addresses(link: dict[str, Started]) -> list[str]:
    """Options that name the services that run already, for a sweep that is not to start its own."""
    return [text for hop in ("encoder", "channel", "decoder") for text in (f"--{hop}", link[hop].address)]


def read(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def identity(rows: Iterable[dict[str, str]]) -> list[tuple[str, ...]]:
    names = ("dataset", "image", "image_digest", "method", "checkpoint", "channel", "snr_db", "draw", "seed")
    names += ("noise_digest", "rho", "channel_uses", "header_bits", *QUALITY)
    return [tuple(row[name] for name in names) for row in rows]


def count_rows(out: Path) -> int:
    try:
        database = sqlite3.connect(f"file:{out / 'results.sqlite'}?mode=ro", uri=True)
        try:
            count: int = database.execute("SELECT count(*) FROM results").fetchone()[0]
        finally:
            database.close()
    except sqlite3.OperationalError:
        return 0
    return count


@dataclass
class Running:
    """A sweep in a process of its own."""

    out: Path
    process: subprocess.Popen[bytes]
    log: Path

    def wait_for_rows(self, count: int) -> None:
        wait_until(lambda: count_rows(self.out) >= count, self.process, self.log)

    def wait_for_words(self, words: str) -> None:
        wait_until(lambda: words in self.log.read_text(), self.process, self.log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self) -> str:
        """Wait for its end; return what it said."""
        self.process.wait(timeout=DEADLINE_S)
        return self.log.read_text()

    def services(self) -> dict[str, int]:
        """Process ids of the services that it started itself."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
        return {re.findall(r"services\.(\w+)", command)[0]: child for child, command in commands.items()}


@pytest.fixture
def spawn(photos: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start sweeps into one folder; those that still run at the end are killed."""
    started: list[Running] = []

    def begin(*more: str, state: Path = tmp_path / "state", draws: int = 2) -> Running:
        out, log = tmp_path / "out", tmp_path / f"sweep{len(started)}.log"
        command = [sys.executable, "-m", "services.orchestrator.cli.app"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *sweep_command(photos, out, *more, draws=draws)],
                cwd=ROOT,
                env=command_environment(state),
                stdout=output,
                stderr=output,
            )
        started.append(Running(out, process, log))
        return started[-1]

    yield begin
    for running in started:
        running.kill()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """State folder of a link that `up` starts; `up` also starts again what an earlier test killed."""
    state = tmp_path_factory.mktemp("local")
    yield state
    cli("up", state=state)
    assert "stopped 3 services" in cli("down", state=state).stdout
    assert cli("status", state=state, check=False).returncode == 1


def decoder_pid(state: Path) -> int:
    return next(int(item["pid"]) for item in json.loads((state / "link.json").read_text()) if item["hop"] == "decoder")


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    result = cli(*sweep_command(photos, out), state=out / "state")
    assert "PSNR" in result.stdout
    assert "left to do" in result.stderr  # before the long work: how much of what, and how long it will take
    return out


def test_files_and_rows(undisturbed: Path) -> None:
    rows = read(undisturbed)
    hops = [name.removesuffix("_compute_ms") for name in rows[0] if name.endswith("_compute_ms")]
    assert hops == ["encoder", "channel", "decoder"]
    assert len(rows) == 4 * 3 * 2
    assert len(set(identity(rows))) == len(rows)
    assert METHOD in (undisturbed / "summary.md").read_text()
    assert {path.name for path in (undisturbed / "figures").glob("*.png")} >= {
        "psnr_vs_snr_all_methods.png",
        "ssim_vs_snr.png",
        "latency_comparison.png",
        "visual_comparison.png",
    }


def test_methods_and_cheap_references_are_kept_too(undisturbed: Path) -> None:
    """4 images; 2 codecs x 3 SNRs adaptive, and as many at a fixed rate; 2 Gaussian sources x 3 SNRs; PSNR alone."""
    with Store(undisturbed / "results.sqlite") as store:
        references, (method,) = store.references(), store.methods()
        rows = store.rows()
        row = rows[0]
    assert len(references) == 4 * (2 * 3 + 2 * 3 + 2 * 3)
    assert {(item.rho, item.ssim) for item in references} == {(0.25, None)}
    assert {item.snr_db for item in references} == {-5.0, 5.0, 20.0}
    assert (method.name, method.checkpoint, method.rho) == (row.method, row.checkpoint, 0.25)
    assert (method.label, method.family) == ("SoftCast", "analog")
    assert {item.image_key for item in references} == {item.image_key for item in rows}
    assert method.receiver_parameters == 0  # nothing is learned


def test_parts_add_up_to_the_total(undisturbed: Path) -> None:
    """Nothing is counted twice; 2 % at most is missing, unless another process came between two parts."""
    rows = read(undisturbed)
    times = [name for name in rows[0] if name.endswith("_ms") and name != "total_ms"]
    assert min(float(row[name]) for row in rows for name in times) >= 0
    shares = [sum(float(row[name]) for name in times) / float(row["total_ms"]) for row in rows]
    assert 0.98 <= max(shares) <= 1 + 1e-9


def test_draws_and_snrs_have_noise_of_their_own(undisturbed: Path) -> None:
    digests = [row["noise_digest"] for row in read(undisturbed)]
    assert len(set(digests)) == len(digests)


def test_twice_is_byte_identical(photos: Path, undisturbed: Path, addresses: list[str], tmp_path: Path) -> None:
    cli(*sweep_command(photos, tmp_path, *addresses), state=tmp_path / "state")
    assert identity(read(tmp_path)) == identity(read(undisturbed))


def test_resume_redoes_nothing(photos: Path, undisturbed: Path, addresses: list[str]) -> None:
    before = (undisturbed / "results.csv").read_bytes()
    cli(*sweep_command(photos, undisturbed, *addresses), state=undisturbed / "state")
    assert (undisturbed / "results.csv").read_bytes() == before


def test_killed_sweep_resumes(
    photos: Path, undisturbed: Path, addresses: list[str], spawn: Callable[..., Running]
) -> None:
    """Begun with so many draws that it is killed long before its end, and finished with two."""
    running = spawn(*addresses, draws=1000)
    running.wait_for_rows(6)
    running.kill()
    with Store(running.out / "results.sqlite") as store:
        kept = sum(row.draw < 2 for row in store.rows())
    assert kept > 0
    result = cli(*sweep_command(photos, running.out, *addresses), state=running.out / "state")
    assert f"resuming: {kept} of 24 are done" in result.stderr
    assert identity(row for row in read(running.out) if int(row["draw"]) < 2) == identity(read(undisturbed))


def test_killed_decoder_that_someone_starts_again(
    undisturbed: Path, local: Path, spawn: Callable[..., Running]
) -> None:
    cli("up", state=local)
    running = spawn(state=local)
    running.wait_for_rows(2)
    os.kill(decoder_pid(local), signal.SIGKILL)
    running.wait_for_words("interrupted: decoder at")
    assert "started: decoder" in cli("up", state=local).stderr
    said = running.finish()
    assert running.process.returncode == 0, said
    assert "decoder serves again" in said
    assert identity(read(running.out)) == identity(read(undisturbed))
    assert "interrupted: decoder at" in (running.out / "summary.md").read_text()


def test_killed_decoder_of_the_sweeps_own(undisturbed: Path, spawn: Callable[..., Running]) -> None:
    running = spawn()
    running.wait_for_rows(2)
    os.kill(running.services()["decoder"], signal.SIGKILL)
    said = running.finish()
    assert running.process.returncode == 0, said
    assert "restarted: decoder" in said
    assert identity(read(running.out)) == identity(read(undisturbed))


def test_services_end_with_a_killed_sweep(spawn: Callable[..., Running]) -> None:
    running = spawn(draws=1000)
    running.wait_for_rows(1)
    children = running.services()
    assert sorted(children) == ["channel", "decoder", "encoder"]
    running.kill()
    wait_until(lambda: not any(map(_lives, children.values())))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_patience_ends(local: Path, spawn: Callable[..., Running]) -> None:
    cli("up", state=local)
    running = spawn("--patience-s", "2", state=local, draws=1000)
    running.wait_for_rows(2)
    os.kill(decoder_pid(local), signal.SIGKILL)
    said = running.finish()
    assert running.process.returncode == 1
    assert "what is done is kept" in said
    assert count_rows(running.out) >= 2


def test_up_status_send(photos: Path, local: Path, tmp_path: Path) -> None:
    cli("down", state=local)
    assert cli("status", state=local, check=False).returncode == 1
    assert "started: encoder, channel, decoder" in cli("up", state=local).stderr
    assert "was up already" in cli("up", state=local).stderr
    assert "rho=0.2500" in cli("status", state=local).stdout
    received = tmp_path / "received.png"
    result = cli("send", str(photos / "photo0.png"), "--snr-db", "5", "-o", str(received), state=local)
    assert "PSNR" in result.stdout
    assert "of the total is accounted for" in result.stdout
    assert received.read_bytes().startswith(b"\x89PNG")


def test_a_refused_sweep_leaves_no_folder(photos: Path, addresses: list[str], tmp_path: Path) -> None:
    arguments = [*addresses, "--methods", "nosuch", "--snr-db", "5", "--out", str(tmp_path / "out")]
    result = cli("sweep", "--dataset", str(photos), *arguments, state=tmp_path / "state", check=False)
    assert "'nosuch' is not served by this link" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep", "--snr-db=-5,x"], "snr_db: 'x' is no number"),
        (["sweep", "--snr-db=99", "--dataset", "samples"], "snr_db: 99 is outside -30..60 dB"),
        (["sweep", "--draws", "0", "--dataset", "samples"], "draws: 0 is outside 1..1000"),
        (["sweep", "--dataset", "nosuch"], "dataset: 'nosuch'"),
        (["sweep", "--references", "some", "--dataset", "samples"], "references: unknown choice 'some'"),
        (["up", "--decoders", "deepjscc,nosuch"], "method: no checkpoint of 'nosuch'"),
        (["send", "nosuch.png"], "image nosuch.png: cannot be read"),
        (["send"], "give images or --row"),
        (["send", "nosuch.png", "--row", "nosuch", "1"], "give images or --row"),
        (["send", "--row", "nosuch", "1"], "results.sqlite is missing"),
        (["send", "nosuch.png", "--seed", "-1"], "seed: -1 is outside 0..2^63 - 1"),
        (["send", "nosuch.png", "--seed", str(2**63)], "is outside 0..2^63 - 1"),
        (["sweep", "--seed", str(2**63), "--dataset", "samples"], "is outside 0..2^63 - 1"),
        (["send", "nosuch.png", "--snr-db", "1e309"], "snr_db: inf is outside -30..60 dB"),
        (["send", "nosuch.png", "--channel-model", "smoke"], "channel: unknown channel 'smoke'"),
        (["sweep", "--channel-model", "smoke", "--dataset", "samples"], "channel: unknown channel 'smoke'"),
        (["sweep", "--channels", "awgn,rayleigh:coherence=1"], "has no room for pilots; give csi=perfect or csi=none"),
        (["sweep", "--channels", "rayleigh:k_factor_db=-31"], "channel rayleigh: k_factor_db must be in -30..60"),
        (["sweep", "--channels", "awgn", "--channel-option", "papr_db=8"], "channels: give --channels or"),
        (["send", "nosuch.png", "--channel-model", "rayleigh", "--channel-option", "pilots=0"], "needs at least one"),
        (["send", "nosuch.png", "--channel-option", "csi=perfect"], "channel awgn: csi=perfect has no gains to tell"),
        (["send", "nosuch.png", "--encoder", "127.0.0.1:1"], "--channel"),
        (["report", "nosuch"], "nosuch"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = cli(*arguments, state=tmp_path, check=False)
    assert result.returncode in (1, 2)
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_row_of_a_sweep_is_reproduced(undisturbed: Path, tmp_path: Path) -> None:
    """The last row: another SNR and draw than the first, and its seed is not that of the command's defaults."""
    kept = list(csv.DictReader((undisturbed / "results.csv").read_text().splitlines()))
    result = cli("send", "--row", str(undisturbed), str(len(kept)), "--json", state=tmp_path)
    (sent,) = json.loads(result.stdout)
    assert "the same air and quality as in the row" in result.stderr
    assert sent["noise_digest"] == kept[-1]["noise_digest"]
    assert sent["psnr_db"] == pytest.approx(float(kept[-1]["psnr_db"]), abs=0.005)
    refused = cli("send", "--row", str(undisturbed), str(len(kept) + 1), state=tmp_path, check=False)
    assert refused.returncode == 2
    assert f"outside 1..{len(kept)}" in refused.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("out.gif", "cannot be written as '.gif'"), ("missing/out.png", "there is no folder"), (".", "cannot be written")],
)
def test_where_nothing_can_be_written_is_said_before_anything_is_sent(
    photos: Path, tmp_path: Path, name: str, words: str
) -> None:
    result = cli("send", str(photos / "photo0.png"), "-o", str(tmp_path / name), state=tmp_path / "state", check=False)
    assert result.returncode == 2
    assert words in result.stderr
    assert not (tmp_path / "state").exists()  # no link was started


def test_a_folder_of_images_is_sent_into_a_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "received"
    documents = json.loads(cli("send", str(photos), "-o", str(out), "--json", state=tmp_path).stdout)
    assert [Path(item["path"]).name for item in documents] == [f"photo{number}.png" for number in range(4)]
    assert sorted(path.name for path in out.iterdir()) == [f"photo{number}.png" for number in range(4)]
    assert all(item["told_snr_db"] == item["snr_db"] == 10.0 for item in documents)
