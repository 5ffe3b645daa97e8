"""One training step and everything that it changes."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from jscc.signals import derive_seed
from trainer.data import Crops, Photos
from trainer.link import Link
from trainer.losses import balance, mse_per_image, psnr_db
from trainer.optimisation import adamw, ema_decay, set_rate, update_average
from trainer.settings import Recipe


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: finished steps.
        elapsed_s: training time of all sessions, validations included.
        validated_s: elapsed_s at the last validation.
        best_psnr_db: best mean validation PSNR.
        best_step: its step.
    """

    step: int = 0
    elapsed_s: float = 0.0
    validated_s: float = 0.0
    best_psnr_db: float = -math.inf
    best_step: int = 0


class Learner:
    """Link, averaged weights, optimiser and random generators of a run, all on one device."""

    def __init__(self, recipe: Recipe, link: Link, photos: Photos, device: torch.device) -> None:
        """Start at step 0.

        Args:
            recipe: what to do.
            link: initialised; moved to the device.
            photos: training photos; moved to the device.
            device: where to train.
        """
        self.recipe = recipe
        self.progress = Progress()
        self.photos = photos.to(device)
        self.link = link.to(device)
        self.link.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.link).requires_grad_(False).eval()
        self.optimiser = adamw(self.link, recipe.optimiser)
        self._crop_draws, self._noise_draws = (
            torch.Generator(device).manual_seed(derive_seed(recipe.run.seed, use, 0.0, 0)) for use in ("crops", "noise")
        )
        data = recipe.data
        self._crops = Crops(data.crop_px, data.batch_size, data.flips, data.rotations)
        self._sums = torch.zeros(3, device=device)
        self._summed = 0

    def step(self, rate: float) -> None:
        """Do one step at a learning rate, without waiting for the device."""
        self.link.train()
        set_rate(self.optimiser, rate)
        x = self._crops.draw(self.photos, self._crop_draws).contiguous(memory_format=torch.channels_last)
        precision = self.recipe.run.precision
        loss, x_hat = self.link.objective(x, self.draw_snrs_db(), self._noise_draws, self.criterion, precision)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.link.parameters(), self.recipe.optimiser.clip_norm)
        self.optimiser.step()
        update_average(self.average, self.link, ema_decay(self.progress.step, self.recipe.optimiser.ema_decay))
        self.progress.step += 1
        self._sums += torch.stack([loss.detach(), psnr_db(mse_per_image(x_hat.detach(), x)).mean(), norm.detach()])
        self._summed += 1

    def criterion(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the recipe's loss of a batch."""
        return balance(mse_per_image(x_hat, x), self.recipe.loss.kind, self.recipe.loss.epsilon)

    def draw_snrs_db(self) -> Tensor:
        """Draw an SNR in dB for each sample of a batch, [B]."""
        low, high = self.recipe.channel.snr_low_db, self.recipe.channel.snr_high_db
        device = self._noise_draws.device
        draws = torch.rand(self.recipe.data.batch_size, generator=self._noise_draws, device=device)
        return low + (high - low) * draws

    def check(self) -> None:
        """Wait for the device and check that the steps since the last means were finite.

        Raises:
            FloatingPointError: one was not, so the weights are lost.
        """
        if not bool(self._sums.isfinite().all()):
            loss, _, norm = self._sums.tolist()
            raise FloatingPointError(
                f"training diverged before step {self.progress.step} (sum of losses {loss}, of gradient norms {norm}): "
                "lower optimiser.learning_rate or an lr_scale; the last checkpoint is from before"
            )

    def take_means(self) -> dict[str, float]:
        """Return the mean loss, PSNR and gradient norm since the last call; waits for the device."""
        self.check()
        loss, psnr, norm = (self._sums / max(1, self._summed)).tolist()
        self._sums.zero_()
        self._summed = 0
        return {"loss": loss, "psnr_db": psnr, "gradient_norm": norm}

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "progress": asdict(self.progress),
            "link": self.link.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "crop_draws": self._crop_draws.get_state(),
            "noise_draws": self._noise_draws.get_state(),
            "sums": self._sums,
            "summed": self._summed,
            "photos": len(self.photos),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from state()."""
        self.progress = Progress(**state["progress"])
        self.link.load_state_dict(state["link"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._crop_draws.set_state(state["crop_draws"])
        self._noise_draws.set_state(state["noise_draws"])
        self._sums.copy_(state["sums"])
        self._summed = state["summed"]
