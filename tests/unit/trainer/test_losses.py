"""The losses against references, and how they enter a run."""

import math
from pathlib import Path

import pytest
import pytorch_msssim
import torch
from torch import Tensor

from jscc.data import weights
from jscc.quality.lpips import Lpips
from jscc.quality.scores import Scorer
from jscc.signals import bandwidth_ratio
from trainer import perceptual, settings
from trainer.losses import Loss, ReferenceMse, balance, linear_reference, mse_per_image, psnr_db
from trainer.settings import LossSettings

CPU = torch.device("cpu")
SNRS_DB = torch.tensor([-5.0, 20.0])


def pair(side_px: int) -> tuple[Tensor, Tensor]:
    """Smooth images and noisy versions of them, [2, 3, side, side] in [0, 1]."""
    draw = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8, generator=draw), side_px, mode="bicubic").clamp(0, 1)
    noise = torch.randn(x.shape, generator=draw) * torch.tensor([0.2, 0.02])[:, None, None, None]
    return (x + noise).clamp(0, 1), x


class TestKinds:
    def test_plain_kinds(self) -> None:
        x_hat, x = pair(32)
        mse = mse_per_image(x_hat, x)
        assert Loss(LossSettings(kind="mse"), CPU).of(SNRS_DB)(x_hat, x).loss == mse.mean()
        logarithm = Loss(LossSettings(kind="log_mse", epsilon=1e-6), CPU).of(SNRS_DB)(x_hat, x).loss
        torch.testing.assert_close(logarithm, (mse + 1e-6).log().mean())

    def test_balanced_by_a_table(self) -> None:
        wanted = LossSettings(kind="snr_balanced_mse", reference_snr_db=(-5.0, 20.0), reference_mse=(0.04, 0.0004))
        x_hat, x = pair(32)
        mse = mse_per_image(x_hat, x)
        loss = Loss(wanted, CPU).of(SNRS_DB)(x_hat, x).loss
        torch.testing.assert_close(loss, (mse[0] / 0.04 + mse[1] / 0.0004) / 2)

    def test_table_is_linear_in_decibels_and_constant_beyond(self) -> None:
        table = ReferenceMse(torch.tensor([0.0, 10.0]), torch.tensor([1e-1, 1e-3]))
        found = table.at(torch.tensor([-20.0, 0.0, 5.0, 10.0, 40.0]))
        torch.testing.assert_close(found, torch.tensor([1e-1, 1e-1, 1e-2, 1e-3, 1e-3]))
        torch.testing.assert_close(ReferenceMse(torch.zeros(1), torch.ones(1)).at(SNRS_DB), torch.ones(2))

    def test_linear_code_of_white_noise(self) -> None:
        # Flat spectrum: p = 1 on every symbol that is kept, so each of them is left with lambda s2 / (1 + s2).
        draw = torch.Generator().manual_seed(0)
        images = [torch.randint(0, 256, (3, 64, 64), generator=draw).to(torch.uint8) for _ in range(40)]
        variance = (256**2 - 1) / 12 / 255**2
        found = linear_reference(images, bandwidth_ratio(3 * 16 * 16, 16, 16)).at(torch.tensor([-10.0, 0.0]))
        # The fitted spectrum is not quite flat, which water-filling uses: a few per cent less.
        torch.testing.assert_close(found, variance * torch.tensor([10 / 11, 1 / 2]), rtol=0.1, atol=0)
        quarter = linear_reference(images, 0.25).at(torch.tensor([60.0]))
        torch.testing.assert_close(quarter, torch.tensor([0.75 * variance]), rtol=0.15, atol=0)

    def test_balanced_loss_knows_only_its_batch(self) -> None:
        loss = Loss(LossSettings(kind="snr_balanced_mse"), CPU, ReferenceMse(torch.zeros(1), torch.ones(1)))
        with pytest.raises(ValueError, match="1 images, but 2 SNRs"):
            loss.of(SNRS_DB)(*(image[:1] for image in pair(32)))
        with pytest.raises(ValueError, match="reference_snr_db"):
            Loss(LossSettings(kind="snr_balanced_mse"), CPU)


class TestPerceptual:
    def test_gradient_is_finite_where_images_disagree(self) -> None:
        _, x = pair(128)
        x_hat = (1 - x).requires_grad_()  # the structure of every scale is negative
        similarity = perceptual.ms_ssim(x_hat, x)
        assert similarity.tolist() == pytest.approx([1e-4] * 2)
        similarity.sum().backward()  # type: ignore[no-untyped-call]
        assert x_hat.grad is not None
        assert bool(x_hat.grad.isfinite().all())

    def test_the_papers_loss(self) -> None:
        x_hat, x = pair(176)
        loss = Loss(LossSettings(kind="mse", pixel_weight=0.7, ms_ssim_weight=0.3), CPU)
        similarity = pytorch_msssim.ms_ssim(x_hat, x, data_range=1.0)
        expected = 0.7 * torch.nn.functional.mse_loss(x_hat, x) + 0.3 * (1 - similarity)
        criterion = loss.of(SNRS_DB)
        other, found = criterion(x, x), criterion(x_hat, x)  # whatever else is scored, such as fewer iterations
        torch.testing.assert_close(found.loss, expected)
        assert tuple(found.terms) == loss.terms == ("loss_pixel", "loss_ms_ssim")
        torch.testing.assert_close(
            torch.stack([*found.terms.values()]), torch.stack([mse_per_image(x_hat, x).mean(), 1 - similarity])
        )
        assert other.terms["loss_pixel"] == 0

    def test_bfloat16_networks_are_scored_in_float32(self) -> None:
        x_hat, x = pair(64)
        loss = Loss(LossSettings(kind="mse", ms_ssim_weight=1.0), CPU).of(SNRS_DB)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = loss(x_hat, x).loss
        assert inside == loss(x_hat, x).loss

    def test_lpips_is_the_metric(self, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if not (data_folder / "lpips").is_dir():
            pytest.skip("no AlexNet weights in $JSCC_DATA/lpips")
        monkeypatch.setenv("JSCC_DATA", str(data_folder))
        loss = Loss(LossSettings(kind="mse", pixel_weight=0.0, lpips_weight=1.0), CPU)
        x_hat, x = ((255 * image).round() / 255 for image in pair(64))
        x_hat.requires_grad_()
        value = loss.of(SNRS_DB)(x_hat, x).loss
        metric = Lpips(next((data_folder / "lpips").glob("alexnet*")))
        pixels = [(255 * image.detach()).round().byte().permute(0, 2, 3, 1).numpy() for image in (x, x_hat)]
        expected = [Scorer(metric).score(*images).lpips for images in zip(*pixels, strict=True)]
        assert value.item() == pytest.approx(sum(expected) / 2, rel=1e-4)  # type: ignore[arg-type]
        value.backward()  # type: ignore[no-untyped-call]
        assert x_hat.grad is not None
        assert x_hat.grad.abs().amax(dim=(1, 2, 3)).min() > 0

    def test_missing_weights_are_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("JSCC_DATA", str(tmp_path))
        monkeypatch.setattr(weights, "ALEXNET_URL", "http://127.0.0.1:1/alexnet.pth")
        with pytest.raises(ValueError, match=r"lpips_weight: .*127\.0\.0\.1"):
            Loss(LossSettings(lpips_weight=0.1), CPU)

    def test_crops_too_small(self) -> None:
        with pytest.raises(ValueError, match=r"lpips_weight: needs crops of at least 31 px, data.crop_px is 30"):
            perceptual.require_side(LossSettings(lpips_weight=0.1), 30)
        with pytest.raises(ValueError, match=r"ms_ssim_weight: needs crops of at least 11 px, data.crop_px is 10"):
            perceptual.require_side(LossSettings(ms_ssim_weight=0.1), 10)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pixel_weight = 0.0", "pixel_weight"),
        ("ms_ssim_weight = -1.0", "ms_ssim_weight"),
        ("reference_snr_db = [0.0]\nreference_mse = [0.1]", "snr_balanced_mse"),
        ("kind = 'snr_balanced_mse'\nreference_snr_db = [0.0]", "reference_mse"),
        ("kind = 'snr_balanced_mse'\nreference_snr_db = [1.0, 0.0]\nreference_mse = [0.1, 0.1]", "rise"),
        (
            "kind = 'snr_balanced_mse'\nreference_snr_db = [0.0]\nreference_mse = [0.0]",
            "reference_mse: must be above 0",
        ),
    ],
)
def test_bad_loss_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'[method]\nname = "deepjscc"\n[loss]\n{text}\n')
    with pytest.raises(ValueError, match=named) as error:
        settings.load(path)
    assert f"{path}: loss" in str(error.value)


class TestLosses:
    def test_psnr_of_a_known_error(self) -> None:
        x = torch.full((2, 3, 4, 4), 0.5)
        x_hat = x + torch.tensor([0.1, 0.01])[:, None, None, None]
        torch.testing.assert_close(psnr_db(mse_per_image(x_hat, x)), torch.tensor([20.0, 40.0]), rtol=1e-4, atol=0)

    def test_log_mse_weighs_samples_alike(self) -> None:
        mse = torch.tensor([1e-1, 1e-4], requires_grad=True)
        loss = balance(mse, "log_mse", 1e-12)
        assert loss.item() == pytest.approx((math.log(1e-1) + math.log(1e-4)) / 2, rel=1e-5)
        loss.backward()
        assert mse.grad is not None
        # d loss / d log(mse_i) = 1/2 for both.
        torch.testing.assert_close(mse.grad * mse.detach(), torch.tensor([0.5, 0.5]))

    def test_mse_is_the_mean(self) -> None:
        assert balance(torch.tensor([0.1, 0.3]), "mse", 1e-6).item() == pytest.approx(0.2)

    def test_unknown_kind(self) -> None:
        with pytest.raises(ValueError, match="ssim"):
            balance(torch.ones(1), "ssim", 1e-6)
