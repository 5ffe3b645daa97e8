"""What a data set of images is, and the check that every image of it can be read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jscc.images import ImageError

MOST_LISTED = 20
"""Unreadable images that an error lists; the others are counted."""

_MOST_CHARACTERS = 120


class DatasetError(ValueError):
    """A data set that does not exist or is damaged; the text names it and says why."""


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


def listed(name: str, folder: Path, files: Iterable[str]) -> Dataset:
    """Return the set of these files of a folder, each named by its stem."""
    return Dataset(name, tuple(ImageRef(f"{name}/{Path(file).stem}", folder / file) for file in files))


def check_images(refs: Iterable[ImageRef]) -> dict[str, str]:
    """Decode every image, so that none stops a run half way; 24 images of Kodak take 0.3 s.

    Returns:
        The digest of each image's pixels by its id (see `jscc.images.pixel_digest`).

    Raises:
        DatasetError: some cannot be read; lists them.
    """
    from jscc.images import ImageError, pixel_digest, read_image  # only now: NumPy and Pillow come with it

    digests: dict[str, str] = {}
    faults: dict[Path, ImageError] = {}
    for ref in refs:
        try:
            digests[ref.id] = pixel_digest(read_image(ref.path))
        except ImageError as error:
            faults[ref.path] = error
    if faults:
        raise unreadable(faults)
    return digests


def unreadable(faults: "Mapping[Path, ImageError]") -> DatasetError:
    """Return the error that lists images and why each cannot be read, MOST_LISTED of them, and the remedy."""
    lines = [f"dataset: {len(faults)} of the images cannot be read; repair or remove them:"]
    for path, error in list(faults.items())[:MOST_LISTED]:
        reason = " ".join(str(error).removeprefix(f"image {path}: ").split())
        lines.append(f"  {path.name[:_MOST_CHARACTERS]}: {reason[:_MOST_CHARACTERS]}")
    if len(faults) > MOST_LISTED:
        lines.append(f"  and {len(faults) - MOST_LISTED} more")
    return DatasetError("\n".join(lines))
