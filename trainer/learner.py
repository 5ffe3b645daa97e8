"""One training step and everything that it changes."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from jscc.link import Link
from jscc.seeds import derive_seed
from trainer import execution
from trainer.data import Crops, Photos
from trainer.losses import Loss, ReferenceMse, mse_per_image, psnr_db
from trainer.objective import wrap
from trainer.optimisation import Optimiser, ema_decay, update_average
from trainer.parallel import Team
from trainer.settings import Recipe


@dataclass
class TrainingProgress:
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

    def __init__(
        self,
        recipe: Recipe,
        link: Link,
        photos: Photos,
        device: torch.device,
        team: Team | None = None,
        reference: ReferenceMse | None = None,
    ) -> None:
        """Start at step 0.

        Args:
            recipe: what to do; what it leaves open is settled without measuring.
            link: initialised; moved to the device.
            photos: training photos; moved to the device.
            device: where to train.
            team: processes that share every batch; this one alone when None.
            reference: of the loss "snr_balanced_mse", unless the recipe has its table.

        Raises:
            ValueError: the loss needs what is missing, or the batch cannot be shared out evenly.
        """
        self.recipe = recipe = execution.settled(recipe, device)
        self.progress = TrainingProgress()
        self.team = team or Team()
        self.photos = photos.to(device)
        self.link = link.to(device)
        self._format = execution.TORCH_FORMATS[recipe.run.memory_format]
        self.link.to(memory_format=self._format)  # type: ignore[call-overload]
        self._crop_draws, self._noise_draws = (
            torch.Generator(device).manual_seed(derive_seed(recipe.run.seed, use, 0.0, 0)) for use in ("crops", "noise")
        )
        data = recipe.data
        self._crops = Crops(data.crop_px, data.batch_size, data.flips, data.rotations)
        self._rows = self.team.rows(data.batch_size)
        self._loss = Loss(recipe.loss, device, reference)
        self._objective = wrap(self.link, self.team, recipe)
        self.average = copy.deepcopy(self.link).requires_grad_(False).eval()  # after the team has agreed on weights
        if recipe.run.compile:
            link.transmitter.compile()
            link.receiver.compile()
        self.optimiser = Optimiser(self.link, recipe.optimiser, bool(recipe.run.fused))
        self._columns = ("loss", "psnr_db", "gradient_norm", *self._loss.terms)
        self._sums = torch.zeros(len(self._columns), device=device)
        self._summed = 0

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Columns that the loss adds to the log."""
        return self._loss.terms

    def step(self, rate: float, snrs_db: tuple[float, float]) -> None:
        """Do one step, without waiting for the device.

        Args:
            rate: learning rate.
            snrs_db: lowest and highest SNR.
        """
        self.link.train()
        x = self.draw_crops()
        snr_db = self.draw_snrs_db(*snrs_db)
        grid = self.recipe.channel.grid_of(self.progress.step, self.recipe.run.seed)
        loss, x_hat, terms = self._objective(x, snr_db, self._noise_draws, self._loss.of(snr_db), grid)
        self.link.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.link.parameters(), self.recipe.optimiser.clip_norm)
        self.optimiser.step(rate)
        update_average(self.average, self.link, ema_decay(self.progress.step, self.recipe.optimiser.ema_decay))
        self.progress.step += 1
        values = [loss.detach(), psnr_db(mse_per_image(x_hat.detach(), x)).mean(), norm.detach()]
        self._sums += torch.stack([*values, *(terms[name].detach() for name in self._loss.terms)])
        self._summed += 1

    def draw_crops(self) -> Tensor:
        """Draw this process's crops of a batch, float32 [B, 3, crop_px, crop_px] in [0, 1]."""
        x = self._crops.draw(self.photos, self._crop_draws, self._rows)
        return x.contiguous(memory_format=self._format)

    def draw_snrs_db(self, low_db: float, high_db: float) -> Tensor:
        """Draw an SNR in dB for each of this process's samples of a batch, [B]."""
        device = self._noise_draws.device
        draws = torch.rand(self.recipe.data.batch_size, generator=self._noise_draws, device=device)
        return low_db + (high_db - low_db) * draws[self._rows]

    def check(self) -> None:
        """Wait for the device and check that the steps since the last means were finite.

        Raises:
            FloatingPointError: one was not, so the weights are lost.
        """
        if not bool(self._sums.isfinite().all()):
            loss, _, norm = self._sums[:3].tolist()
            raise FloatingPointError(
                f"training diverged before step {self.progress.step} (sum of losses {loss}, of gradient norms {norm}): "
                "lower optimiser.learning_rate or an lr_scale; the last checkpoint is from before"
            )

    def take_means(self) -> dict[str, float]:
        """Return the mean loss, PSNR and gradient norm since the last call; waits for the device and the team."""
        self.check()
        means = self.team.mean((self._sums / max(1, self._summed)).tolist())
        self._sums.zero_()
        self._summed = 0
        return dict(zip(self._columns, means, strict=True))

    def share_sums(self) -> None:
        """Replace the sums of this process by the team's mean, so that state() holds what all of it did."""
        if self.team.size > 1:
            self._sums.copy_(torch.tensor(self.team.mean(self._sums.tolist())))

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
        self.progress = TrainingProgress(**state["progress"])
        self.link.load_state_dict(state["link"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._crop_draws.set_state(state["crop_draws"])
        self._noise_draws.set_state(state["noise_draws"])
        self._sums.copy_(state["sums"])
        self._summed = state["summed"]
