"""The differentiable link: transmitter, AWGN, receiver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from jscc import models
from jscc.channels.awgn import Awgn
from jscc.draws import Draws
from jscc.signals import ChannelState, Side

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
        y, truth = channel.apply(s.float(), channel.draw(s.shape, Draws(generator)))
        return y, side, truth.state()


@contextmanager
def networks_in(precision: str, device: torch.device) -> Iterator[None]:
    """Run convolutions and matrix products in a precision."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        yield
