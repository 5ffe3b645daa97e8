"""Hosting of one half of every checkpoint in a service: device, precision, look-up by served name."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from jscc import checkpoints, models
from jscc.cards import UnknownCheckpointError
from jscc.config import shown
from jscc.grid import PLAIN, Grid
from jscc.models._contract import Receiver, SomeConfig, SomeReceiver, SomeTransmitter, Transmitter
from jscc.serving.runtime import pick_device, pick_precision
from jscc.signals import Layout, bandwidth_ratio
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
    module: SomeTransmitter | SomeReceiver
    config: SomeConfig

    @property
    def transmitter(self) -> SomeTransmitter:
        """The half, in a host of transmitters."""
        assert isinstance(self.module, Transmitter)
        return self.module

    @property
    def receiver(self) -> SomeReceiver:
        """The half, in a host of receivers."""
        assert isinstance(self.module, Receiver)
        return self.module

    @property
    def parameters(self) -> int:
        """Number of parameters of this half."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def layout(self, height_px: int, width_px: int, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs in a grid; symbols and codes are the same with any options.

        Raises:
            ValueError: header and pilots leave nothing to the method.
        """
        return self.config.layout(height_px, width_px, self.method.send_options_type(), grid)


class Host:
    """The loaded halves of a service."""

    def __init__(self, folder: Path, half: checkpoints.Half, wanted: str, device: str, precision: str) -> None:
        """Load every wanted checkpoint.

        Args:
            folder: of weights and cards.
            half: which half of each.
            wanted: what to serve, see `checkpoints.choose`.
            device: auto, cpu or cuda.
            precision: auto, float32 or bfloat16.

        Raises:
            UnknownCheckpointError: a wanted method has no checkpoint here.
            CheckpointError: a checkpoint cannot be loaded.
            ValueError: the device is not there, or a method's studies do not fit its options.
        """
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.hosted: list[Hosted] = []
        self._missing: dict[str, str] = {}
        for card in chosen_cards(folder, half, wanted):
            try:
                self.hosted.append(self._load(folder, card, half))
            except (ModuleNotFoundError, models.UnknownMethodError) as error:  # what this installation lacks
                self._missing[card.name] = f": {error}"
                _log.warning("checkpoint %s is not served: %s", card.name, error)
        self._served = [_served(hosted, half) for hosted in self.hosted]

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
        raise models.UnknownMethodError(f"method: {shown(name)} is not served here (served: {served}){reason}")

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


def chosen_cards(folder: Path, half: checkpoints.Half, wanted: str) -> list[checkpoints.Card]:
    """Return the cards of what a host loads; the arguments are those of `Host`.

    Raises:
        UnknownCheckpointError: a wanted method has no checkpoint here.
        CheckpointError: there is no card.
    """
    cards = checkpoints.cards(folder)
    try:
        chosen = checkpoints.choose(cards, wanted)
    except UnknownCheckpointError as error:
        raise UnknownCheckpointError(f"{error}; looked in {folder}") from None
    if half == "receiver":
        return chosen
    heard = {card.transmitter_digest for card in chosen}  # a method that is only another receiver hears another's
    return [card for card in cards if card.digest in heard]


def served_of(card: checkpoints.Card, half: checkpoints.Half) -> pb.ServedMethod:
    """Describe one half of a checkpoint as far as its card tells: without its parameters and learned values.

    Raises:
        UnknownMethodError: this build does not have the method.
        ModuleNotFoundError: this installation lacks what the method needs.
        ValueError: the method's studies do not fit its options, or the configuration not the method.
    """
    method, config = models.load(card.method), checkpoints.config_of(card)
    defaults = method.send_options_type()
    channel_uses = config.layout(*NOMINAL_SIZE_PX, defaults).channel_uses
    return pb.ServedMethod(
        name=card.name,
        checkpoint=card.name,
        method=card.method,
        transmitter_method=method.transmitter_method,
        checkpoint_digest=card.digest,
        transmitter_digest=card.transmitter_digest,
        rho=bandwidth_ratio(channel_uses, *NOMINAL_SIZE_PX),
        config_json=json.dumps(card.config, sort_keys=True),
        send_options=convert.options_in_force(defaults) if half == "transmitter" else {},
        receive_options=convert.options_in_force(method.receive_options_type()) if half == "receiver" else {},
        studies=[_study(card, method, study) for study in config.studies()],
        kodak_psnr_db=card.kodak_psnr_db,
        label=card.label,
        family=card.family,
    )


def _served(hosted: Hosted, half: checkpoints.Half) -> pb.ServedMethod:
    answer = served_of(hosted.card, half)
    answer.parameters = hosted.parameters
    learned = sorted(hosted.module.learned().items())
    answer.learned.extend(pb.LearnedValues(name=name, values=values) for name, values in learned)
    return answer


def _study(card: checkpoints.Card, method: models.Method, study: models.Study) -> pb.Study:
    where = f"studies of {card.name}"
    method.options(study.options, where)
    if study.images is not None and study.images < 1:
        raise ValueError(f"{where}: images must be at least 1, got {study.images}")
    return pb.Study(options=convert.options_to_wire(study.options), snr_db=study.snr_db, images=study.images or 0)
