"""Metrics against theory, independent implementations and published values."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d, gaussian_filter

from jscc.quality import scores as metrics
from jscc.quality.scores import Lpips, Pixels, Scores

REPOSITORY = Path(__file__).parents[3]
LPIPS_DATA = Path(os.environ.get("JSCC_DATA") or REPOSITORY.parent / "shared" / "data") / "lpips"
C1, C2 = 0.01**2, 0.03**2  # the constants of the SSIM paper for a range of 1
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the MS-SSIM paper, table of section 4
ALEXNET_SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    if not (LPIPS_DATA / "alexnet_features.pth").is_file():
        pytest.skip("no LPIPS weights in $JSCC_DATA")
    return Lpips(LPIPS_DATA / "alexnet_features.pth")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet with random features, and a classifier as in torchvision's own file."""
    generator = torch.Generator().manual_seed(0)
    weights = {"classifier.6.bias": torch.zeros(1000)}
    for layer, (outputs, inputs, size) in ALEXNET_SHAPES.items():
        shape = (outputs, inputs, size, size)
        weights[f"features.{layer}.weight"] = torch.randn(shape, generator=generator) / size / inputs**0.5
        weights[f"features.{layer}.bias"] = torch.zeros(outputs)
    path = tmp_path_factory.mktemp("lpips") / "alexnet.pth"
    torch.save(weights, path)
    return path


@pytest.fixture(scope="module")
def untrained_lpips(backbone: Path) -> Lpips:
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


def ssim_of_the_paper(reference: Pixels, received: Pixels) -> float:
    """SSIM in float64, the mean over channels, written from the paper: 11x11 Gaussian window, inside the borders."""

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(image, 1.5, radius=5, axes=(0, 1))[5:-5, 5:-5]

    a, b = reference / 255, received / 255
    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    similarity = (2 * mean_a * mean_b + C1) * (2 * (blur(a * b) - mean_a * mean_b) + C2)
    return float(np.mean(similarity / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))))


def ms_ssim_of_the_paper(reference: Pixels, received: Pixels) -> float:
    """MS-SSIM in float64, one channel at a time, written from the paper."""
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return correlate1d(correlate1d(image, window, axis=0), window, axis=1)[5:-5, 5:-5]

    def halve(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2).mean(axis=(1, 3))

    def one_channel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        value = 1.0
        for scale, weight in enumerate(SCALE_WEIGHTS):
            mean_a, mean_b = blur(a), blur(b)
            variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
            similarity = (2 * (blur(a * b) - mean_a * mean_b) + C2) / (variances + C2)
            if scale == len(SCALE_WEIGHTS) - 1:
                similarity *= (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
            value *= similarity.mean() ** weight
            a, b = halve(a), halve(b)
        return value

    return float(np.mean([one_channel(reference[:, :, c] / 255, received[:, :, c] / 255) for c in range(3)]))


@pytest.mark.parametrize("error", [1, 2, 10, 255])
def test_psnr_of_a_constant_error(error: int) -> None:
    expected = 20 * math.log10(255 / error)  # 48.13 dB for one level
    assert metrics.psnr_db(flat(0), flat(error)) == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr_db(flat(error), flat(0)) == pytest.approx(expected, abs=1e-9)


def test_psnr_counts_every_sample_once() -> None:
    received = flat(0, 10, 10)
    received[3, 4, 1] = 255
    assert metrics.psnr_db(flat(0, 10, 10), received) == pytest.approx(10 * math.log10(300), abs=1e-9)


def test_psnr_of_the_largest_image_does_not_overflow() -> None:
    black = np.broadcast_to(np.zeros(3, np.uint8), (4096, 4096, 3))
    white = np.broadcast_to(np.full(3, 255, np.uint8), (4096, 4096, 3))
    assert metrics.psnr_db(black, white) == pytest.approx(0, abs=1e-9)


def test_identical_images_are_perfect() -> None:
    image = photograph(170, 180)
    assert metrics.psnr_db(image, image.copy()) == math.inf
    assert metrics.ssim(image, image.copy()) == pytest.approx(1, abs=1e-6)
    assert metrics.ms_ssim(image, image.copy()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [(100, 150), (20, 200), (0, 255)])
def test_ssim_of_flat_images_is_the_luminance_term(a: int, b: int) -> None:
    x, y = a / 255, b / 255
    luminance = (2 * x * y + C1) / (x * x + y * y + C1)
    assert metrics.ssim(flat(a), flat(b)) == pytest.approx(luminance, abs=2e-4)
    # in MS-SSIM luminance counts in the last scale only
    assert metrics.ms_ssim(flat(a), flat(b)) == pytest.approx(luminance ** SCALE_WEIGHTS[-1], abs=2e-4)


@pytest.mark.parametrize("sigma", [3, 20, 60])
def test_ssim_agrees_with_the_paper(sigma: float) -> None:
    reference = photograph(64, 90)
    received = noisy(reference, sigma)
    expected = ssim_of_the_paper(reference, received)
    assert metrics.ssim(reference, received) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("sigma", [3, 20, 60])
def test_ms_ssim_agrees_with_the_paper(sigma: float) -> None:
    reference = photograph(192, 256)
    received = noisy(reference, sigma)
    expected = ms_ssim_of_the_paper(reference, received)
    assert metrics.ms_ssim(reference, received) == pytest.approx(expected, abs=1e-4)


def test_inverted_image_is_dissimilar() -> None:
    image = photograph(192, 192)
    similarity = metrics.ssim(image, 255 - image)
    assert similarity is not None
    assert similarity < 0
    assert metrics.ms_ssim(image, 255 - image) == 0


@pytest.mark.parametrize(("name", "distance"), [("ex_p0.png", 0.722), ("ex_p1.png", 0.138)])
def test_lpips_of_its_own_example_images(lpips: Lpips, name: str, distance: float) -> None:
    reference, received = (np.array(Image.open(LPIPS_DATA / file).convert("RGB")) for file in ("ex_ref.png", name))
    assert lpips(reference, received) == pytest.approx(distance, abs=1e-3)


def test_lpips_reads_both_layouts(untrained_lpips: Lpips, backbone: Path, tmp_path: Path) -> None:
    whole = torch.load(backbone, weights_only=True)
    features = {name: tensor for name, tensor in whole.items() if name.startswith("features.")}
    assert len(features) < len(whole)
    torch.save(features, tmp_path / "features.pth")
    reference = photograph(64, 64)
    received = noisy(reference, 20)
    distance = untrained_lpips(reference, received)
    assert distance is not None
    assert distance > 0
    assert Lpips(tmp_path / "features.pth")(reference, received) == distance
    assert untrained_lpips(reference, reference) == 0


def test_lpips_needs_the_weights_of_alexnet(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth", "missing.pth"):
        with pytest.raises(ValueError, match=rf"lpips backbone .*{name}: not the weights of AlexNet"):
            Lpips(tmp_path / name)


def test_lpips_leaves_no_trace(backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.random.get_rng_state()
    Lpips(backbone)(photograph(40, 40), photograph(40, 40))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("height_px", [1, 10, 11, 30, 31, 160, 161])
@pytest.mark.parametrize("turned", [False, True])
def test_metrics_of_small_images_are_none_where_undefined(untrained_lpips: Lpips, height_px: int, turned: bool) -> None:
    reference = photograph(200, height_px) if turned else photograph(height_px, 200)
    scores = metrics.score(reference, noisy(reference, 10), untrained_lpips)
    assert scores.psnr_db is not None
    assert (scores.ssim is not None) == (height_px >= 11)
    assert (scores.lpips is not None) == (height_px >= 31)
    assert (scores.ms_ssim is not None) == (height_px >= 161)
    assert all(math.isfinite(value) for value in vars(scores).values() if value is not None)


def test_score_gathers_all_metrics_and_repeats_to_the_bit(untrained_lpips: Lpips) -> None:
    reference = photograph(170, 190)
    received = noisy(reference, 10)
    scores = metrics.score(reference, received, untrained_lpips)
    assert scores == Scores(
        psnr_db=metrics.psnr_db(reference, received),
        ssim=metrics.ssim(reference, received),
        ms_ssim=metrics.ms_ssim(reference, received),
        lpips=untrained_lpips(reference, received),
    )
    assert metrics.score(reference, received, None).lpips is None


def test_read_only_images_are_scored() -> None:
    reference = photograph(20, 20)
    received = np.frombuffer(reference.tobytes(), np.uint8).reshape(reference.shape)
    assert metrics.score(reference, received, None).psnr_db == math.inf


@pytest.mark.parametrize(
    ("received", "text"),
    [
        (flat(0, 20, 21), r"received: \[20, 21, 3\] is not the reference's \[20, 20, 3\]"),
        (flat(0, 20, 20).astype(np.float32), r"received: must be uint8 \[H, W, 3\], got float32"),
        (flat(0, 20, 20)[:, :, 0], r"received: must be uint8 \[H, W, 3\], got uint8 \[20, 20\]"),
    ],
)
def test_images_of_another_kind_are_refused(received: Pixels, text: str) -> None:
    for metric in (metrics.psnr_db, metrics.ssim, metrics.ms_ssim):
        with pytest.raises(ValueError, match=text):
            metric(flat(0, 20, 20), received)


def test_importing_metrics_is_cheap() -> None:
    code = "import sys; from jscc import metrics; print(set(sys.modules) & {'lpips', 'pytorch_msssim', 'torchvision'})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
