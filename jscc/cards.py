"""Model cards: the `<name>.json` beside every weights file. Read without torch, so that who only asks starts fast."""

import dataclasses
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jscc import config
from jscc.limits import FAMILIES, MAX_LABEL

_PROJECT = Path(__file__).parents[1]

_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not what its card says."""


class UnknownCheckpointError(LookupError):
    """A name that no checkpoint has."""


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


def default_folder() -> Path:
    """Return the folder of checkpoints for who is told none: `checkpoints` here if it holds cards, else the project's.

    The project's own is beside the package, so it is found wherever one stands.
    """
    here, own = Path("checkpoints"), _PROJECT / "checkpoints"
    return own if not _read_all(here)[0] and _read_all(own)[0] else here


def chosen_folder() -> Path:
    """Return the folder of checkpoints that a local link uses: $CHECKPOINTS, else the default."""
    return Path(os.environ.get("CHECKPOINTS") or default_folder())


def cards(folder: Path) -> list[Card]:
    """Read every card of a folder, by name; a file that is no card of this folder is skipped with a warning.

    Raises:
        CheckpointError: there is no card.
    """
    found, refused = _read_all(folder)
    for error in refused:
        _log.warning("skipped: %s", error)
    if not found:
        raise CheckpointError(f"checkpoints: no model card (*.json) in {folder}; CHECKPOINTS names another folder")
    return found


def read_card(path: Path) -> Card:
    """Read one card.

    Raises:
        CheckpointError: the file is missing, is no JSON, lacks a field or names another file than its own; names the
            file and the field.
    """
    try:
        card = config.from_mapping(Card, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint card {path}: {error}") from error
    if card.name != path.stem:  # a name is a way to the weights: no other folder and no other card's
        raise CheckpointError(f"checkpoint card {path}: name is {config.shown(card.name)}, expected '{path.stem}'")
    return card


def write_card(folder: Path, card: Card) -> None:
    """Write only the card, such as after a new measurement of unchanged weights.

    Raises:
        CheckpointError: the card's name is no file name.
    """
    text = json.dumps(dataclasses.asdict(card), indent=2) + "\n"
    replace(file_of(folder, card, ".json"), text.encode())


def choose(cards: list[Card], wanted: str) -> list[Card]:
    """Pick checkpoints by a list of names.

    Args:
        cards: those that are there.
        wanted: names separated by commas; the name of a method stands for all its checkpoints, any other for one. A
            leading "-" leaves out what would be served otherwise. Empty or "all" for all.

    Returns:
        The cards by name.

    Raises:
        UnknownCheckpointError: a wanted name is not there, or none is left.
    """
    items = [item.strip() for item in wanted.split(",") if item.strip()]
    left_out = {item[1:] for item in items if item.startswith("-")}
    kept = {item for item in items if not item.startswith("-")} - {"all"}
    there = {name for card in cards for name in (card.name, card.method)}
    absent = sorted(kept - there)
    if absent:
        known = ", ".join(sorted(card.name for card in cards))
        raise UnknownCheckpointError(f"method: no checkpoint of {config.shown(absent[0])} (there: {known})")
    chosen = [card for card in cards if "all" in items or not kept or {card.name, card.method} & kept]
    found = [card for card in chosen if not {card.name, card.method} & left_out]
    if not found:
        raise UnknownCheckpointError(f"method: {config.shown(wanted)} leaves no checkpoint to serve")
    return sorted(found, key=lambda card: card.name)


def file_of(folder: Path, card: Card, suffix: str) -> Path:
    """Return the path of a card's file in its folder.

    Raises:
        CheckpointError: the card's name is no file name, so that the path would leave the folder.
    """
    if not card.name or Path(card.name).name != card.name:
        raise CheckpointError(f"checkpoint: {config.shown(card.name)} is no file name")
    return folder / f"{card.name}{suffix}"


def replace(path: Path, raw: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(raw)
    os.replace(temporary, path)


def _read_all(folder: Path) -> tuple[list[Card], list[CheckpointError]]:
    found, refused = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read_card(path))
        except CheckpointError as error:
            refused.append(error)
    return found, refused
