"""The shipped checkpoints are whole, and every receiver among them has its transmitter."""

from pathlib import Path

import pytest
import torch

from jscc import checkpoints
from trainer import evaluate

FOLDER = Path(__file__).parents[2] / "checkpoints"
CARDS = checkpoints.cards(FOLDER)


def test_every_receiver_listens_to_a_shipped_transmitter() -> None:
    transmitters = {card.digest for card in CARDS if card.transmitter_digest == card.digest}
    assert {card.transmitter_digest for card in CARDS} == transmitters
    assert transmitters


@pytest.mark.slow
@pytest.mark.parametrize("name", [card.name for card in CARDS])
def test_a_picture_arrives(name: str, smooth_images: list[torch.Tensor]) -> None:
    """At 20 dB with less than half the error of the mean colour, which a receiver could show without any symbol."""
    four = torch.stack(smooth_images[:4]).unflatten(0, (2, 2)).permute(0, 3, 1, 4, 2)
    pixels = four.reshape(96, 96, 3)
    link = evaluate.load_link(FOLDER / name, torch.device("cpu"))
    received = torch.from_numpy(evaluate.transmit(link, pixels.numpy(), "photos/0", 20.0, "float32")).float()
    mean_colour = pixels.float().mean(dim=(0, 1))
    assert (received - pixels).square().mean() < (mean_colour - pixels).square().mean() / 2
