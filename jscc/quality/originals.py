"""What LPIPS finds in originals: every image that is received for one is compared with the same."""

import hashlib
import threading
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from jscc.quality.lpips import FEATURES_BYTES_PER_PX, Lpips

LIMIT_BYTES = 512 * 2**20
"""Thirty-two images of 768x512 px, so all of Kodak, which a sweep sends in turns; not one of 4096x4096 px."""


@dataclass(eq=False)
class _Found:
    """Where features are, or are about to be; one thread at a time computes them."""

    size_bytes: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    features: tuple[Tensor, ...] | None = None


class Originals:
    """The features of the last originals, as many as `limit_bytes` hold, for several threads."""

    def __init__(self, lpips: Lpips, limit_bytes: int = LIMIT_BYTES) -> None:
        """Remember nothing yet."""
        self._lpips, self._limit_bytes = lpips, limit_bytes
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Found] = {}
        self._kept_bytes = 0

    def distance(self, x_hat: Tensor, x: Tensor, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Return the distances [B] of images float32 [B, 3, H, W] from an original, float32 [1, 3, H, W].

        Args:
            x_hat: what is compared.
            x: the original.
            pixels: the original once more, as uint8 [H, W, 3], by which it is known again.
        """
        return self._lpips.distance(self._lpips.features(x_hat), self._features(x, pixels))

    def _features(self, x: Tensor, pixels: npt.NDArray[np.uint8]) -> Iterable[Tensor]:
        """Return the features of an original; of one that is too large to be kept they are made layer by layer."""
        size_bytes = FEATURES_BYTES_PER_PX * pixels.shape[0] * pixels.shape[1]
        if size_bytes > self._limit_bytes:
            return self._lpips.features(x)
        found = self._find((pixels.shape, hashlib.blake2b(np.ascontiguousarray(pixels).data).digest()), size_bytes)
        with found.lock:
            if found.features is None:
                found.features = tuple(self._lpips.features(x))
            return found.features

    def _find(self, key: Hashable, size_bytes: int) -> _Found:
        """Return the place of an image, and forget what was asked for longest ago; who computes it has it still."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                found = _Found(size_bytes)
                self._kept_bytes += size_bytes
            self._kept[key] = found  # the last one asked for is the last to go
            while self._kept_bytes > self._limit_bytes:
                self._kept_bytes -= self._kept.pop(next(iter(self._kept))).size_bytes
            return found
