"""Training photos: kept in memory, cropped on the device."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from jscc import images


@dataclass(frozen=True)
class Photos:
    """Photos of any sizes in one flat tensor.

    Attributes:
        pixels: uint8 [n], every photo as C-contiguous [3, H, W], one after the other.
        offsets: int64 [photos], where each one begins.
        sizes: int64 [photos, 2], (H, W) in pixels.
        names: file name without folder, one each.
        chances: float64 [photos], rising to 1: the chance that a draw is this photo or one before it; None when each
            is equally likely.
    """

    pixels: Tensor
    offsets: Tensor
    sizes: Tensor
    names: tuple[str, ...]
    chances: Tensor | None = None

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

    def weighted(self, weights: Tensor) -> "Photos":
        """Return the photos, drawn in proportion to weights [photos] above 0."""
        rising = weights.double().cumsum(0)
        return dataclasses.replace(self, chances=rising / rising[-1])

    def to(self, device: torch.device) -> "Photos":
        """Move everything to a device."""
        chances = None if self.chances is None else self.chances.to(device)
        return Photos(self.pixels.to(device), self.offsets.to(device), self.sizes.to(device), self.names, chances)

    def at(self, draws: Tensor) -> Tensor:
        """Return the indices of the photos that uniform draws in [0, 1) choose."""
        if self.chances is None:
            return (draws * len(self)).long()
        return torch.searchsorted(self.chances, draws.contiguous(), right=True).clamp(max=len(self) - 1)


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

    def draw(self, photos: Photos, generator: torch.Generator, rows: slice = slice(None)) -> Tensor:
        """Draw a batch, all on the generator's device and without waiting for it.

        Args:
            photos: on the generator's device, no side below crop_px.
            generator: draws photos, places and flips, always for the whole batch.
            rows: crops of the batch to make.

        Returns:
            float32 [B, 3, crop_px, crop_px] in [0, 1], B as many as rows.
        """
        device = generator.device
        draws = torch.rand(5, self.batch_size, generator=generator, device=device, dtype=torch.float64)[:, rows]
        which = photos.at(draws[0])
        height_px, width_px = photos.sizes[which].unbind(1)
        top = (draws[1] * (height_px - self.crop_px + 1)).long()
        left = (draws[2] * (width_px - self.crop_px + 1)).long()
        down, across = self._grid(draws[3] < 0.5, (draws[4] * 4).long())
        down, across = down + top[:, None, None], across + left[:, None, None]
        within = photos.offsets[which][:, None, None] + down * width_px[:, None, None] + across
        planes = torch.arange(3, device=device)[None, :] * (height_px * width_px)[:, None]
        return photos.pixels[within[:, None] + planes[:, :, None, None]].float() / 255

    def _grid(self, flip: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row and the column [B, crop_px, crop_px] inside the crop that every output pixel shows."""
        steps = torch.arange(self.crop_px, device=flip.device)
        rows = steps[None, :, None].expand(len(flip), self.crop_px, self.crop_px)
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
