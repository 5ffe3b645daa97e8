"""Budget, learning rate, parameter groups and averaged weights."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.settings import OptimiserSettings


@dataclass(frozen=True)
class Budget:
    """When a run ends: at the first of the limits that are not 0.

    Attributes:
        minutes: training time.
        steps: optimiser steps.
    """

    minutes: float
    steps: int

    def __post_init__(self) -> None:
        """Check that there is one.

        Raises:
            ValueError: no limit, or a negative one.
        """
        if min(self.minutes, self.steps) < 0 or max(self.minutes, self.steps) == 0:
            raise ValueError("budget: give --minutes or --steps (or minutes or steps under [run])")

    def position(self, step: int, elapsed_s: float) -> float:
        """Return how much of the budget is used, 0..1 and beyond."""
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        by_steps = step / self.steps if self.steps else 0.0
        return max(by_time, by_steps)


def rate_factor(position: float, warmup_fraction: float) -> float:
    """Return the factor on the learning rate: linear warm-up from 0, then a cosine that is 0 at position 1."""
    if position < warmup_fraction:
        return position / warmup_fraction
    progress = min(1.0, (position - warmup_fraction) / (1 - warmup_fraction))
    return 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(module: nn.Module, settings: OptimiserSettings) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate and weight decay.

    Returns:
        Groups for AdamW, each with its own "scale", the factor on the learning rate.

    Raises:
        ValueError: a name under lr_scale fits no parameter.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    unused = set(settings.lr_scale)
    for name, parameter in module.named_parameters():
        fitting = [part for part in settings.lr_scale if _is_part(part, name)]
        unused -= set(fitting)
        scale = settings.lr_scale[max(fitting, key=len)] if fitting else 1.0
        spared = parameter.ndim <= 1 or any(_is_part(part, name) for part in settings.no_decay)
        if parameter.requires_grad:
            groups.setdefault((scale, 0.0 if spared else settings.weight_decay), []).append(parameter)
    if unused:
        raise ValueError(f"optimiser: lr_scale: '{sorted(unused)[0]}' is no part of any parameter's name")
    return [
        {"params": parameters, "scale": scale, "weight_decay": decay} for (scale, decay), parameters in groups.items()
    ]


def _is_part(part: str, name: str) -> bool:
    return f".{part}." in f".{name}."


def adamw(module: nn.Module, settings: OptimiserSettings) -> torch.optim.AdamW:
    """Build AdamW, fused where the devices of all parameters allow it."""
    groups = parameter_groups(module, settings)
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in module.parameters())
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=fused)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group to rate times its scale."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def ema_decay(step: int, decay: float) -> float:
    """Return the decay after `step` earlier updates: short at first, so that the start is forgotten soon."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Move the averaged weights: average = decay * average + (1 - decay) * weights; buffers are copied."""
    torch._foreach_lerp_(_tensors(average.parameters()), _tensors(module.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), module.buffers(), strict=True):
        mine.copy_(theirs)


def _tensors(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach() for parameter in parameters]
