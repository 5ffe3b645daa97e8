"""Evaluation images: Kodak, a few samples that need no network, or any folder; and the weights of LPIPS.

Files are looked for in `$JSCC_DATA/<kind>`, then in `~/.cache/jscc-link/<kind>`. What is missing is downloaded,
with a checksum, into the first of the two that can be written. Without a network the user soon gets
another data set, or no weights, and a line that says so.
"""

import hashlib
import http.client
import importlib.resources
import os
import queue
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jscc.images import SUFFIXES

if TYPE_CHECKING:
    from rich.progress import Progress

KODAK_URL = "https://r0k.us/graphics/kodak/kodak/"
ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
ANSWER_TIMEOUT_S = 5.0
"""Longest wait for a server's answer, with name look-up and redirects, and after it for the next bytes."""

_ALEXNET_SHA256 = "7be5be79"
_CHUNK_BYTES = 1 << 16
_SAMPLE_FILES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
_KODAK_SHA256 = (
    "6b4fbe6f3e8e0e20150d5b0c32248bf072e22b5989d415f96f796c5b7004a70f",
    "1788370471429d992750a09caf6702ac74e56962447de02520d4b161738c0369",
    "b9c800ee568f0b18c983817df08d9f7f24a7ddb3abfdc31bde9234c4fde83137",
    "0c60c62599ad33fd78b29c36013fbe4120946f6c327c0ef0ec6983297fb48d23",
    "ccf694ceb6bbf431e0009ed0d5573a8ff0915095b69ddfb527b91d8325897f5e",
    "f4212cc927d1d579c712843cf8320c7eccb571e5ea80456022ffe99d67e9cd5d",
    "7cdd6d63ae0a245f6f9d983d740e11c6808c2efc24f8351aad9b5f676c27b55a",
    "5a6a089bdb47605287c00d89ebf2a5312981eb998c94b5853d917c93a9066cdb",
    "4d8d801592aeaf446978bbd1c83b76c498242d0f684769311a4e7248289500bf",
    "7aca487dc83db732a5690b7affe8558e9dadf5bb44a4589ba2b607480a07228b",
    "c7c02bd6e942d1181518e3ce2d97cf0451e4494a5e9d6ddee276940e4875d746",
    "df571f5e66d1aefd764ea77855e81e3be61528c34962a0fd1d50557502162c1e",
    "797949ce1152ef157ff0a1231c95cb8ed7641615e0b0f5f77f851a44aee19e8d",
    "08a1898d5702f32e7d9f94a94651d74a62cb9325475775a558b388c8d98f1846",
    "416c475f39b0eb9203ce7f77d2af8824f5bffc1a86a4605865017f04c41639b9",
    "5d03303693decdf7a1e1e930b5ca6684283aa80a9e7d8d6a842a74fa5f790640",
    "19d90e98e5835efae20a6e17e22e5ac6814ee2c8efb32d188ea4359abaf9f5bd",
    "83df267dfec61e9b9d3756c422502160b2fab595650c73a8b12940540ad09ec5",
    "86560efe85a13413b228ef7e42dde0d439b25a94fb8e2d6fb1dc1631cf48853b",
    "1ae187d92b3a4483b6717f7fd08592846ffdfc340c6424f6756627a27f3d8ea7",
    "26e193795108c4b5ec47206ae4ff07a353d2492947f7a7ae8d380e042b74027b",
    "627b76fccf714b4ddffb739b2eb63ba2817cf5b5a8e222079542dcf2cfdda939",
    "85c67d7ea758cb0604fb6980ab0c65091a2eefa7b3b50cbb1bc702a60206dfe5",
    "9f1c26df52217bd49f998a720a2ffeba41a535cf826f4ae32e355fb2b0bbc0fe",
)
_KODAK_FILES = {f"kodim{number:02d}.png": digest for number, digest in enumerate(_KODAK_SHA256, start=1)}


class DatasetError(ValueError):
    """A data set that does not exist or is damaged; the text names it and says why."""


class DownloadError(Exception):
    """A file that could not be downloaded; the text is one line."""


@dataclass(frozen=True)
class ImageRef:
    """One image of a data set.

    Attributes:
        id: data set and file, such as "kodak/kodim01"; unique in its set and the same on every machine.
        path: the file.
    """

    id: str
    path: Path


@dataclass(frozen=True)
class Dataset:
    """A named set of images.

    Attributes:
        name: name of the set that is really used, for the report.
        images: at least one image, sorted by name.
        note: one line for the user if this is not the set that was asked for.
    """

    name: str
    images: tuple[ImageRef, ...]
    note: str | None = None


@dataclass(frozen=True)
class Backbone:
    """Where AlexNet's weights for LPIPS are.

    Attributes:
        path: the file; None if there is none.
        note: one line for the user if there is none.
    """

    path: Path | None
    note: str | None = None


class Bars(Protocol):
    """Progress bars in bytes; rich.progress.Progress is one."""

    def add_task(self, description: str, *, total: float | None) -> Any:
        """Begin a task."""

    def advance(self, task: Any, advance: float, /) -> None:
        """Count further bytes."""

    def remove_task(self, task: Any, /) -> None:
        """End a task."""


def names() -> tuple[str, ...]:
    """Return the names that open_dataset knows beside folders."""
    return ("kodak", "samples")


def open_dataset(name: str) -> Dataset:
    """Find a set of images, download it if it is missing.

    Args:
        name: "kodak" (24 photographs, 768x512 or 512x768 px; "samples" take their place without a network),
            "samples" (photographs that scikit-image ships) or a folder, whose images are all taken. Write
            "./kodak" for a folder of that name.

    Raises:
        DatasetError: unknown name, a folder without images, or a damaged file of Kodak.
    """
    if name == "kodak":
        return _open_kodak()
    if name == "samples":
        return _open_samples()
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"dataset: {name!r} is neither a folder nor one of: {', '.join(names())}")
    return _open_folder(folder)


def lpips_backbone() -> Backbone:
    """Find AlexNet's weights, `alexnet_features.pth` or torchvision's file; without either download the latter."""
    downloaded = ALEXNET_URL.rpartition("/")[2]
    for folder in data_folders("lpips"):
        for path in (folder / "alexnet_features.pth", folder / downloaded):
            if path.is_file():
                return Backbone(path)
    try:
        path = writable_folder("lpips") / downloaded
        with _progress() as progress:
            download(ALEXNET_URL, path, _ALEXNET_SHA256, progress)
    except DownloadError as error:
        return Backbone(None, f"lpips: the LPIPS columns stay empty, no AlexNet weights ({error})")
    return Backbone(path)


def download(url: str, target: Path, sha256: str, progress: Bars) -> None:
    """Download one file. The target appears complete and checked, or not at all.

    Args:
        url: http or https address.
        target: the file to write, in a folder that exists.
        sha256: the SHA-256 of the file in hex digits, or the beginning of it.
        progress: shows a bar while the file comes.

    Raises:
        DownloadError: no connection, no such file, a wrong checksum, or the disk refuses.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        digest = _receive(url, part, progress)
        if not digest.startswith(sha256):
            raise DownloadError(f"{url}: wrong checksum, {digest[:8]}... instead of {sha256[:8]}...")
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {' '.join(str(error).split()) or type(error).__name__}") from error
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, part: Path, progress: Bars) -> str:
    """Write the body of an answer to a file and return its SHA-256."""
    digest = hashlib.sha256()
    with closing(_connect(url)) as response, part.open("wb") as file:
        task = progress.add_task(url.rpartition("/")[2], total=response.length)
        while chunk := response.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
            progress.advance(task, len(chunk))
        progress.remove_task(task)
    return digest.hexdigest()


def _connect(url: str) -> http.client.HTTPResponse:
    """Open a URL within ANSWER_TIMEOUT_S.

    In a thread of its own, because looking up a name heeds no timeout and takes long without a network.
    """
    answer: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "jscc-link"})
            answer.put(urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S))
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            answer.put(error)
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


def _progress() -> "Progress":
    """Return a progress bar on standard error; nothing without a terminal, and it vanishes at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def data_folders(kind: str) -> Iterator[Path]:
    """Yield the folders that files of a kind are looked for in, best first; they need not exist."""
    if root := os.environ.get("JSCC_DATA"):
        yield Path(root) / kind
    yield Path.home() / ".cache" / "jscc-link" / kind


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
    raise DownloadError("neither $JSCC_DATA nor ~/.cache/jscc-link can be written")


def _open_kodak() -> Dataset:
    folders = (folder for folder in data_folders("kodak") if not _missing_kodak(folder))
    folder = next(folders, None)
    if folder is None:
        try:
            folder = _download_kodak()
        except DownloadError as error:
            samples = _open_samples()
            return Dataset(samples.name, samples.images, f"dataset: samples instead of kodak ({error})")
    for file, expected in _KODAK_FILES.items():
        if hashlib.sha256((folder / file).read_bytes()).hexdigest() != expected:
            raise DatasetError(f"dataset kodak: {folder / file} is damaged (SHA-256 differs); delete it")
    return _dataset("kodak", folder, _KODAK_FILES)


def _missing_kodak(folder: Path) -> list[str]:
    return [file for file in _KODAK_FILES if not (folder / file).is_file()]


def _download_kodak() -> Path:
    folder = writable_folder("kodak")
    with _progress() as progress:
        for file in _missing_kodak(folder):
            download(KODAK_URL + file, folder / file, _KODAK_FILES[file], progress)
    return folder


def _open_samples() -> Dataset:
    try:
        folder = Path(str(importlib.resources.files("skimage"))) / "data"
    except ModuleNotFoundError as error:
        raise DatasetError("dataset samples: needs scikit-image (jscc-link[orchestrator])") from error
    return _dataset("samples", folder, _SAMPLE_FILES)


def _dataset(name: str, folder: Path, files: Iterable[str]) -> Dataset:
    return Dataset(name, tuple(ImageRef(f"{name}/{Path(file).stem}", folder / file) for file in files))


def _open_folder(folder: Path) -> Dataset:
    paths = sorted(
        path
        for path in folder.resolve().iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise DatasetError(f"dataset: the folder {folder} holds no images ({' '.join(sorted(SUFFIXES))})")
    name = folder.resolve().name or "root"
    taken = Counter(path.stem for path in paths) + Counter(path.name for path in paths)
    # A stem that two files share, or that is another file's name, gives way to the whole name.
    short = {path: path.stem if taken[path.stem] == 1 else path.name for path in paths}
    return Dataset(name, tuple(ImageRef(f"{name}/{short[path]}", path) for path in paths))
