"""The pass-through channel: what a method could do if the air added nothing."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from jscc.channels import Realisation, Truth
from jscc.draws import Draws


@dataclass(frozen=True)
class Options:
    """A request has nothing to choose."""


@dataclass(frozen=True)
class Noiseless:
    """y = s.

    Attributes:
        snr_db: [B], without effect.
        options: nothing to choose.
    """

    fades: ClassVar[bool] = False
    snr_db: Tensor
    options: Options = field(default_factory=Options)

    def draw(self, shape: torch.Size, draws: Draws) -> Realisation:
        """Draw nothing."""
        return Realisation(draws.randn(shape[0], 0))

    def apply(self, s: Tensor, realisation: Realisation) -> tuple[Tensor, Truth]:
        """Return s [B, k] itself and noise power 0 [B]."""
        return s, Truth(torch.zeros(s.shape[0], device=s.device))
