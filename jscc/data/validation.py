"""The validation photographs: 34 that no shipped weights were trained on and that no training may use.

They are every 25th by name of the photographs that the shipped weights were made with, and lie among these in
`$JSCC_DATA/train`. Whatever is chosen, a constant or a default, is chosen on them; Kodak is only reported.
`validation.csv` is the list, by the digests of the files.
"""

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jscc.data.dataset import Dataset, DatasetError, ImageRef
from jscc.data.download import data_folders

NAME = "validation"
FOLDER = "train"
"""Where the photographs lie in a folder of data, in any folder below it."""


class ListedPhoto(NamedTuple):
    """One photograph of the set: the name of its file, and what tells it whatever it is called."""

    name: str
    size_bytes: int
    sha256: str


def listed_photos() -> tuple[ListedPhoto, ...]:
    """Return the photographs of the set, sorted by name."""
    with Path(__file__).with_name("validation.csv").open(encoding="ascii", newline="") as file:
        return tuple(ListedPhoto(line["name"], int(line["bytes"]), line["sha256"]) for line in csv.DictReader(file))


def open_validation(listed: Sequence[ListedPhoto] = ()) -> Dataset:
    """Find the photographs.

    Args:
        listed: others than those of the list.

    Raises:
        DatasetError: some are not there.
    """
    wanted = {photo.name: photo for photo in listed or listed_photos()}
    found: dict[str, Path] = {}
    for root in data_folders(FOLDER):
        paths = [path for path in root.rglob("*") if path.name in wanted]
        there = among(paths, tuple(wanted.values()))
        found = {name: path for path, name in there.items() if path.name == name} | found
    if missing := sorted(set(wanted) - set(found)):
        raise DatasetError(
            f"dataset {NAME}: {len(missing)} of {len(wanted)} photographs, such as {missing[0]}, are not below"
            f" $JSCC_DATA/{FOLDER}; set JSCC_DATA to the folder of the training photographs, or use another dataset"
        )
    return Dataset(NAME, tuple(ImageRef(f"{NAME}/{Path(name).stem}", found[name]) for name in sorted(found)))


def among(paths: Iterable[Path], listed: Sequence[ListedPhoto] = ()) -> dict[Path, str]:
    """Return which files are photographs of the set, whatever they are called, and what the set calls them.

    Only files of the right size in bytes are read.

    Args:
        paths: of files; what is none is left out.
        listed: others than those of the list.
    """
    photos = listed or listed_photos()
    sizes, names = {photo.size_bytes for photo in photos}, {photo.sha256: photo.name for photo in photos}
    found = {}
    for path in paths:
        if os.path.isfile(path) and path.stat().st_size in sizes:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in names:
                found[path] = names[digest]
    return found
