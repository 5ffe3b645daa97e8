"""Shipped weights: `<name>.safetensors` (float16) and its model card `<name>.json`.

The weights file carries the method and its configuration, so its digest names both. Transmitter and receiver load
apart: a service reads only the half that it runs.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import nn

from jscc import config, models
from jscc.limits import FAMILIES, MAX_LABEL
from jscc.models._contract import SomeConfig, SomeReceiver, SomeTransmitter

DIGEST_HEX_DIGITS = 16

Half = Literal["transmitter", "receiver"]


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not what its card says."""


@dataclass(frozen=True)
class Card:
    """The model card.

    Attributes:
        name: file name without suffix.
        method: name of the method.
        digest: first 16 hex digits of the SHA-256 of the weights file.
        transmitter_digest: digest of the checkpoint whose symbols this receiver understands; equal to `digest` unless
            the method is only another receiver.
        config: the method's configuration.
        label: what figures call it, 1 to 60 characters; its name unless given.
        family: what kind of transmission it is, one of FAMILIES.
        training: data, steps, crops, hardware, wall time, recipe.
        kodak: one row per SNR with the measured metrics.
    """

    name: str
    method: str
    digest: str
    transmitter_digest: str
    config: dict[str, Any]
    label: str = ""
    family: str = FAMILIES[0]
    training: dict[str, Any] = field(default_factory=dict)
    kodak: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Take the name for a label that is not given.

        Raises:
            ValueError: label or family is not what it may be.
        """
        object.__setattr__(self, "label", self.label or self.name[:MAX_LABEL])
        if len(self.label) > MAX_LABEL:
            raise ValueError(f"label: {len(self.label)} characters, the limit is {MAX_LABEL}")
        if self.family not in FAMILIES:
            raise ValueError(f"family: unknown family '{self.family[:100]}' (known: {', '.join(FAMILIES)})")

    @property
    def kodak_psnr_db(self) -> float:
        """Mean PSNR in dB over the rows that have one; 0 without any."""
        measured = [float(row["psnr_db"]) for row in self.kodak if row.get("psnr_db") is not None]
        return sum(measured) / max(1, len(measured))


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
    """
    tensors = {
        f"{half}.{name}": _to_half(tensor)
        for half, module in (("transmitter", transmitter), ("receiver", receiver))
        for name, tensor in module.state_dict().items()
    }
    raw = serialise(tensors, metadata={"card": _identity(card)})  # one key: several would come in random order
    digest = digest_of(raw)
    written = dataclasses.replace(card, digest=digest, transmitter_digest=card.transmitter_digest or digest)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{card.name}.safetensors", raw)
    write_card(folder, written)
    return written


def write_card(folder: Path, card: Card) -> None:
    """Write only the card, such as after a new measurement of unchanged weights."""
    text = json.dumps(dataclasses.asdict(card), indent=2) + "\n"
    _replace(folder / f"{card.name}.json", text.encode())


def cards(folder: Path) -> list[Card]:
    """Read every card of a folder, by name.

    Raises:
        CheckpointError: there is no card, or one cannot be read.
    """
    found = [read_card(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise CheckpointError(f"checkpoints: no model card (*.json) in {folder}")
    return found


def read_card(path: Path) -> Card:
    """Read one card.

    Raises:
        CheckpointError: the file is missing, is no JSON or lacks a field; names the file and the field.
    """
    try:
        return config.from_mapping(Card, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint card {path}: {error}") from error


def choose(cards: list[Card], wanted: str) -> list[Card]:
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
    path = folder / f"{card.name}.safetensors"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path}: {error.strerror}") from error
    if digest_of(raw) != card.digest:
        raise CheckpointError(f"checkpoint {path}: digest {digest_of(raw)} but the card says {card.digest}")
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("card", _identity(card)) != _identity(card):
                raise CheckpointError(f"checkpoint {path}: its method or configuration is not the card's")
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118  (not a mapping)
            return {name: _to_float(file.get_tensor(name)) for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error


def _identity(card: Card) -> str:
    return json.dumps({"method": card.method, "config": card.config}, sort_keys=True)


def _to_half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()


def _to_float(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _replace(path: Path, raw: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(raw)
    os.replace(temporary, path)
