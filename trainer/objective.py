"""What is differentiated: a link and its loss as one module, so that several processes can share a batch."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from jscc.link import Criterion, Link
from trainer.parallel import Team, WholeBatchDraws
from trainer.settings import Recipe

_PROBES = 3


class Objective(nn.Module):
    """Link and loss in one forward pass; DistributedDataParallel acts on what its module's forward returns."""

    def __init__(self, link: Link, team: Team, recipe: Recipe) -> None:
        """Score `link` as the recipe says."""
        super().__init__()
        self.link = link
        self._precision = recipe.run.precision
        self._draws = contextlib.nullcontext() if team.size == 1 else WholeBatchDraws(team, recipe.data.batch_size)

    def forward(
        self, x: Tensor, snr_db: Tensor, generator: torch.Generator, criterion: Criterion
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and x_hat; arguments as for Link.objective."""
        with self._draws:
            return self.link.objective(x, snr_db, generator, criterion, self._precision)


def wrap(link: Link, team: Team, recipe: Recipe) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the objective of a link on its device; in a team it averages the gradients over the processes.

    The weights of the first process become those of all.
    """
    objective = Objective(link, team, recipe)
    if team.size == 1:
        return objective
    device = next(link.parameters()).device
    return DistributedDataParallel(
        objective,
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        find_unused_parameters=_leaves_out(objective, device, team, recipe),
    )


def _leaves_out(objective: Objective, device: torch.device, team: Team, recipe: Recipe) -> bool:
    """Whether some draws of the objective leave a trainable parameter without a gradient.

    DistributedDataParallel has to look for these in every step, which costs time, or it waits for them forever.
    """
    rows, side_px = team.rows(recipe.data.batch_size), recipe.data.crop_px
    generator = torch.Generator(device).manual_seed(0)
    x = torch.rand(rows.stop - rows.start, 3, side_px, side_px, device=device)
    snr_db = torch.full((len(x),), recipe.channel.snr_low_db, device=device)
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    objective.train()
    found = False
    for _ in range(_PROBES):
        loss, _ = objective(x, snr_db, generator, nn.functional.mse_loss)
        loss.backward()
        found = found or any(parameter.grad is None for parameter in trained)
        objective.zero_grad(set_to_none=True)
    return found
