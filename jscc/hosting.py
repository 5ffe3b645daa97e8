"""Hosting of one half of every checkpoint in a service: device, precision, look-up by served name."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jscc import checkpoints, config, models
from jscc.signals import bandwidth_ratio
from jscc.wire import convert, describe
from jscc.wire.v1 import symbols_pb2 as pb

NOMINAL_SIZE_PX = (512, 768)
"""Height and width at which services warm up and state their rates: a multiple of every method's padding."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hosted:
    """One loaded half.

    Attributes:
        card: of its checkpoint, whose name is the served name.
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
            wanted: what to serve, see `choose`.
            device: auto, cpu or cuda.
            precision: auto, float32 or bfloat16.

        Raises:
            UnknownMethodError: a wanted method has no checkpoint here.
            CheckpointError: a checkpoint cannot be loaded.
            ValueError: the device is not there, or a method's studies do not fit its options.
        """
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        cards = checkpoints.cards(folder)
        try:
            chosen = choose(cards, wanted)
        except models.UnknownMethodError as error:
            raise models.UnknownMethodError(f"{error} in {folder}") from None
        if half == "transmitter":  # a method that is only another receiver listens to the transmitter of another
            heard = {card.transmitter_digest for card in chosen}
            chosen = [card for card in cards if card.digest in heard]
        self.hosted: list[Hosted] = []
        self._missing: dict[str, str] = {}
        for card in chosen:
            try:
                self.hosted.append(self._load(folder, card, half))
            except ModuleNotFoundError as error:  # an extra that this installation lacks must not stop the others
                self._missing[card.name] = f": {error}"
                _log.warning("checkpoint %s is not served: %s", card.name, error)
        self._served = [_served(hosted) for hosted in self.hosted]

    def _load(self, folder: Path, card: checkpoints.Card, half: checkpoints.Half) -> Hosted:
        method = models.load(card.method)
        module = checkpoints.load(folder, card, half, self.device)
        module.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Hosted(card, method, module, checkpoints.config_of(card))

    @property
    def names(self) -> tuple[str, ...]:
        """Served names, sorted."""
        return tuple(hosted.card.name for hosted in self.hosted)

    def find(self, name: str) -> Hosted:
        """Return what is served by a name.

        Raises:
            UnknownMethodError: the name is not served here; lists those that are.
        """
        for hosted in self.hosted:
            if hosted.card.name == name:
                return hosted
        served, reason = ", ".join(self.names), self._missing.get(name, "")
        raise models.UnknownMethodError(f"method: '{name}' is not served here (served: {served}){reason}")

    def describe(self, service: str, settings: dict[str, str]) -> pb.ServiceDescription:
        """Describe the service that this host works for; `settings` are those in force."""
        answer = describe.description(service, settings)
        answer.device, answer.precision = self.device, self.precision
        answer.methods.extend(self._served)
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


def choose(cards: list[checkpoints.Card], wanted: str) -> list[checkpoints.Card]:
    """Pick checkpoints by a list of names.

    Args:
        cards: those that are there.
        wanted: names separated by commas; the name of a method stands for all its checkpoints, any other for one. A
            leading "-" leaves out what would be served otherwise. Empty or "all" for all.

    Returns:
        The cards by name.

    Raises:
        UnknownMethodError: a wanted name is not there.
    """
    items = [item.strip() for item in wanted.split(",") if item.strip()]
    left_out = {item[1:] for item in items if item.startswith("-")}
    kept = {item for item in items if not item.startswith("-")} - {"all"}
    there = {name for card in cards for name in (card.name, card.method)}
    absent = sorted(kept - there)
    if absent:
        raise models.UnknownMethodError(f"method: no checkpoint of '{absent[0]}'")
    chosen = [card for card in cards if "all" in items or not kept or {card.name, card.method} & kept]
    found = [card for card in chosen if not {card.name, card.method} & left_out]
    if not found:
        raise models.UnknownMethodError(f"method: '{wanted}' leaves no checkpoint to serve")
    return sorted(found, key=lambda card: card.name)


def _served(hosted: Hosted) -> pb.ServedMethod:
    card = hosted.card
    channel_uses = hosted.config.layout(*NOMINAL_SIZE_PX).channel_uses
    learned: dict[str, list[float]] = getattr(hosted.module, "learned", dict)()
    return pb.ServedMethod(
        name=card.name,
        checkpoint=card.name,
        method=card.method,
        transmitter_method=hosted.method.transmitter_method,
        checkpoint_digest=card.digest,
        transmitter_digest=card.transmitter_digest,
        rho=bandwidth_ratio(channel_uses, *NOMINAL_SIZE_PX),
        parameters=hosted.parameters,
        config_json=json.dumps(card.config, sort_keys=True),
        options=convert.options_in_force(hosted.method.options_type()),
        learned=[pb.LearnedValues(name=name, values=values) for name, values in sorted(learned.items())],
        studies=[_study(hosted, study) for study in getattr(hosted.config, "studies", tuple)()],
        kodak_psnr_db=card.kodak_psnr_db,
    )


def _study(hosted: Hosted, study: models.Study) -> pb.Study:
    where = f"studies of {hosted.card.name}"
    config.from_mapping(hosted.method.options_type, study.options, where)
    if study.images is not None and study.images < 1:
        raise ValueError(f"{where}: images must be at least 1, got {study.images}")
    return pb.Study(options=convert.options_to_wire(study.options), snr_db=study.snr_db, images=study.images or 0)


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
