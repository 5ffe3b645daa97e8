"""What LPIPS finds in originals: computed once, within a bound, and the same value as without."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from jscc.quality.lpips import FEATURES_BYTES_PER_PX, Lpips
from jscc.quality.originals import Originals

SIDE_PX = 64
ONE_BYTES = FEATURES_BYTES_PER_PX * SIDE_PX**2


class Counted(Lpips):
    """Counts the images that go through the network."""

    calls = 0

    def features(self, x: Tensor) -> Iterator[Tensor]:
        self.calls += 1
        return super().features(x)


@pytest.fixture
def lpips(backbone: Path) -> Counted:
    return Counted(backbone)


def image(seed: int) -> tuple[Tensor, NDArray[np.uint8]]:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, pixels


def test_an_original_is_computed_once_whatever_is_compared_with_it(lpips: Counted) -> None:
    originals, (x, pixels) = Originals(lpips), image(0)
    expected = [lpips(image(seed)[0], x) for seed in range(1, 4)]
    lpips.calls = 0
    found = [originals.distance(image(seed)[0], x, pixels.copy()) for seed in range(1, 4)]
    assert found == expected
    assert lpips.calls == 3 + 1


def test_threads_that_want_the_same_original_compute_it_once(lpips: Counted) -> None:
    originals, (x, pixels) = Originals(lpips), image(0)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: float(originals.distance(x, x, pixels)), range(8)))
    assert found == {0.0}
    assert lpips.calls == 8 + 1


def test_what_was_asked_for_longest_ago_is_forgotten(lpips: Counted) -> None:
    originals = Originals(lpips, limit_bytes=2 * ONE_BYTES)
    for seed, is_known in ((0, False), (1, False), (0, True), (2, False), (0, True), (1, False)):
        before, (x, pixels) = lpips.calls, image(seed)
        originals.distance(x, x, pixels)
        assert lpips.calls - before == (1 if is_known else 2), seed


def test_nothing_is_kept_of_an_image_that_is_too_large(lpips: Counted) -> None:
    originals, (x, pixels) = Originals(lpips, limit_bytes=ONE_BYTES - 1), image(0)
    expected = lpips(image(1)[0], x)
    lpips.calls = 0
    assert [originals.distance(image(1)[0], x, pixels) for _ in range(2)] == [expected, expected]
    assert lpips.calls == 4


def test_kept_bytes_are_those_of_the_features(lpips: Counted) -> None:
    x = torch.rand(1, 3, 512, 768)
    size_bytes = sum(found.nbytes for found in lpips.features(x))
    assert 0.9 * FEATURES_BYTES_PER_PX * 512 * 768 < size_bytes <= FEATURES_BYTES_PER_PX * 512 * 768
