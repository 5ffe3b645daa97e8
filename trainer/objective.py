"""What is differentiated: a link and its loss as one module, so that several processes can share a batch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from jscc.draws import Draws
from jscc.grid import PLAIN, Grid
from jscc.link import Link
from jscc.models._contract import Criterion, Objective, Score
from trainer.parallel import Team
from trainer.settings import Recipe

_PROBES = 3


class ScoredLink(nn.Module):
    """Link and loss in one forward pass; DistributedDataParallel acts on what its module's forward returns."""

    def __init__(self, link: Link, team: Team, recipe: Recipe) -> None:
        """Score `link` as the recipe says."""
        super().__init__()
        self.link = link
        self._precision = recipe.run.precision
        self._batch_size = recipe.data.batch_size
        self._rows = team.rows(self._batch_size)

    def forward(
        self, x: Tensor, snr_db: Tensor, generator: torch.Generator, criterion: Criterion, grid: Grid = PLAIN
    ) -> Objective:
        """Return loss, x_hat and terms for this process's images of a batch; `generator` is the same in all of them."""
        draws = Draws(generator, self._rows, self._batch_size)
        return self.link.objective(x, snr_db, draws, criterion, self._precision, grid)


def wrap(link: Link, team: Team, recipe: Recipe) -> Callable[..., Objective]:
    """Return the objective of a link on its device; in a team it averages the gradients over the processes.

    The weights of the first process become those of all.
    """
    scored = ScoredLink(link, team, recipe)
    if team.size == 1:
        return scored
    device = next(link.parameters()).device
    return DistributedDataParallel(
        scored,
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        find_unused_parameters=_leaves_out(scored, device, team, recipe),
    )


def _leaves_out(scored: ScoredLink, device: torch.device, team: Team, recipe: Recipe) -> bool:
    """Whether some draws of the objective leave a trainable parameter without a gradient.

    DistributedDataParallel has to look for these in every step, which costs time, or it waits for them forever.
    """
    rows, side_px = team.rows(recipe.data.batch_size), recipe.data.crop_px
    generator = torch.Generator(device).manual_seed(0)
    x = torch.rand(rows.stop - rows.start, 3, side_px, side_px, device=device)
    snr_db = torch.full((len(x),), recipe.channel.snr_low_db, device=device)
    trained = [parameter for parameter in scored.parameters() if parameter.requires_grad]
    scored.train()
    found = False
    for _ in range(_PROBES):
        scored(x, snr_db, generator, squared_error).loss.backward()
        found = found or any(parameter.grad is None for parameter in trained)
        scored.zero_grad(set_to_none=True)
    return found


def squared_error(x_hat: Tensor, x: Tensor) -> Score:
    """Score images by their mean squared error, the plainest criterion."""
    return Score(nn.functional.mse_loss(x_hat, x), {})
