"""Where training photos come from: folders and named sets, decoded once into a cache."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jscc import images
from jscc.data import DownloadError, div2k, is_image, validation
from trainer import progress
from trainer.data import Photos
from trainer.files import naming


def split(
    paths: Sequence[Path], every: int, listed: Sequence[validation.ListedPhoto] = ()
) -> tuple[list[int], list[int]]:
    """Split photos into (training, validation) indices.

    For validation are those of the data set "validation" (`jscc/data/validation.py`); where there is none of these, as
    among photos of one's own, every n-th by name.

    Args:
        paths: of the photos.
        every: n.
        listed: others than those of the data set.

    Raises:
        ValueError: a photo of the data set goes by another name, and would be trained on.
    """
    held_out = validation.among(paths, listed)
    for path, name in held_out.items():
        if path.name != name:
            raise ValueError(f"data: {path} is {name} of the validation set, which is never trained on; remove it")
    order = sorted(range(len(paths)), key=lambda index: paths[index].name)
    chosen = [index for index in order if paths[index] in held_out] if held_out else order[::every]
    return sorted(set(order).difference(chosen)), sorted(chosen)


def evenly_spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` indices (or all) that are evenly spread over range(count)."""
    wanted = min(count, wanted)
    return [index * count // wanted for index in range(wanted)]


def find(folders: tuple[str, ...]) -> dict[Path, int]:
    """List the photos of folders, or of $JSCC_DATA/train when there is none.

    Args:
        folders: folders, searched with all that is in them; "div2k" is the data set, "./div2k" a folder.

    Returns:
        The number of the folder that each photo was first found in, sorted by file name.

    Raises:
        ValueError: there is no such folder or no photo in it, or a set cannot be downloaded; says which and why.
    """
    root = os.environ.get("JSCC_DATA")
    if not folders and not root:
        raise ValueError("data: no photos given: set JSCC_DATA (photos in $JSCC_DATA/train), data.folders or --data")
    found: dict[Path, int] = {}
    for number, folder in enumerate([_folder(name) for name in folders] or [Path(root or "") / "train"]):
        if not folder.is_dir():
            raise ValueError(f"data: no folder {folder}")
        photos = [path.resolve() for path in folder.rglob("*") if is_image(path)]
        if not photos:
            raise ValueError(f"data: no photo ({', '.join(sorted(images.SUFFIXES))}) under {folder}")
        for path in photos:  # a photo that is found twice must not be trained on and validated with
            found.setdefault(path, number)
    return {path: found[path] for path in sorted(found, key=lambda path: (path.name, str(path)))}


def _folder(name: str) -> Path:
    if name != div2k.NAME:
        return Path(name).expanduser()
    try:
        with progress.shown() as shown:
            return div2k.open_folder(shown)
    except DownloadError as error:
        raise ValueError(f"data: folders: div2k: {error}") from error


def shares(origins: Iterable[int], weights: tuple[float, ...]) -> Tensor:
    """Return each photo's share [photos] of the draws, so that every folder gets its weight.

    Args:
        origins: number of the folder of each photo.
        weights: of the folders, in any unit.

    Raises:
        ValueError: no photo of some folder is left for training.
    """
    numbers = torch.tensor(list(origins))
    counts = torch.bincount(numbers, minlength=len(weights))
    if int(counts.min()) == 0:
        raise ValueError(f"data: weights: folder {int(counts.argmin())} has no photo of its own to train on")
    return (torch.tensor(weights, dtype=torch.float64) / counts)[numbers]


def read_image(path: Path) -> Tensor:
    """Read an image file as uint8 [3, H, W].

    Raises:
        ImageError: the file is no image; names the file.
    """
    return torch.from_numpy(images.read_image(path)).permute(2, 0, 1).contiguous()


def load(paths: Iterable[Path], cache: Path) -> Photos:
    """Load photos through a cache of decoded pixels.

    Args:
        paths: the files; their paths, sizes and times of change are the key of the cache.
        cache: folder for `<key>.npy` (uint8 [n]) and `<key>.json` (heights and widths); created when missing.

    Raises:
        ValueError: files cannot be read; names all of them.
        OSError: the cache cannot be written; names it.
    """
    paths = list(paths)
    key = _key(paths)
    pixels_file, index_file = cache / f"{key}.npy", cache / f"{key}.json"
    kept = _read_cache(pixels_file, index_file)
    if kept is None:
        with naming(pixels_file):
            cache.mkdir(parents=True, exist_ok=True)
            _decode(paths, pixels_file, index_file)
        kept = np.load(pixels_file), json.loads(index_file.read_bytes())
    pixels, sizes = torch.from_numpy(kept[0]), torch.tensor(kept[1], dtype=torch.int64).reshape(-1, 2)
    lengths = 3 * sizes.prod(dim=1)
    return Photos(pixels, lengths.cumsum(0) - lengths, sizes, tuple(path.name for path in paths))


def _key(paths: list[Path]) -> str:
    """Return a name of the photos as they are now; digests of their contents would read all of them at every start."""
    states = [path.stat() if path.is_file() else None for path in paths]
    files = [
        [str(path.resolve()), state and [state.st_size, state.st_mtime_ns]]
        for path, state in zip(paths, states, strict=True)
    ]
    return hashlib.blake2b(json.dumps(files).encode(), digest_size=8).hexdigest()


def _read_cache(pixels_file: Path, index_file: Path) -> tuple[NDArray[np.uint8], list[list[int]]] | None:
    """Return pixels and sizes of a cache, None where there is none or it is damaged."""
    if not index_file.is_file():  # written last
        return None
    try:
        pixels, sizes = np.load(pixels_file), json.loads(index_file.read_bytes())
    except (OSError, ValueError, EOFError):
        return None
    return (pixels, sizes) if pixels.size == sum(3 * height * width for height, width in sizes) else None


def _decode(paths: list[Path], pixels_file: Path, index_file: Path) -> None:
    """Decode photo by photo, so that memory holds one of them; the length is put in at the end."""
    raw, temporary = (pixels_file.with_name(f"{pixels_file.stem}.{os.getpid()}.{kind}") for kind in ("raw", "tmp"))
    try:
        sizes = _decode_into(raw, paths)
        with temporary.open("wb") as file:
            np.save(file, np.memmap(raw, dtype=np.uint8, mode="r"))
        os.replace(temporary, pixels_file)
        temporary.write_text(json.dumps(sizes), encoding="utf-8")
        os.replace(temporary, index_file)
    finally:
        for file_left in (raw, temporary):
            file_left.unlink(missing_ok=True)


def _decode_into(raw: Path, paths: list[Path]) -> list[list[int]]:
    """Write the pixels of all photos one after the other; return their heights and widths.

    Raises:
        ValueError: files cannot be read; names all of them, after the last one was tried.
    """
    sizes: list[list[int]] = []
    bad: dict[Path, str] = {}
    with raw.open("wb") as file, progress.shown() as shown:
        task = shown.add_task("decoding photos, once", total=len(paths))
        for path in paths:
            try:
                photo = _read_regular(path)
            except images.ImageError as error:
                bad[path] = str(error).removeprefix(f"image {path}: ")
            else:
                sizes.append(list(photo.shape[1:]))
                file.write(photo.numpy().data)
            shown.advance(task, 1)
    if bad:
        listed = "".join(f"\n  {path}: {reason}" for path, reason in bad.items())
        raise ValueError(f"data: {len(bad)} of {len(paths)} photos cannot be read; mend or remove them:{listed}")
    return sizes


def _read_regular(path: Path) -> Tensor:
    if not path.is_file():  # a pipe would be waited for, without end
        raise images.ImageError("no such file" if not path.exists() else "no regular file")
    return read_image(path)
