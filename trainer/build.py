"""Links from recipes: fresh weights, weights to start from, and the frozen transmitter of another method."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from jscc import checkpoints, config, models
from jscc.checkpoints import Card
from jscc.link import Link
from jscc.models._contract import SomeConfig
from trainer.settings import MethodSettings


def method_config(settings: MethodSettings, where: str) -> SomeConfig:
    """Return the method's Config.

    Raises:
        ValueError: there is no such method, or its Config refuses a key or a value; names `where`.
    """
    return config.from_mapping(_method(settings, where).config_type, settings.config, f"{where}: method: config")


def _method(settings: MethodSettings, where: str) -> models.Method:
    try:
        return models.load(settings.name)
    except models.UnknownMethodError as error:
        raise ValueError(f"{where}: {error}") from None


def build(settings: MethodSettings, seed: int, where: str = "recipe") -> Link:
    """Build a link with fresh weights on the CPU; a method that is only another receiver gets its frozen transmitter.

    Raises:
        ValueError: there is no such method, its Config refuses a key or a value, or listens_to is missing or of another
            method.
        CheckpointError: the checkpoint that it listens to is missing or damaged.
    """
    method, choice = _method(settings, where), method_config(settings, where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        receiver = method.receiver_type(choice)
        if method.transmitter_method == method.name:
            return Link(method, method.transmitter_type(choice), receiver)
    card = heard(settings, where)
    folder = Path(settings.listens_to).parent
    transmitter = checkpoints.load(folder, card, "transmitter").requires_grad_(False)
    receiver.listen_to(checkpoints.load(folder, card, "receiver"))
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
    for name, tensor in sorted(shipped.items()):  # the file has them in no order
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
    wanted = _method(settings, where).transmitter_method
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
