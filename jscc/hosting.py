"""Hosting of one half of every checkpoint in a service: device, precision, look-up by method and digest."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jscc import checkpoints, models
from jscc.signals import bandwidth_ratio
from jscc.wire import describe
from jscc.wire.v1 import symbols_pb2 as pb

NOMINAL_SIZE_PX = (512, 768)
"""Height and width at which services warm up and state their rates: a multiple of every method's padding."""


@dataclass(frozen=True)
class Hosted:
    """One loaded half.

    Attributes:
        card: of its checkpoint.
        method: its method.
        module: the transmitter or the receiver, on the device, in evaluation mode.
        config: its method's Config.
    """

    card: checkpoints.Card
    method: models.Method
    module: nn.Module
    config: Any

    @property
    def parameters(self) -> int:
        """Number of parameters of this half."""
        return sum(parameter.numel() for parameter in self.module.parameters())


class Host:
    """The loaded halves of a service."""

    def __init__(self, folder: Path, half: checkpoints.Half, wanted: str, device: str, precision: str) -> None:
        """Load every wanted checkpoint.

        Args:
            folder: of weights and cards.
            half: which half of each.
            wanted: names of methods, separated by commas; empty for all.
            device: auto, cpu or cuda.
            precision: auto, float32 or bfloat16.

        Raises:
            UnknownMethodError: a wanted method has no checkpoint here.
            CheckpointError: a checkpoint cannot be loaded.
            ValueError: the device is not there.
        """
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        chosen = [name.strip() for name in wanted.split(",") if name.strip()]
        cards = [card for card in checkpoints.cards(folder) if not chosen or card.method in chosen]
        if half == "transmitter":  # a method that is only another receiver has none of its own
            cards = [card for card in cards if models.load(card.method).transmitter_method == card.method]
        absent = sorted(set(chosen) - {card.method for card in cards})
        if absent:
            raise models.UnknownMethodError(f"method: no checkpoint of '{absent[0]}' in {folder}")
        cards.sort(key=lambda card: (card.method, card.name != card.method, card.name))
        self.hosted = [self._load(folder, card, half) for card in cards]

    def _load(self, folder: Path, card: checkpoints.Card, half: checkpoints.Half) -> Hosted:
        method = models.load(card.method)
        module = checkpoints.load(folder, card, half, self.device)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Hosted(card, method, module, checkpoints.config_of(card))

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that are served, sorted."""
        return tuple(sorted({hosted.method.name for hosted in self.hosted}))

    def by_method(self, name: str) -> list[Hosted]:
        """Return the checkpoints of a method, its default first.

        Raises:
            UnknownMethodError: the method is not served here; lists those that are.
        """
        found = [hosted for hosted in self.hosted if hosted.method.name == name]
        if not found:
            served = ", ".join(self.methods)
            raise models.UnknownMethodError(f"method: '{name}' is not served here (served: {served})")
        return found

    def describe(self, service: str, settings: dict[str, str]) -> pb.ServiceDescription:
        """Describe the service that this host works for; `settings` are those in force."""
        answer = describe.description(service, settings)
        answer.device, answer.precision = self.device, self.precision
        answer.methods.extend(_served(hosted) for hosted in self.hosted)
        return answer

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Run networks without gradients at the service's precision."""
        enabled = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=enabled):
            yield

    def synchronise(self) -> None:
        """Wait until the device has finished, so that a measured time is the work's."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def _served(hosted: Hosted) -> pb.ServedMethod:
    card = hosted.card
    channel_uses = hosted.config.layout(*NOMINAL_SIZE_PX).channel_uses
    return pb.ServedMethod(
        name=card.method,
        checkpoint=card.name,
        checkpoint_digest=card.digest,
        transmitter_digest=card.transmitter_digest,
        rho=bandwidth_ratio(channel_uses, *NOMINAL_SIZE_PX),
        parameters=hosted.parameters,
        config_json=json.dumps(card.config, sort_keys=True),
    )


def start_torch(threads: int) -> None:
    """Set the number of CPU threads of this process, 0 for one per core; results depend on nothing else."""
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.use_deterministic_algorithms(True, warn_only=True)


def pick_device(wanted: str) -> str:
    """Return cuda for auto where there is a GPU, else cpu.

    Raises:
        ValueError: cuda is wanted and not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("DEVICE=cuda: this machine has no CUDA device that torch can use")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def pick_precision(wanted: str, device: str) -> str:
    """Return bfloat16 for auto where the hardware multiplies it natively, else float32."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device == "cuda" or _cpu_multiplies_bfloat16() else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
