"""Where data lie on this machine, and how what is missing comes there.

Files are looked for in `$JSCC_DATA/<kind>`, then in the user's cache, `~/.cache/jscc-link/<kind>` on Linux. What is
missing is downloaded, with a checksum, into the first of the two that can be written. Without a network that fails
soon, so that the user gets another data set, or no weights, and a line that says so.
"""

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from requests import Response
    from rich.progress import Progress

ANSWER_TIMEOUT_S = 5.0
"""Longest wait for a server's answer, with name look-up and redirects, and after it for the next bytes."""

_CHUNK_BYTES = 1 << 16
_READABLE_BY_ALL = 0o644


class DownloadError(Exception):
    """A file that could not be downloaded; the text is one line."""


class Bars(Protocol):
    """Progress bars in bytes; rich.progress.Progress is one."""

    def add_task(self, description: str, *, total: float | None) -> Any:
        """Begin a task."""

    def advance(self, task: Any, advance: float, /) -> None:
        """Count further bytes."""

    def remove_task(self, task: Any, /) -> None:
        """End a task."""


def data_folders(kind: str) -> Iterator[Path]:
    """Yield the folders that files of a kind are looked for in, best first; they need not exist."""
    if root := os.environ.get("JSCC_DATA"):
        yield Path(root) / kind
    yield _cache_folder() / kind


def writable_folder(kind: str) -> Path:
    """Return the first of data_folders that can be written, created if need be.

    Raises:
        DownloadError: there is none.
    """
    for folder in data_folders(kind):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise DownloadError(f"neither $JSCC_DATA nor {_cache_folder()} can be written")


def _cache_folder() -> Path:
    import platformdirs  # here, as pooch below: where $JSCC_DATA has everything, neither is needed

    return platformdirs.user_cache_path("jscc-link", appauthor=False)


def download(url: str, target: Path, sha256: str, progress: Bars) -> None:
    """Download one file. The target appears complete and checked, or not at all.

    Args:
        url: http or https address.
        target: the file to write, in a folder that exists.
        sha256: the SHA-256 of the file in hex digits.
        progress: shows a bar while the file comes.

    Raises:
        DownloadError: no connection, no such file, a wrong checksum, or the disk refuses.
    """
    import pooch

    def receive(url: str, part: str, _: Any) -> None:
        _receive(url, Path(part), progress)

    pooch.get_logger().setLevel("WARNING")  # the bar says that a file is coming
    try:
        pooch.retrieve(url, f"sha256:{sha256}", target.name, target.parent, downloader=receive)
    except OSError as error:  # those of requests too
        raise DownloadError(f"{url}: {_reason(error)}") from error
    except ValueError as error:
        raise DownloadError(f"{url}: wrong checksum, SHA-256 is not {sha256[:8]}...") from error


def _receive(url: str, part: Path, progress: Bars) -> None:
    """Write the body of an answer to a file."""
    with _ask(url) as response, part.open("wb") as file:
        if not response.ok:
            raise OSError(f"{response.status_code} {response.reason}")
        length = response.headers.get("Content-Length", "")
        task = progress.add_task(url.rpartition("/")[2], total=int(length) if length.isdecimal() else None)
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
            progress.advance(task, len(chunk))
        progress.remove_task(task)
    part.chmod(_READABLE_BY_ALL)  # it came as a temporary file, which is its maker's alone


def _ask(url: str) -> "Response":
    """Return the answer to a request, whose body is still to come, within ANSWER_TIMEOUT_S.

    In a thread of its own, because looking up a name heeds no timeout and takes long without a network.
    """
    import requests

    answer: queue.SimpleQueue[Response | Exception] = queue.SimpleQueue()

    def ask() -> None:
        headers = {"User-Agent": "jscc-link"}
        try:
            answer.put(requests.get(url, headers=headers, stream=True, timeout=ANSWER_TIMEOUT_S))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        response = answer.get(timeout=ANSWER_TIMEOUT_S)
    except queue.Empty:
        raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
    if isinstance(response, Exception):
        raise response
    return response


def _reason(error: BaseException) -> str:
    """Return what the system said in one line; requests wraps it three times."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(said.split()) or type(error).__name__


def progress_bars() -> "Progress":
    """Return progress bars on standard error; nothing without a terminal, and they vanish at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
