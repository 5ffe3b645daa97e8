"""The pass-through channel: what a method could do if the air added nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from jscc.signals import ChannelState


@dataclass(frozen=True)
class Noiseless:
    """y = s."""

    def draw(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Draw nothing: an empty realisation."""
        return torch.empty(0, device=generator.device)

    def apply(self, s: Tensor, realisation: Tensor) -> tuple[Tensor, ChannelState]:
        """Return s [B, k] itself and a state with noise power 0 [B]."""
        return s, ChannelState(torch.zeros(s.shape[0], device=s.device))
