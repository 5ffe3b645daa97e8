"""LPIPS against the published distances of its example images, and how it is loaded."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from jscc.quality.lpips import Lpips


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
    # Both operators are of torchvision's compiled part: where that does not load, neither is there afterwards.
    assert hasattr(torch.ops.torchvision, "nms") == hasattr(torch.ops.torchvision, "roi_align")


def test_missing_package_is_one_line(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ValueError, match=r"^lpips: install lpips and a torchvision that fits torch \(.*\)$"):
        Lpips(backbone)


def test_torchvision_that_cannot_be_imported_is_one_line(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('built for another\\nCUDA')\n")
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^lpips: install .* fits torch \(built for another CUDA\)$"):
        Lpips(backbone)
