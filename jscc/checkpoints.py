"""Shipped weights: `<name>.safetensors` (float16) and its model card `<name>.json`.

The weights file carries the method and its configuration, so its digest names both. Transmitter and receiver load
apart: a service reads only the half that it runs. The cards alone are read by `jscc.cards`, which needs no torch.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Literal, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialise
from safetensors.torch import save as serialise
from torch import nn

from jscc import config, models
from jscc.cards import Card, CheckpointError, cards, choose, file_of, read_card, replace, write_card
from jscc.models._contract import SomeConfig, SomeReceiver, SomeTransmitter

__all__ = [
    "DIGEST_HEX_DIGITS",
    "Card",
    "CheckpointError",
    "Half",
    "cards",
    "choose",
    "config_of",
    "digest_of",
    "load",
    "read_card",
    "save",
    "tensors",
    "write_card",
]

DIGEST_HEX_DIGITS = 16

Half = Literal["transmitter", "receiver"]


def digest_of(raw: bytes) -> str:
    """Return the digest of a weights file's bytes."""
    return hashlib.sha256(raw).hexdigest()[:DIGEST_HEX_DIGITS]


def save(folder: Path, card: Card, transmitter: nn.Module, receiver: nn.Module) -> Card:
    """Write weights and card atomically.

    Args:
        folder: where to; created when missing.
        card: its digest is ignored; an empty transmitter_digest becomes the new digest.
        transmitter: its tensors are saved as "transmitter.<name>".
        receiver: its tensors are saved as "receiver.<name>".

    Returns:
        The card as written.

    Raises:
        CheckpointError: the card's name is no file name.
    """
    path = file_of(folder, card, ".safetensors")
    tensors = {
        f"{half}.{name}": _to_half(tensor)
        for half, module in (("transmitter", transmitter), ("receiver", receiver))
        for name, tensor in module.state_dict().items()
    }
    raw = serialise(tensors, metadata={"card": _identity(card)})  # one key: several would come in random order
    digest = digest_of(raw)
    written = dataclasses.replace(card, digest=digest, transmitter_digest=card.transmitter_digest or digest)
    folder.mkdir(parents=True, exist_ok=True)
    replace(path, raw)
    write_card(folder, written)
    return written


def config_of(card: Card) -> SomeConfig:
    """Return the method's Config that a card describes.

    Raises:
        ValueError: the card's configuration does not fit the method; names the card and the key.
    """
    return config.from_mapping(models.load(card.method).config_type, card.config, f"card of {card.name}")


@overload
def load(folder: Path, card: Card, half: Literal["transmitter"], device: str = ...) -> SomeTransmitter: ...


@overload
def load(folder: Path, card: Card, half: Literal["receiver"], device: str = ...) -> SomeReceiver: ...


def load(folder: Path, card: Card, half: Half, device: str = "cpu") -> SomeTransmitter | SomeReceiver:
    """Build one half of a checkpoint's method and load its weights as float32, in evaluation mode.

    Raises:
        CheckpointError: the weights are missing, are damaged or do not fit the card.
    """
    method, chosen, prefix = models.load(card.method), config_of(card), half + "."
    module: SomeTransmitter | SomeReceiver
    module = method.transmitter_type(chosen) if half == "transmitter" else method.receiver_type(chosen)
    weights = {name.removeprefix(prefix): tensor for name, tensor in tensors(folder, card, prefix).items()}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint {folder / card.name}.safetensors: {error}") from error
    return module.eval().to(device)


def tensors(folder: Path, card: Card, prefix: str = "") -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint whose names begin with a prefix, floating-point ones as float32.

    Raises:
        CheckpointError: the weights are missing, are damaged or are not the card's.
    """
    path = file_of(folder, card, ".safetensors")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path}: {error.strerror}") from error
    if digest_of(raw) != card.digest:
        raise CheckpointError(f"checkpoint {path}: digest {digest_of(raw)} but the card says {card.digest}")
    try:
        found = deserialise(raw)  # the bytes that were checked: the file may be replaced at any time
        if _metadata(raw).get("card", _identity(card)) != _identity(card):
            raise CheckpointError(f"checkpoint {path}: its method or configuration is not the card's")
    except (SafetensorError, KeyError) as error:  # KeyError: a type of number that torch lacks
        raise CheckpointError(f"checkpoint {path}: {error}") from error
    return {name: _to_float(tensor) for name, tensor in found.items() if name.startswith(prefix)}


def _metadata(raw: bytes) -> dict[str, str]:
    """Return the texts in the header of a file that safetensors has read: 8 bytes of length, then JSON."""
    length = int.from_bytes(raw[:8], "little")
    texts: dict[str, str] = json.loads(raw[8 : 8 + length]).get("__metadata__", {})
    return texts


def _identity(card: Card) -> str:
    return json.dumps({"method": card.method, "config": card.config}, sort_keys=True)


def _to_half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()


def _to_float(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
