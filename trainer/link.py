"""The differentiable link: transmitter, AWGN, receiver."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jscc import checkpoints, config, models
from jscc.channels import Awgn
from jscc.checkpoints import Card
from jscc.signals import ChannelState, Side
from trainer.settings import MethodSettings

Criterion = Callable[[Tensor, Tensor], Tensor]


class Link(nn.Module):
    """One method's two halves with a channel between them."""

    def __init__(self, method: models.Method, transmitter: nn.Module, receiver: nn.Module) -> None:
        """Join the halves of `method`."""
        super().__init__()
        self.method = method
        self.options: Any = method.options_type()
        """What both halves are asked for; the method's defaults until somebody sets it."""
        self.transmitter = transmitter
        self.receiver = receiver

    def forward(
        self,
        x: Tensor,
        snr_db: Tensor,
        generator: torch.Generator,
        precision: str = "float32",
        told_above_db: float = 0.0,
    ) -> Tensor:
        """Send images through the link; the channel computes in float32 in any case.

        Args:
            x: [B, 3, H, W] in [0, 1].
            snr_db: [B].
            generator: draws the noise [B, k], on its own device.
            precision: of the networks, "float32" or "bfloat16".
            told_above_db: by how much the SNR that the transmitter is told is above the channel's.

        Returns:
            x_hat float32 [B, 3, H, W].
        """
        received = self._send(x, snr_db, generator, precision, told_above_db)
        with networks_in(precision, x.device):
            x_hat: Tensor = self.receiver(*received, self.options)
        return x_hat.float()

    def objective(
        self, x: Tensor, snr_db: Tensor, generator: torch.Generator, criterion: Criterion, precision: str = "float32"
    ) -> tuple[Tensor, Tensor]:
        """Send images and score them, by the receiver's own `objective` where it has one.

        Args:
            x: [B, 3, H, W] in [0, 1].
            snr_db: [B].
            generator: draws the noise and what the method draws, on its own device.
            criterion: (x_hat, x) -> loss; the recipe's.
            precision: of the networks, "float32" or "bfloat16".

        Returns:
            The loss, and x_hat float32 [B, 3, H, W].
        """
        received = self._send(x, snr_db, generator, precision)
        with networks_in(precision, x.device):
            own: Any = getattr(self.receiver, "objective", None)
            if own is None:
                x_hat = self.receiver(*received, self.options)
                loss = criterion(x_hat, x)
            else:
                loss, x_hat = own(x, received, criterion, generator)
        return loss, x_hat.float()

    def _send(
        self, x: Tensor, snr_db: Tensor, generator: torch.Generator, precision: str, told_above_db: float = 0.0
    ) -> tuple[Tensor, Side, ChannelState]:
        with networks_in(precision, x.device):
            s, side = self.transmitter(x, snr_db + told_above_db, self.options)
        channel = Awgn(snr_db)
        y, state = channel.apply(s.float(), channel.draw(s.shape, generator).to(s.device))
        return y, side, state


@contextmanager
def networks_in(precision: str, device: torch.device) -> Iterator[None]:
    """Run convolutions and matrix products in a precision."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def method_config(settings: MethodSettings, where: str) -> Any:
    """Return the method's Config.

    Raises:
        ValueError: the method's Config refuses a key or a value; names `where`.
        UnknownMethodError: there is no such method.
    """
    return config.from_mapping(models.load(settings.name).config_type, settings.config, f"{where}: method: config")


def build(settings: MethodSettings, seed: int, where: str = "recipe") -> Link:
    """Build a link with fresh weights on the CPU; a method that is only another receiver gets its frozen transmitter.

    Raises:
        ValueError: the method's Config refuses a key or a value, or listens_to is missing or of another method.
        CheckpointError: the checkpoint that it listens to is missing or damaged.
    """
    method, choice = models.load(settings.name), method_config(settings, where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        receiver = method.receiver_type(choice)
        if method.transmitter_method == method.name:
            return Link(method, method.transmitter_type(choice), receiver)
    card = heard(settings, where)
    folder = Path(settings.listens_to).parent
    transmitter = checkpoints.load(folder, card, "transmitter").requires_grad_(False)
    listen_to: Any = receiver.listen_to
    listen_to(checkpoints.load(folder, card, "receiver"))
    return Link(method, transmitter, receiver)


def card_path(path: Path) -> Path:
    """Return the card of `<folder>/<name>`, given with or without suffix."""
    name = path.stem if path.suffix in (".json", ".safetensors") else path.name
    return path.parent / f"{name}.json"


def take_over(link: Link, path: Path) -> Card:
    """Take the weights of a shipped checkpoint of the same method.

    What it lacks, such as further blocks, stays; so does what is frozen, which comes from the method listened to.

    Args:
        link: as built.
        path: `<folder>/<name>` of the checkpoint.

    Returns:
        Its card.

    Raises:
        ValueError: it is of another method, or a tensor has another shape or no place; names it.
        CheckpointError: it is missing or damaged.
    """
    card = checkpoints.read_card(card_path(path))
    if card.method != link.method.name:
        raise ValueError(f"--start: {path} is of '{card.method}', not of '{link.method.name}'")
    frozen = {name for name, parameter in link.named_parameters() if not parameter.requires_grad}
    shipped = {name: it for name, it in checkpoints.tensors(path.parent, card).items() if name not in frozen}
    mine = link.state_dict()
    for name, tensor in shipped.items():
        if name not in mine or mine[name].shape != tensor.shape:
            here = tuple(mine[name].shape) if name in mine else "none"
            raise ValueError(f"--start: {path}: '{name}' has shape {tuple(tensor.shape)}, in this recipe {here}")
    link.load_state_dict(mine | shipped)
    return card


def heard(settings: MethodSettings, where: str = "recipe") -> Card:
    """Return the card of the checkpoint whose transmitter a method that is only another receiver listens to.

    Raises:
        ValueError: listens_to is missing or of another method.
        CheckpointError: there is no such checkpoint.
    """
    wanted = models.load(settings.name).transmitter_method
    if not settings.listens_to:
        raise ValueError(f"{where}: method: listens_to: '{settings.name}' needs a checkpoint of '{wanted}'")
    path = Path(settings.listens_to)
    card = checkpoints.read_card(card_path(path))
    if card.method != wanted:
        raise ValueError(f"{where}: method: listens_to: {path} is of '{card.method}', not of '{wanted}'")
    return card


def config_mapping(settings: MethodSettings) -> dict[str, Any]:
    """Return the method's complete Config, defaults included, as it goes into a model card."""
    return dataclasses.asdict(method_config(settings, "recipe"))
