"""Random numbers from one generator that is an argument: what is random comes from a seed, never from global state."""

import torch
from torch import Tensor


class Draws:
    """Random numbers for the images of a batch.

    A batch may be shared out among several processes that hold equal generators. What is drawn per image is drawn for
    the whole batch, and each process keeps its own rows, so that any number of processes does what one does.
    """

    def __init__(self, generator: torch.Generator, rows: slice | None = None, batch_size: int | None = None) -> None:
        """Draw from a generator, on its device.

        Args:
            generator: advanced by every draw.
            rows: this process's images of the batch; None for all.
            batch_size: images of the whole batch; needed with rows.
        """
        self._generator, self._rows, self._batch_size = generator, rows, batch_size

    def rand(self, images: int, *shape: int) -> Tensor:
        """Draw uniformly from [0, 1): [images, *shape] for this process's images."""
        whole = torch.rand(self._whole(images), *shape, generator=self._generator, device=self._generator.device)
        return whole if self._rows is None else whole[self._rows]

    def randn(self, images: int, *shape: int) -> Tensor:
        """Draw standard normal numbers: [images, *shape] for this process's images."""
        whole = torch.randn(self._whole(images), *shape, generator=self._generator, device=self._generator.device)
        return whole if self._rows is None else whole[self._rows]

    def shared_int(self, high: int) -> Tensor:
        """Draw one whole number from 0..high - 1 that is the same for every image and process; int64 [1]."""
        return torch.randint(high, (1,), generator=self._generator, device=self._generator.device)

    def _whole(self, images: int) -> int:
        return images if self._batch_size is None else self._batch_size
