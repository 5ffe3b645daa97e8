"""Scores of 8-bit images: PSNR against theory, and which metric is given when."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_msssim
import torch

from jscc.quality.lpips import Lpips
from jscc.quality.scores import Pixels, Scorer, Scores, psnr_db, why_missing


@pytest.fixture(scope="module")
def lpips(backbone: Path) -> Lpips:
    return Lpips(backbone)


def flat(value: int, height_px: int = 192, width_px: int = 192) -> Pixels:
    return np.full((height_px, width_px, 3), value, np.uint8)


def photograph(height_px: int, width_px: int) -> Pixels:
    """Smooth structure in three different channels."""
    row, column = np.mgrid[:height_px, :width_px]
    waves = [np.sin(row / (7 + 5 * c)) + np.cos(column / (11 - 2 * c)) for c in range(3)]
    return (127 + 60 * np.stack(waves, axis=2)).astype(np.uint8)


def noisy(image: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("error", [1, 2, 10, 255])
def test_psnr_of_a_constant_error(error: int) -> None:
    expected = 20 * math.log10(255 / error)  # 48.13 dB for one level
    assert psnr_db(flat(0), flat(error)) == pytest.approx(expected, abs=1e-9)
    assert psnr_db(flat(error), flat(0)) == pytest.approx(expected, abs=1e-9)


def test_psnr_counts_every_sample_once() -> None:
    received = flat(0, 10, 10)
    received[3, 4, 1] = 255
    assert psnr_db(flat(0, 10, 10), received) == pytest.approx(10 * math.log10(300), abs=1e-9)


def test_psnr_of_the_largest_image_does_not_overflow() -> None:
    black = np.broadcast_to(np.zeros(3, np.uint8), (4096, 4096, 3))
    white = np.broadcast_to(np.full(3, 255, np.uint8), (4096, 4096, 3))
    assert psnr_db(black, white) == pytest.approx(0, abs=1e-9)


def test_identical_images_are_perfect() -> None:
    image = photograph(170, 180)
    assert psnr_db(image, image.copy()) == 100
    assert Scorer(None).score(image, image.copy()) == Scores(100, pytest.approx(1), pytest.approx(1), None)


def test_no_pair_of_images_is_above_identical_ones() -> None:
    """One level in one of 3 million samples is 10 log10(255^2 3 2^20) = 113 dB."""
    reference, received = flat(7, 1024, 1024), flat(7, 1024, 1024)
    received[5, 6, 1] += 1
    assert psnr_db(reference, received) == 100


@pytest.mark.parametrize("height_px", [1, 10, 11, 30, 31, 160, 161])
@pytest.mark.parametrize("turned", [False, True])
def test_metrics_of_small_images_are_none_where_undefined(lpips: Lpips, height_px: int, turned: bool) -> None:
    reference = photograph(200, height_px) if turned else photograph(height_px, 200)
    scores = Scorer(lpips).score(reference, noisy(reference, 10))
    assert (scores.ssim is not None) == (height_px >= 11)
    assert (scores.lpips is not None) == (height_px >= 31)
    assert (scores.ms_ssim is not None) == (height_px >= 161)
    assert all(math.isfinite(value) for value in vars(scores).values() if value is not None)


def test_score_gathers_all_metrics_and_repeats_to_the_bit(lpips: Lpips) -> None:
    reference = photograph(170, 190)
    received = noisy(reference, 10)
    scores = Scorer(lpips).score(reference, received)
    x_hat, x = (torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None] for image in (received, reference))
    assert scores.psnr_db == psnr_db(reference, received)
    assert scores.ssim == pytest.approx(pytorch_msssim.ssim(x_hat, x, data_range=1.0).item(), abs=1e-6)
    assert scores.ms_ssim == pytest.approx(pytorch_msssim.ms_ssim(x_hat, x, data_range=1.0).item(), abs=1e-6)
    assert scores.lpips == pytest.approx(lpips(x_hat, x).item(), rel=1e-5)
    scorer = Scorer(lpips)
    assert scorer.score(reference, received) == scorer.score(reference, received) == scores
    assert Scorer(None).score(reference, received) == replace(scores, lpips=None)


@pytest.mark.parametrize(
    ("metric", "width_px", "reason"),
    [
        ("ms_ssim", 160, "needs sides of at least 161 px, the image is 160x200 px"),
        ("ssim", 10, "needs sides of at least 11 px, the image is 10x200 px"),
        ("lpips", 30, "needs sides of at least 31 px, the image is 30x200 px"),
        ("lpips", 31, "AlexNet's weights are missing"),
    ],
)
def test_reason_of_a_missing_metric(lpips: Lpips, metric: str, width_px: int, reason: str) -> None:
    assert why_missing(metric, 200, width_px) == reason
    has_weights = "weights" not in reason
    image = photograph(200, width_px)
    assert getattr(Scorer(lpips if has_weights else None).score(image, image), metric) is None


def test_read_only_images_are_scored() -> None:
    reference = photograph(20, 20)
    received = np.frombuffer(reference.tobytes(), np.uint8).reshape(reference.shape)
    assert Scorer(None).score(reference, received).psnr_db == 100


@pytest.mark.parametrize(
    ("received", "text"),
    [
        (flat(0, 20, 21), r"received: \[20, 21, 3\] is not the reference's \[20, 20, 3\]"),
        (flat(0, 20, 20).astype(np.float32), r"received: must be uint8 \[H, W, 3\], got float32"),
        (flat(0, 20, 20)[:, :, 0], r"received: must be uint8 \[H, W, 3\], got uint8 \[20, 20\]"),
    ],
)
def test_images_of_another_kind_are_refused(received: Pixels, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        psnr_db(flat(0, 20, 20), received)
    with pytest.raises(ValueError, match=text):
        Scorer(None).score(flat(0, 20, 20), received)


@pytest.mark.slow
def test_scoring_needs_none_of_the_packages_that_it_is_compared_with() -> None:
    code = (
        "import sys\nfor name in ('lpips', 'pytorch_msssim', 'torchvision'): sys.modules[name] = None\n"
        "import numpy as np\nfrom jscc.quality.scores import Scorer\n"
        "print(Scorer(None).score(*[np.zeros((161, 161, 3), np.uint8)] * 2).ms_ssim)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(answer.stdout) == 1
