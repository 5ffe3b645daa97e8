"""Training photos: decoded once, kept in memory, cropped on the device."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from jscc import images
from trainer.journal import interval_s


@dataclass(frozen=True)
class Photos:
    """Photos of any sizes in one flat tensor.

    Attributes:
        pixels: uint8 [n], every photo as C-contiguous [3, H, W], one after the other.
        offsets: int64 [photos], where each one begins.
        sizes: int64 [photos, 2], (H, W) in pixels.
        names: file name without folder, one each.
    """

    pixels: Tensor
    offsets: Tensor
    sizes: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.names)

    def image(self, index: int) -> Tensor:
        """Return one photo as uint8 [3, H, W], a view."""
        start, (height_px, width_px) = int(self.offsets[index]), self.sizes[index].tolist()
        return self.pixels[start : start + 3 * height_px * width_px].view(3, height_px, width_px)

    def subset(self, indices: list[int]) -> "Photos":
        """Return the photos of these indices; they share the pixels."""
        names = tuple(self.names[index] for index in indices)
        return Photos(self.pixels, self.offsets[indices], self.sizes[indices], names)

    def to(self, device: torch.device) -> "Photos":
        """Move everything to a device."""
        return Photos(self.pixels.to(device), self.offsets.to(device), self.sizes.to(device), self.names)


@dataclass(frozen=True)
class Crops:
    """How crops are drawn.

    Attributes:
        crop_px: their side.
        batch_size: crops per batch.
        flips: mirror half of them.
        rotations: turn them by a random multiple of 90 degrees.
    """

    crop_px: int
    batch_size: int
    flips: bool
    rotations: bool

    def draw(self, photos: Photos, generator: torch.Generator) -> Tensor:
        """Draw a batch, all on the generator's device and without waiting for it.

        Args:
            photos: on the generator's device, no side below crop_px; each is equally likely.
            generator: draws photos, places and flips.

        Returns:
            float32 [B, 3, crop_px, crop_px] in [0, 1].
        """
        device = generator.device
        draws = torch.rand(5, self.batch_size, generator=generator, device=device, dtype=torch.float64)
        which = (draws[0] * len(photos)).long()
        height_px, width_px = photos.sizes[which].unbind(1)
        top = (draws[1] * (height_px - self.crop_px + 1)).long()
        left = (draws[2] * (width_px - self.crop_px + 1)).long()
        rows, columns = self._grid(draws[3] < 0.5, (draws[4] * 4).long())
        rows, columns = rows + top[:, None, None], columns + left[:, None, None]
        within = photos.offsets[which][:, None, None] + rows * width_px[:, None, None] + columns
        planes = torch.arange(3, device=device)[None, :] * (height_px * width_px)[:, None]
        return photos.pixels[within[:, None] + planes[:, :, None, None]].float() / 255

    def _grid(self, flip: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row and the column [B, crop_px, crop_px] inside the crop that every output pixel shows."""
        steps = torch.arange(self.crop_px, device=flip.device)
        rows = steps[None, :, None].expand(self.batch_size, self.crop_px, self.crop_px)
        columns = rows.transpose(1, 2)
        last = self.crop_px - 1
        if self.flips:
            columns = torch.where(flip[:, None, None], last - columns, columns)
        if self.rotations:
            turns = turns[:, None, None]
            odd = turns % 2 == 1
            rows, columns = torch.where(odd, columns, rows), torch.where(odd, rows, columns)
            rows = torch.where((turns == 1) | (turns == 2), last - rows, rows)
            columns = torch.where(turns >= 2, last - columns, columns)
        return rows, columns


def split(names: tuple[str, ...], every: int) -> tuple[list[int], list[int]]:
    """Split photos into (training, validation) indices: every n-th by name is for validation."""
    order = sorted(range(len(names)), key=lambda index: names[index])
    validation = set(order[::every])
    return [index for index in range(len(names)) if index not in validation], sorted(validation)


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` indices (or all) that are evenly spread over range(count)."""
    wanted = min(count, wanted)
    return [index * count // wanted for index in range(wanted)]


def find(folders: tuple[str, ...]) -> list[Path]:
    """List the photos of folders, or of $JSCC_DATA/train when there is none, sorted by name.

    Raises:
        ValueError: there is no such folder or no photo in it; says which and what to do.
    """
    root = os.environ.get("JSCC_DATA")
    if not folders and not root:
        raise ValueError("data: no photos given: set JSCC_DATA (photos in $JSCC_DATA/train), data.folders or --data")
    found: set[Path] = set()
    for folder in [Path(name) for name in folders] or [Path(root or "") / "train"]:
        if not folder.is_dir():
            raise ValueError(f"data: no folder {folder}")
        photos = [path.resolve() for path in folder.rglob("*") if _is_photo(path)]
        if not photos:
            raise ValueError(f"data: no photo ({', '.join(sorted(images.SUFFIXES))}) under {folder}")
        found |= set(photos)  # a photo that is found twice must not be trained on and validated with
    return sorted(found, key=lambda path: (path.name, str(path)))


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES and not path.name.startswith(".")


def read_image(path: Path) -> Tensor:
    """Read an image file as uint8 [3, H, W].

    Raises:
        ImageError: the file is no image; names the file.
    """
    return torch.from_numpy(images.read_image(path)).permute(2, 0, 1).contiguous()


def load(paths: list[Path], cache: Path) -> Photos:
    """Load photos through a cache of decoded pixels.

    Args:
        paths: the files; their names and sizes in bytes are the key of the cache.
        cache: folder for `<key>.npy` (uint8 [n]) and `<key>.json` (heights and widths); created when missing.

    Raises:
        ImageError: a file cannot be decoded; names it.
    """
    key = hashlib.blake2b(
        json.dumps([[path.name, path.stat().st_size] for path in paths]).encode(), digest_size=8
    ).hexdigest()
    pixels_file, index_file = cache / f"{key}.npy", cache / f"{key}.json"
    if not index_file.is_file():  # written last
        cache.mkdir(parents=True, exist_ok=True)
        _decode(paths, pixels_file, index_file)
    pixels: NDArray[np.uint8] = np.load(pixels_file)
    sizes = torch.tensor(json.loads(index_file.read_text(encoding="utf-8")), dtype=torch.int64).reshape(-1, 2)
    lengths = 3 * sizes.prod(dim=1)
    names = tuple(path.name for path in paths)
    return Photos(torch.from_numpy(pixels), lengths.cumsum(0) - lengths, sizes, names)


def _decode(paths: list[Path], pixels_file: Path, index_file: Path) -> None:
    photos = [
        read_image(path)
        for path in tqdm(paths, "decoding photos, once", mininterval=interval_s(), maxinterval=float("inf"))
    ]
    temporary = pixels_file.with_name(f"{pixels_file.stem}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, torch.cat([photo.flatten() for photo in photos]).numpy())
    os.replace(temporary, pixels_file)
    temporary.write_text(json.dumps([list(photo.shape[1:]) for photo in photos]), encoding="utf-8")
    os.replace(temporary, index_file)


def require_side(photos: Photos, least_px: int) -> None:
    """Check that no photo is smaller than a crop.

    Raises:
        ValueError: one is; names it.
    """
    small = (photos.sizes.amin(dim=1) < least_px).nonzero().flatten().tolist()
    if small:
        height_px, width_px = photos.sizes[small[0]].tolist()
        raise ValueError(
            f"data: {len(small)} photos are smaller than the crop of {least_px} px, such as "
            f"{photos.names[small[0]]} ({width_px}x{height_px})"
        )


def centre_crop(photo: Tensor, largest_px: int) -> images.Pixels:
    """Return the centre of a photo uint8 [3, H, W], at most largest_px on a side, as [H, W, 3] pixels."""
    height_px, width_px = (min(side_px, largest_px) for side_px in photo.shape[1:])
    top, left = (photo.shape[1] - height_px) // 2, (photo.shape[2] - width_px) // 2
    part = photo[:, top : top + height_px, left : left + width_px]
    pixels: images.Pixels = part.permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
