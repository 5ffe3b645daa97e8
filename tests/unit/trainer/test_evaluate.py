"""Quality of a link on whole images: the mean that the table prints."""

import numpy as np
import pytest

from trainer.evaluate import mean_psnr_db


def test_a_perfect_image_leaves_the_mean_finite() -> None:
    """100 dB for the perfect one, 20 log10(255) = 48.13 dB for one level of error in every sample of the other."""
    original = np.full((32, 32, 3), 100, np.uint8)
    expected = (100 + 20 * np.log10(255)) / 2
    assert mean_psnr_db([original, original], [original.copy(), original + 1]) == pytest.approx(expected, abs=1e-9)
