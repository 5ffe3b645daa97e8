"""What is missing is downloaded, checked or replaced, soon, and leaves nothing behind where that fails."""

import gc
import hashlib
import io
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from factories import REPOSITORY
from rich.console import Console
from rich.progress import Progress

from jscc import images
from jscc.data import Backbone, DatasetError, DownloadError, download, kodak, lpips_backbone, open_dataset, weights

DATA = Path(os.environ.get("JSCC_DATA") or REPOSITORY.parent / "shared" / "data")
BODY = bytes(range(256)) * 1000
BODY_SHA256 = hashlib.sha256(BODY).hexdigest()

needs_kodak = pytest.mark.skipif(not (DATA / "kodak").is_dir(), reason="no Kodak images in $JSCC_DATA")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, but nobody listens: a connection is refused
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data, an empty home and no network."""
    for variable in ("JSCC_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kodak, "URL", f"http://127.0.0.1:{closed_port}/")
    monkeypatch.setattr(weights, "ALEXNET_URL", f"http://127.0.0.1:{closed_port}/alexnet-owt-7be5be79.pth")
    return tmp_path / "home"


@pytest.fixture
def progress() -> Progress:
    return Progress(console=Console(file=io.StringIO()))


class Files(BaseHTTPRequestHandler):
    """Serves the Kodak images, /body, and nothing else."""

    def do_GET(self) -> None:
        source = DATA / "kodak" / Path(self.path).name
        body = BODY if self.path == "/body" else source.read_bytes() if source.is_file() else None
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or BODY)))
        self.end_headers()
        self.wfile.write(body or BODY)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.fixture
def kodak_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(DATA / "kodak", tmp_path / "data" / "kodak", copy_function=shutil.copyfile)
    (tmp_path / "data" / "kodak").chmod(0o755)
    monkeypatch.setenv("JSCC_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "kodak"


@needs_kodak
def test_kodak_is_read_in_place_and_its_checksums_agree(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("JSCC_DATA", str(DATA))
    found = open_dataset("kodak")
    assert (found.name, found.note) == ("kodak", None)
    assert [ref.id for ref in found.images] == [f"kodak/kodim{number:02d}" for number in range(1, 25)]
    sizes = {images.read_image(ref.path).shape for ref in found.images}
    assert sizes == {(512, 768, 3), (768, 512, 3)}
    assert not home.exists()


@needs_kodak
def test_damaged_file_of_kodak_is_refused_by_name_and_kept(kodak_copy: Path) -> None:
    raw = bytearray((kodak_copy / "kodim07.png").read_bytes())
    raw[-100] ^= 1
    (kodak_copy / "kodim07.png").write_bytes(raw)
    with pytest.raises(DatasetError, match=r"dataset kodak: .*kodim07\.png is damaged"):
        open_dataset("kodak")
    assert (kodak_copy / "kodim07.png").read_bytes() == raw


@needs_kodak
def test_missing_files_of_kodak_are_downloaded_beside_the_others(
    kodak_copy: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kodim03.png", "kodim24.png"):
        (kodak_copy / name).unlink()
    monkeypatch.setattr(kodak, "URL", server)
    found = open_dataset("kodak")
    assert found.name == "kodak"
    assert all(ref.path.parent == kodak_copy and ref.path.is_file() for ref in found.images)
    monkeypatch.setattr(kodak, "URL", "http://127.0.0.1:1/")
    assert open_dataset("kodak") == found


@needs_kodak
def test_kodak_is_downloaded_to_the_cache_without_a_data_folder(
    server: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kodak, "URL", server)
    found = open_dataset("kodak")
    assert found.name == "kodak"
    assert sorted(path.name for path in (home / ".cache/jscc-link/kodak").iterdir()) == [
        f"kodim{number:02d}.png" for number in range(1, 25)
    ]
    assert capsys.readouterr() == ("", "")


def test_samples_take_the_place_of_kodak_without_a_network() -> None:
    fallback = open_dataset("kodak")
    samples = open_dataset("samples")
    assert (fallback.name, fallback.images) == ("samples", samples.images)
    assert fallback.note is not None
    assert fallback.note.startswith("dataset: samples instead of kodak (http://127.0.0.1:")
    assert "Connection refused" in fallback.note
    assert "\n" not in fallback.note


def test_samples_take_the_place_of_kodak_if_no_folder_can_be_written(home: Path) -> None:
    home.write_bytes(b"a file where the home folder should be")
    note = open_dataset("kodak").note
    assert note is not None
    assert f"neither $JSCC_DATA nor {home}/.cache/jscc-link can be written" in note


@pytest.mark.parametrize("name", ["alexnet_features.pth", "alexnet-owt-7be5be79.pth"])
def test_weights_are_found_in_the_data_folder(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSCC_DATA", str(tmp_path))
    (tmp_path / "lpips").mkdir()
    (tmp_path / "lpips" / name).touch()
    assert lpips_backbone() == Backbone(tmp_path / "lpips" / name)


def test_weights_are_downloaded_once(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ALEXNET_URL", f"{server}body")
    monkeypatch.setattr(weights, "ALEXNET_SHA256", BODY_SHA256)
    expected = Backbone(home / ".cache/jscc-link/lpips/body")
    assert lpips_backbone() == expected
    monkeypatch.setattr(weights, "ALEXNET_URL", "http://127.0.0.1:1/body")
    assert lpips_backbone() == expected


def test_without_weights_a_line_says_so() -> None:
    backbone = lpips_backbone()
    assert backbone.path is None
    assert backbone.note is not None
    assert backbone.note.startswith("lpips: the LPIPS columns stay empty")
    assert "\n" not in backbone.note


def test_download_writes_the_checked_file_for_all_to_read(tmp_path: Path, server: str, progress: Progress) -> None:
    download.download(f"{server}body", tmp_path / "x", BODY_SHA256, progress)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [BODY]
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_bar_counts_the_bytes_of_the_file(tmp_path: Path, server: str) -> None:
    class Counter:
        """Bars that are only counted."""

        total: float | None = None
        count = 0
        open_tasks = 0

        def add_task(self, description: str, *, total: float | None) -> str:
            assert description == "body"
            self.total, self.open_tasks = total, self.open_tasks + 1
            return "task"

        def advance(self, task: str, advance: float, /) -> None:
            self.count += int(advance)

        def remove_task(self, task: str, /) -> None:
            self.open_tasks -= 1

    counter = Counter()
    download.download(f"{server}body", tmp_path / "x", BODY_SHA256, counter)
    assert (counter.total, counter.count, counter.open_tasks) == (len(BODY), len(BODY), 0)


@pytest.mark.parametrize(("path", "reason"), [("body", "wrong checksum"), ("gone", r"404 Not Found$")])
def test_failed_download_leaves_neither_file_nor_connection(
    tmp_path: Path, server: str, progress: Progress, path: str, reason: str
) -> None:
    text = ""
    try:
        download.download(f"{server}{path}", tmp_path / "x", "0" * 64, progress)
    except DownloadError as error:
        text = str(error)
    assert text.startswith(f"{server}{path}: ")
    assert re.search(reason, text)
    assert not list(tmp_path.iterdir())
    gc.collect()  # a connection left open would raise its warning here


def test_server_that_never_answers_is_given_up(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/body"
        with pytest.raises(DownloadError, match=r"timed out|no answer within 0\.2 s"):
            download.download(url, tmp_path / "x", BODY_SHA256, progress)
    assert not list(tmp_path.iterdir())


def test_server_that_stops_in_the_middle_is_given_up(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_TIMEOUT_S", 0.2)
    test_is_over = threading.Event()

    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
            test_is_over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/body"
        with pytest.raises(DownloadError, match=rf"^{url}: (timed out|no answer within 0\.2 s)$"):
            download.download(url, tmp_path / "x", BODY_SHA256, progress)
        test_is_over.set()
        thread.join()
    assert not list(tmp_path.iterdir())


def test_name_look_up_that_hangs_is_given_up(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_is_over = threading.Event()

    def look_up(*arguments: object, **options: object) -> None:
        test_is_over.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(download, "ANSWER_TIMEOUT_S", 0.2)
    with pytest.raises(DownloadError, match=r"http://images\.invalid/body: no answer within 0\.2 s"):
        download.download("http://images.invalid/body", tmp_path / "x", BODY_SHA256, progress)
    test_is_over.set()
    assert not list(tmp_path.iterdir())
