"""Images of any folder."""

import os
from collections import Counter
from pathlib import Path

from jscc.data.dataset import Dataset, DatasetError, ImageRef


def open_folder(folder: Path) -> Dataset:
    """Take all images of a folder, without those of the folders in it and without hidden ones.

    Raises:
        DatasetError: it cannot be read or holds no images.
    """
    from jscc.images import SUFFIXES  # only now: NumPy and Pillow come with it

    try:
        folder = folder.resolve()
        paths = sorted(path for path in folder.iterdir() if is_image(path))
    except OSError as error:
        raise DatasetError(f"dataset: the folder {folder} cannot be read ({error.strerror})") from error
    if not paths:
        raise DatasetError(f"dataset: the folder {folder} holds no images ({' '.join(sorted(SUFFIXES))})")
    name = folder.name or "root"
    taken = Counter(path.stem for path in paths) + Counter(path.name for path in paths)
    # A stem that two files share, or that is another file's name, gives way to the whole name.
    short = {path: path.stem if taken[path.stem] == 1 else path.name for path in paths}
    return Dataset(name, tuple(ImageRef(f"{name}/{short[path]}", path) for path in paths))


def is_image(path: Path) -> bool:
    """Return whether a path is a file that by its name is an image; hidden files are not."""
    from jscc.images import SUFFIXES

    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and os.path.isfile(path)
