"""The loop that this trainer is measured against: what a paper's code usually does, and no more.

float32, NCHW, photos decoded and cropped by a DataLoader's workers, one SNR for the whole batch, Adam step by step.
"""

import random
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from jscc.draws import Draws
from jscc.link import Link
from jscc.machine import cores
from trainer.objective import squared_error
from trainer.settings import Recipe

_MOST_WORKERS = 8
_LEARNING_RATE = 1e-4


class PhotoCrops(Dataset[Tensor]):
    """One random crop of each photo file, decoded when it is asked for."""

    def __init__(self, paths: list[Path], crop_px: int) -> None:
        """Crop the photos of these files to squares of crop_px."""
        self._paths = paths
        self._crop_px = crop_px

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """Return float32 [3, crop_px, crop_px] in [0, 1]."""
        with Image.open(self._paths[index]) as file:
            photo = file.convert("RGB")
        left, top = (random.randint(0, side_px - self._crop_px) for side_px in photo.size)
        photo = photo.crop((left, top, left + self._crop_px, top + self._crop_px))
        if random.random() < 0.5:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(photo)).permute(2, 0, 1).float() / 255


def workers() -> int:
    """Return the number of the DataLoader's processes: one core is left to the training itself."""
    return max(1, min(_MOST_WORKERS, cores() - 1))


@contextmanager
def batches(paths: list[Path], recipe: Recipe, device: torch.device) -> Iterator[Iterator[Tensor]]:
    """Start workers, yield an endless iterator of batches [B, 3, crop_px, crop_px], end the workers.

    The first batch is waited for and dropped, so that the workers are under way.
    """
    size = recipe.data.batch_size
    repeated = paths * -(-4 * size // len(paths))
    crops = PhotoCrops(repeated, recipe.data.crop_px)
    loader = DataLoader(crops, size, shuffle=True, num_workers=workers(), drop_last=True)

    def endless() -> Generator[Tensor, None, None]:
        while True:
            for x in loader:
                yield x.to(device)

    source = endless()
    next(source)
    try:
        yield source
    finally:
        source.close()


class PlainLoop:
    """A link trained the plain way."""

    def __init__(self, recipe: Recipe, link: Link, device: torch.device) -> None:
        """Train `link`, moved to the device."""
        self._link = link.to(device).train()
        trained = [parameter for parameter in link.parameters() if parameter.requires_grad]
        self._optimiser = torch.optim.Adam(trained, lr=_LEARNING_RATE, foreach=False)
        self._channel = recipe.channel
        self._draws = Draws(torch.Generator(device).manual_seed(0))

    def step(self, x: Tensor) -> float:
        """Do one step on a batch and return its loss, as a progress bar would show it."""
        snr_db = random.uniform(self._channel.snr_low_db, self._channel.snr_high_db)
        told = torch.full((len(x),), snr_db, device=x.device)
        loss = self._link.objective(x, told, self._draws, squared_error).loss
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return loss.item()
