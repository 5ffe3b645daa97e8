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
        Groups, each with its own "scale", the factor on the learning rate, and "muon": whether Muon updates it.

    Raises:
        ValueError: a name under lr_scale or muon fits no parameter.
    """
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    unused = {"lr_scale": set(settings.lr_scale), "muon": set(settings.muon)}
    for name, parameter in module.named_parameters():
        fitting = {key: [part for part in parts if _is_part(part, name)] for key, parts in _named(settings).items()}
        for key, parts in fitting.items():
            unused[key] -= set(parts)
        scale = settings.lr_scale[max(fitting["lr_scale"], key=len)] if fitting["lr_scale"] else 1.0
        spared = parameter.ndim <= 1 or any(_is_part(part, name) for part in settings.no_decay)
        if parameter.requires_grad:
            kind = (scale, 0.0 if spared else settings.weight_decay, bool(fitting["muon"]) and parameter.ndim == 4)
            groups.setdefault(kind, []).append(parameter)
    for key, left in unused.items():
        if left:
            raise ValueError(f"optimiser: {key}: '{min(left)}' is no part of any parameter's name")
    return [
        {"params": parameters, "scale": scale, "weight_decay": decay, "muon": muon}
        for (scale, decay, muon), parameters in groups.items()
    ]


def _named(settings: OptimiserSettings) -> dict[str, tuple[str, ...]]:
    return {"lr_scale": tuple(settings.lr_scale), "muon": settings.muon}


def _is_part(part: str, name: str) -> bool:
    return f".{part}." in f".{name}."


class Optimiser:
    """AdamW, and Muon for the convolution kernels that the recipe names.

    Muon turns a kernel's momentum, as a matrix of outputs by inputs and taps, into the nearest orthogonal one, of the
    root mean square that AdamW's updates have, so that both share a learning rate.

    Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale after J. Liu et
    al., "Muon is Scalable for LLM Training", 2025; torch.optim.Muon.
    """

    def __init__(self, module: nn.Module, settings: OptimiserSettings, fused: bool = True) -> None:
        """Optimise the trainable parameters of a module, which stay where they are in memory from now on.

        Args:
            module: on its device, in its memory format.
            settings: the recipe's.
            fused: whether AdamW updates all weights in one pass.

        Raises:
            ValueError: a name under lr_scale or muon fits no parameter.
        """
        groups = parameter_groups(module, settings)
        betas = (0.9, settings.beta2)
        others = [group for group in groups if not group["muon"]]
        self.adamw = torch.optim.AdamW(others, lr=settings.learning_rate, betas=betas, fused=fused)
        self._fused = fused
        orthogonal = [group for group in groups if group["muon"]]
        self._kernels = [kernel for group in orthogonal for kernel in group["params"]]
        matrices = [
            group | {"params": [nn.Parameter(_matrix(k.data, k)) for k in group["params"]]} for group in orthogonal
        ]
        self._matrices = [matrix for group in matrices for matrix in group["params"]]
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            assert kernel.data_ptr() == matrix.data_ptr(), "a kernel that is dense in neither memory format"
        self._muon = torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw") if matrices else None

    def step(self, rate: float) -> None:
        """Update the parameters by their gradients at a learning rate, times each group's own scale."""
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad, kernel)
        for optimiser in filter(None, (self.adamw, self._muon)):
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both."""
        return {"adamw": self.adamw.state_dict(), "muon": self._muon and self._muon.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from state_dict()."""
        saved = state["adamw"]
        groups = [group | {"fused": self._fused} for group in saved["param_groups"]]  # not as it was when saved
        self.adamw.load_state_dict(saved | {"param_groups": groups})
        if self._muon is not None:
            self._muon.load_state_dict(state["muon"])


def _matrix(values: Tensor, kernel: Tensor) -> Tensor:
    """Return values of a kernel [O, I, h, w] as a matrix [O, I h w], columns as the kernel lies in memory.

    So the kernel's own values give a view, in either memory format.
    """
    channels_last = kernel.is_contiguous(memory_format=torch.channels_last)
    return (values.permute(0, 2, 3, 1) if channels_last else values).reshape(len(kernel), -1)


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
