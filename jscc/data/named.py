"""Data sets by name: for a user of this machine, and for a stranger who may not look around on it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from jscc.data.dataset import Dataset, DatasetError
from jscc.data.folders import open_folder
from jscc.data.kodak import open_kodak
from jscc.data.samples import open_samples
from jscc.data.synthetic import open_synthetic
from jscc.data.validation import open_validation

MOST_CHARACTERS = 100
"""Longest name that a stranger may ask for, and the longest part of any name that an error repeats."""

_SETS: Mapping[str, Callable[[], Dataset]] = MappingProxyType(
    {"kodak": open_kodak, "samples": open_samples, "synthetic": open_synthetic, "validation": open_validation}
)


def names() -> tuple[str, ...]:
    """Return the names that open_dataset knows beside folders."""
    return tuple(_SETS)


def open_dataset(name: str) -> Dataset:
    """Find a set of images, download it if it is missing.

    Args:
        name: "kodak" (24 photographs, 768x512 or 512x768 px; "samples" take their place without a network),
            "samples" (five photographs that come with the package), "synthetic" (five images that are made here),
            "validation" (34 of the training photographs, which nothing is trained on) or a folder, whose images are all
            taken. Write "./kodak" for a folder of that name.

    Raises:
        DatasetError: unknown name, a folder without images, a damaged file of Kodak, or no validation photographs.
    """
    if name in _SETS:
        return _SETS[name]()
    folder = os.path.expanduser(name)
    if not os.path.isdir(folder):  # False too for what no folder can be called
        shown = name[:MOST_CHARACTERS]
        raise DatasetError(f"dataset: {shown!r} is neither a folder nor one of: {', '.join(names())}")
    return open_folder(Path(folder))


def open_offered(name: str, root: Path | None) -> Dataset:
    """Find a set of images for a stranger, such as a caller of the API.

    Args:
        name: one of `names()`, or a folder below `root` by its relative name, at most MOST_CHARACTERS characters.
        root: where offered folders lie, such as `$JSCC_DATA`; None to offer the named sets alone.

    Raises:
        DatasetError: not offered, in one sentence whatever the reason, so that nobody learns which folders there are;
            or a damaged file of Kodak.
    """
    if name in _SETS:
        return _SETS[name]()
    try:
        return open_folder(_below(root, name))
    except (ValueError, OSError, RuntimeError):  # of open_folder, and what odd names do to resolve()
        shown, known = name[:MOST_CHARACTERS], ", ".join(names())
        raise DatasetError(
            f"dataset: {shown!r} is not offered; expected one of: {known}, or a folder of images below JSCC_DATA by "
            f"its relative name of at most {MOST_CHARACTERS} characters"
        ) from None


def _below(root: Path | None, name: str) -> Path:
    """Return the folder of a relative name below a root.

    Raises:
        DatasetError: there is no root, the name is no such name, or it leads out of the root.
    """
    parts = PurePosixPath(name).parts
    if root is None or not parts or len(name) > MOST_CHARACTERS or ".." in parts or name.startswith(("/", "~")):
        raise DatasetError("not below the root")
    folder = (root / name).resolve()
    if root.resolve() not in folder.parents:
        raise DatasetError("leads out of the root")
    return folder
