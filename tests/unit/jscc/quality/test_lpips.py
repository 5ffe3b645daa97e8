"""LPIPS against the published distances of its example images, and how it is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import jscc.quality.lpips
from jscc.quality._winograd import Convolution
from jscc.quality.lpips import Lpips

KODAK = (
    ("kodim01", 1, 0.000441153),
    ("kodim01", 5, 0.017703684),
    ("kodim13", 40, 0.637959242),
    ("kodim20", 5, 0.069759250),
)
"""Name, deviation of the noise, and the distance that the package lpips 0.1.4 finds with torchvision's AlexNet."""


def pair(side_px: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, side_px, side_px, generator=draw)
    return (x + 0.1 * torch.randn(x.shape, generator=draw)).clamp(0, 1), x


def read(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255


def test_distances_of_its_own_example_images(data_folder: Path) -> None:
    folder = data_folder / "lpips"
    if not (folder / "alexnet_features.pth").is_file():
        pytest.skip("no LPIPS weights in $JSCC_DATA")
    lpips = Lpips(folder / "alexnet_features.pth")
    received = torch.cat([read(folder / "ex_p0.png"), read(folder / "ex_p1.png")])
    reference = read(folder / "ex_ref.png").expand_as(received)
    assert lpips(received, reference).tolist() == pytest.approx([0.722, 0.138], abs=1e-3)


def test_both_layouts_are_read(backbone: Path, tmp_path: Path) -> None:
    whole = torch.load(backbone, weights_only=True)
    features = {name: tensor for name, tensor in whole.items() if name.startswith("features.")}
    assert len(features) < len(whole)
    torch.save(features, tmp_path / "features.pth")
    x_hat, x = pair(64)
    distances = Lpips(backbone)(x_hat, x)
    assert distances.shape == (2,)
    assert distances.min() > 0
    assert torch.equal(Lpips(tmp_path / "features.pth")(x_hat, x), distances)
    assert Lpips(backbone)(x, x).tolist() == [0, 0]


def test_gradient_reaches_the_image_and_not_the_weights(backbone: Path) -> None:
    x_hat, x = pair(64)
    distance = Lpips(backbone)(x_hat.requires_grad_(), x).sum()
    assert torch.autograd.grad(distance, x_hat)[0].abs().amax(dim=(1, 2, 3)).min() > 0
    assert not Lpips(backbone)(x, x).requires_grad


def test_too_small_images_are_refused_in_one_line(backbone: Path) -> None:
    assert Lpips(backbone)(*pair(31)).isfinite().all()
    with pytest.raises(ValueError, match=r"^lpips: images must have sides of at least 31 px, got \[30, 30\]$"):
        Lpips(backbone)(*pair(30))


@pytest.mark.parametrize("name", ["text.pth", "other.pth", "shapes.pth", "missing.pth"])
def test_other_files_are_refused_in_one_line(tmp_path: Path, backbone: Path, name: str) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save({key: torch.zeros(3) for key in torch.load(backbone)}, tmp_path / "shapes.pth")
    with pytest.raises(
        ValueError, match=rf"^lpips backbone .*{name}: not the weights of AlexNet .*downloaded$"
    ) as said:
        Lpips(tmp_path / name)
    assert "\n" not in str(said.value)


def test_loading_leaves_no_trace(backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.random.get_rng_state()
    Lpips(backbone)(*pair(40))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert capsys.readouterr() == ("", "")


def of_the_paper(weights: dict[str, Tensor], x_hat: Tensor, x: Tensor) -> Tensor:
    """The distance in float64 with plain convolutions, written from the paper and torchvision's AlexNet."""
    linear = load_file(Path(jscc.quality.lpips.__file__).with_name("weights") / "lpips_alexnet.safetensors")
    shift, scale = (
        torch.tensor(it)[:, None, None].double() for it in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    found = [(2 * image.double() - 1 - shift) / scale for image in (x_hat, x)]
    distance = torch.zeros(len(x), dtype=torch.float64)
    for place, (number, stride, padding) in enumerate([(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)]):
        if number in (3, 6):
            found = [F.max_pool2d(it, 3, 2) for it in found]
        kernel, bias = (weights[f"features.{number}.{name}"].double() for name in ("weight", "bias"))
        found = [F.conv2d(it, kernel, bias, stride=stride, padding=padding).relu() for it in found]
        a, b = (it / (it.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for it in found)
        counted = linear[f"lin{place}"].double()[:, None, None] * (a - b).square()
        distance += counted.sum(dim=1).mean(dim=(1, 2))
    return distance


@pytest.mark.parametrize(("height_px", "width_px"), [(31, 31), (64, 200), (131, 97), (300, 210)])
def test_values_are_the_papers_at_every_size(backbone: Path, height_px: int, width_px: int) -> None:
    """Of sides that are no multiple of a tile, and of images that are convolved in several strips."""
    x_hat, x = (image[..., :height_px, :width_px] for image in pair(300))
    expected = of_the_paper(torch.load(backbone, weights_only=True), x_hat, x)
    torch.testing.assert_close(Lpips(backbone)(x_hat, x).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "sigma", "expected"), KODAK)
def test_values_on_kodak_are_those_of_the_package(data_folder: Path, name: str, sigma: int, expected: float) -> None:
    path, weights = data_folder / "kodak" / f"{name}.png", data_folder / "lpips" / "alexnet_features.pth"
    if not path.is_file() or not weights.is_file():
        pytest.skip("no Kodak images or LPIPS weights in $JSCC_DATA")
    pixels = np.array(Image.open(path))
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    pair = (np.clip(pixels + noise, 0, 255).astype(np.uint8), pixels)
    x_hat, x = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in pair)
    assert Lpips(weights)(x_hat, x).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("size_px", "inputs"), [(3, 7), (5, 4)])
def test_fast_convolution_is_a_convolution(size_px: int, inputs: int) -> None:
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, inputs, size_px, size_px, generator=draw), torch.randn(6, generator=draw)
    image = torch.randn(2, 61, 70, inputs, generator=draw).requires_grad_()
    found = Convolution(weight, bias)(image)
    plain = F.conv2d(image.permute(0, 3, 1, 2).double(), weight.double(), bias.double(), padding=size_px // 2)
    expected = plain.permute(0, 2, 3, 1).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-4)
    gradients = [torch.autograd.grad(value.square().sum(), image)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=3e-2)
