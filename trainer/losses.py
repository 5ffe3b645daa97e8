"""Losses, in float32."""

from dataclasses import dataclass

import torch
from torch import Tensor

from jscc.models import _linear
from jscc.models._contract import Score
from trainer import perceptual
from trainer.settings import LossSettings

_MSE_FLOOR = 1e-10  # 100 dB
_PATCH_PX = 16
_REFERENCE_SNRS_DB = tuple(range(-30, 61, 2))


@dataclass(frozen=True)
class ReferenceMse:
    """An error as a function of the SNR: linear in decibels between the table's SNRs, constant beyond them.

    Attributes:
        snr_db: [n] rising.
        mse: [n] squared error of [0, 1] images, above 0.
    """

    snr_db: Tensor
    mse: Tensor

    def at(self, snr_db: Tensor) -> Tensor:
        """Return the error [B] at the SNRs [B], without waiting for the device."""
        last = len(self.snr_db) - 1
        if last == 0:
            return self.mse.expand(len(snr_db))
        above = torch.searchsorted(self.snr_db, snr_db.contiguous()).clamp(1, last)
        low, high = self.snr_db[above - 1], self.snr_db[above]
        share = ((snr_db - low) / (high - low)).clamp(0, 1)
        logarithm = self.mse.log()
        return torch.lerp(logarithm[above - 1], logarithm[above], share).exp()


def linear_reference(images: list[Tensor], rho: float) -> ReferenceMse:
    """Return the error of the linear analog code: Karhunen-Loeve transform of 16x16 patches, water-filled powers.

    Args:
        images: uint8 [3, H, W] training photos of at least 16 px on both sides.
        rho: real channel uses per sample of the image.

    Source: K.-H. Lee and D. Petersen, "Optimal linear coding for vector channels", 1976.
    """
    code, snr_db = _linear.fit(images, _PATCH_PX), torch.tensor(_REFERENCE_SNRS_DB, dtype=torch.float32)
    kept = min(len(code.variance), max(1, round(rho * len(code.variance))))
    gain, weight = code.gains(snr_db, kept)
    left = ((1 - gain * weight) * code.variance[:kept]).sum(dim=1)  # the LMMSE error is lambda (1 - g w)
    return ReferenceMse(snr_db, (left + code.variance[kept:].sum()) / len(code.variance))


class Loss:
    """The loss of a recipe; `of` binds it to the SNRs of a batch."""

    def __init__(self, settings: LossSettings, device: torch.device, reference: ReferenceMse | None = None) -> None:
        """Load what the loss needs.

        Args:
            settings: the recipe's.
            device: of the images.
            reference: MSE_ref for "snr_balanced_mse"; the table of the settings when None.

        Raises:
            ValueError: the weights of LPIPS are missing; "snr_balanced_mse" without a table.
        """
        self.settings = settings
        if settings.reference_snr_db:
            reference = ReferenceMse(torch.tensor(settings.reference_snr_db), torch.tensor(settings.reference_mse))
        if settings.kind == "snr_balanced_mse" and reference is None:
            raise ValueError("loss: kind 'snr_balanced_mse' needs reference_snr_db and reference_mse")
        self.reference = reference and ReferenceMse(reference.snr_db.to(device), reference.mse.to(device))
        self.lpips = perceptual.lpips(device) if settings.lpips_weight else None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms before weighting, where there is more than the pixels' one."""
        weights = {"ms_ssim": self.settings.ms_ssim_weight, "lpips": self.settings.lpips_weight}
        perceived = [f"loss_{name}" for name, weight in weights.items() if weight]
        return ("loss_pixel", *perceived) if perceived else ()

    def of(self, snr_db: Tensor) -> "BatchLoss":
        """Return the criterion of a batch with the SNRs [B]."""
        return BatchLoss(self, snr_db)


class BatchLoss:
    """Criterion of one batch: (x_hat, x) -> Score, whose terms are those that Loss.terms names."""

    def __init__(self, loss: Loss, snr_db: Tensor) -> None:
        """Score images sent at the SNRs [B]."""
        self._loss = loss
        self._snr_db = snr_db

    def __call__(self, x_hat: Tensor, x: Tensor) -> Score:
        """Return the loss and its terms of received images x_hat for x, both [B, 3, H, W].

        Raises:
            ValueError: "snr_balanced_mse" of other images than the batch.
        """
        settings = self._loss.settings
        with torch.autocast(x.device.type, enabled=False):
            x_hat, x = x_hat.float(), x.float()
            terms = [self._pixels(mse_per_image(x_hat, x))]
            weights = [settings.pixel_weight]
            if settings.ms_ssim_weight:
                terms.append(1 - perceptual.ms_ssim(x_hat, x).mean())
                weights.append(settings.ms_ssim_weight)
            if self._loss.lpips is not None:
                terms.append(self._loss.lpips(x_hat, x).mean())
                weights.append(settings.lpips_weight)
        total = (
            terms[0] if weights == [1.0] else sum(weight * term for weight, term in zip(weights, terms, strict=True))
        )
        assert isinstance(total, Tensor)
        named = zip(self._loss.terms, terms, strict=True) if self._loss.terms else ()
        return Score(total, {name: term.detach() for name, term in named})

    def _pixels(self, mse: Tensor) -> Tensor:
        settings, reference = self._loss.settings, self._loss.reference
        if settings.kind != "snr_balanced_mse" or reference is None:
            return balance(mse, settings.kind, settings.epsilon)
        if len(mse) != len(self._snr_db):
            raise ValueError(f"loss: snr_balanced_mse of {len(mse)} images, but {len(self._snr_db)} SNRs are known")
        return (mse / reference.at(self._snr_db)).mean()


def mse_per_image(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the mean squared error [B] of images [B, 3, H, W]."""
    return (x_hat.float() - x.float()).square().flatten(1).mean(dim=1)


def balance(mse: Tensor, kind: str, epsilon: float) -> Tensor:
    """Reduce the errors of a batch to one loss.

    The errors at -5 dB are some fifty times those at 20 dB, so their plain mean trains low SNRs only. The gradient of
    log(MSE_i) is that of MSE_i / MSE_i: every sample weighs the same.

    Args:
        mse: [B] mean squared errors.
        kind: "log_mse" or "mse".
        epsilon: floor inside the logarithm.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "log_mse":
        return (mse + epsilon).log().mean()
    if kind == "mse":
        return mse.mean()
    raise ValueError(f"loss: unknown kind '{kind}'")


def psnr_db(mse: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of errors of [0, 1] images, at most 100 dB."""
    return -10 * mse.clamp_min(_MSE_FLOOR).log10()
