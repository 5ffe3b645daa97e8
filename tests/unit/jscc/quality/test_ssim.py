"""SSIM and MS-SSIM against the papers, scikit-image and the package whose values the field reports."""

from pathlib import Path

import numpy as np
import pytest
import pytorch_msssim
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d, gaussian_filter
from torch import Tensor

from jscc.quality import ssim
from jscc.quality.ssim import SCALE_WEIGHTS, ssim_and_ms_ssim

C1, C2 = 0.01**2, 0.03**2  # the constants of the SSIM paper for a range of 1
TOLERANCE = {"rtol": 0.0, "atol": 1e-6}


def ssim_of_the_paper(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """SSIM of one channel in float64, written from the paper: 11x11 Gaussian window, inside the borders."""

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]

    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    similarity = (2 * mean_a * mean_b + C1) * (2 * (blur(a * b) - mean_a * mean_b) + C2)
    return float(np.mean(similarity / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))))


def flat(value: float) -> Tensor:
    return torch.full((1, 3, 192, 192), value)


def pair(height_px: int, width_px: int) -> tuple[Tensor, Tensor]:
    """Smooth images and noisy versions of them, [2, 3, H, W] in [0, 1]."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=draw)
    x = torch.nn.functional.interpolate(coarse, (height_px, width_px), mode="bicubic").clamp(0, 1)
    noise = torch.randn(x.shape, generator=draw) * torch.tensor([0.2, 0.02])[:, None, None, None]
    return (x + noise).clamp(0, 1), x


def of_the_package(x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return (
        pytorch_msssim.ssim(x_hat, x, data_range=1.0, size_average=False),
        pytorch_msssim.ms_ssim(x_hat, x, data_range=1.0, size_average=False),
    )


def of_the_paper(x_hat: Tensor, x: Tensor, weights: list[float]) -> Tensor:
    """MS-SSIM in float64, one channel at a time, written from the paper."""
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return correlate1d(correlate1d(image, window, axis=0), window, axis=1)[5:-5, 5:-5]

    def halve(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2).mean(axis=(1, 3))

    def one_channel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        value = 1.0
        for scale, weight in enumerate(weights, start=1):
            mean_a, mean_b = blur(a), blur(b)
            variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
            similarity = (2 * (blur(a * b) - mean_a * mean_b) + C2) / (variances + C2)
            if scale == len(weights):
                similarity *= (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
            value *= similarity.mean() ** weight
            if scale < len(weights):
                a, b = halve(a), halve(b)
        return value

    planes = [image.double().numpy().reshape(-1, *image.shape[-2:]) for image in (x_hat, x)]
    values = [one_channel(a, b) for a, b in zip(*planes, strict=True)]
    return torch.tensor(values).reshape(x.shape[:2]).mean(dim=1)


@pytest.mark.parametrize(("height_px", "width_px"), [(176, 176), (161, 203), (267, 163), (192, 256)])
def test_values_are_those_of_the_package(height_px: int, width_px: int) -> None:
    x_hat, x = pair(height_px, width_px)
    torch.testing.assert_close(ssim_and_ms_ssim(x_hat, x), of_the_package(x_hat, x), **TOLERANCE)


@pytest.mark.parametrize("height_px", [11, 12, 33, 34, 35, 58, 59])
def test_no_place_of_the_window_is_lost_between_strips_and_blocks(height_px: int) -> None:
    for size_px in ((height_px, 20), (20, height_px)):
        x_hat, x = pair(*size_px)
        expected = pytorch_msssim.ssim(x_hat, x, data_range=1.0, size_average=False)
        torch.testing.assert_close(ssim_and_ms_ssim(x_hat, x)[0], expected, **TOLERANCE)


@pytest.mark.parametrize("name", ["kodim01", "kodim20"])  # 20 has a white sky, where variances are all rounding
def test_values_on_kodak_are_those_of_the_package_in_float64(data_folder: Path, name: str) -> None:
    path = data_folder / "kodak" / f"{name}.png"
    if not path.is_file():
        pytest.skip("no Kodak images in $JSCC_DATA/kodak")
    pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float()
    noise = 3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    x_hat, x = (pixels + noise).round().clamp(0, 255) / 255, pixels / 255
    expected = [value.float() for value in of_the_package(x_hat.double(), x.double())]
    torch.testing.assert_close(list(ssim_and_ms_ssim(x_hat, x)), expected, rtol=0, atol=2e-6)
    # Our own are nearer to them than those of the package in float32.
    torch.testing.assert_close(ssim_and_ms_ssim(x_hat, x), of_the_package(x_hat, x), rtol=0, atol=1e-4)


def test_gradient_is_that_of_the_package() -> None:
    x_hat, x = pair(176, 176)
    x_hat.requires_grad_()
    found, expected = (
        torch.autograd.grad(torch.cat(function(x_hat, x)).sum(), x_hat)[0]
        for function in (ssim_and_ms_ssim, of_the_package)
    )
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("sigma", [3, 20, 60])
def test_ssim_agrees_with_scikit_image(sigma: float) -> None:
    x = pair(64, 90)[1]
    x_hat = (x + sigma / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    expected = [
        np.mean([ssim_of_the_paper(*channels) for channels in zip(a, b, strict=True)])
        for a, b in zip(x_hat.double().numpy(), x.double().numpy(), strict=True)
    ]
    assert ssim_and_ms_ssim(x_hat, x)[0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("side_px", "count"), [(192, 5), (128, 4), (64, 3), (32, 2), (12, 1)])
def test_ms_ssim_agrees_with_the_paper_on_as_many_scales_as_fit(side_px: int, count: int) -> None:
    x_hat, x = pair(side_px, side_px + 16)
    kept = SCALE_WEIGHTS[:count]
    weights = [weight / (sum(kept) if count < 5 else 1.0) for weight in kept]
    found = ssim_and_ms_ssim(x_hat, x)[1]
    torch.testing.assert_close(found.double(), of_the_paper(x_hat, x, weights), rtol=0, atol=1e-5)


def test_exponents_are_the_papers() -> None:
    assert SCALE_WEIGHTS == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@pytest.mark.parametrize(
    ("side_px", "count"),
    [(161, 5), (160, 4), (128, 4), (81, 4), (80, 3), (64, 3), (41, 3), (32, 2), (21, 2), (20, 1), (11, 1), (10, 0)],
)
def test_scales_that_fit(side_px: int, count: int) -> None:
    assert ssim.scales(side_px) == count


def test_one_scale_is_ssim() -> None:
    of_one_scale, of_scales = ssim_and_ms_ssim(*pair(16, 16))
    torch.testing.assert_close(of_scales, of_one_scale)


def test_equal_images_are_perfect() -> None:
    _, x = pair(170, 180)
    torch.testing.assert_close(ssim_and_ms_ssim(x, x.clone()), (torch.ones(2), torch.ones(2)), **TOLERANCE)


@pytest.mark.parametrize(("a", "b"), [(0.4, 0.6), (0.1, 0.8), (0.0, 1.0)])
def test_flat_images_differ_in_luminance_alone(a: float, b: float) -> None:
    luminance = (2 * a * b + C1) / (a * a + b * b + C1)
    of_one_scale, of_scales = ssim_and_ms_ssim(flat(a), flat(b))
    assert of_one_scale.item() == pytest.approx(luminance, abs=2e-4)
    # in MS-SSIM luminance counts in the last scale only
    assert of_scales.item() == pytest.approx(luminance ** SCALE_WEIGHTS[-1], abs=2e-4)


def test_inverted_image_is_dissimilar() -> None:
    _, x = pair(192, 192)
    of_one_scale, of_scales = ssim_and_ms_ssim(1 - x, x)
    assert of_one_scale.max() < 0
    assert of_scales.tolist() == [0, 0]


def test_floor_is_the_least_of_every_scale() -> None:
    _, x = pair(128, 128)
    x_hat = (1 - x).requires_grad_()  # the structure of every scale is negative
    similarity = ssim_and_ms_ssim(x_hat, x, floor=1e-4)[1]
    assert similarity.tolist() == pytest.approx([1e-4] * 2)  # the four exponents sum to 1
    (gradient,) = torch.autograd.grad(similarity.sum(), x_hat)
    assert bool(gradient.isfinite().all())


def test_too_small_images_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^ssim: images must have sides of at least 11 px, got \[10, 200\]$"):
        ssim_and_ms_ssim(*pair(10, 200))
