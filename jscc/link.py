"""The in-process link, of whole batches and differentiable: encode, transmit, decode.

    link = jscc.link.load("kltjscc")
    sent = link.encode(x, snr_db=10.0)                              # x: float32 [B, 3, H, W] in [0, 1]
    received = link.transmit(sent, "awgn", snr_db=7.0, seed=0)      # not what the transmitter was told
    x_hat = link.decode(received)

Services, trainer and notebooks compute the same: an image meets the noise that the channel service draws for its seed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from jscc import channels, checkpoints, models
from jscc.cards import default_folder
from jscc.draws import Draws
from jscc.framing import rehearsal
from jscc.framing.frame import Frame
from jscc.grid import PLAIN, Grid
from jscc.limits import MAX_SEED, MAX_SIDE_PX, MAX_SNR_DB, MIN_SNR_DB
from jscc.models._contract import (
    Criterion,
    Decoded,
    Objective,
    ReceiveOptions,
    SendOptions,
    SomeReceiver,
    SomeTransmitter,
)
from jscc.options import OptionValue
from jscc.signals import ChannelState, bandwidth_ratio, noise_generator

__all__ = ["Link", "Received", "Sent", "load"]

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Sent:
    """What a transmitter makes of images.

    Attributes:
        frame: symbols float32 [B, k], mean power 1 per image, and what of them is the header's.
        size_px: height and width of the images.
        grid: of the frames.
    """

    frame: Frame
    size_px: tuple[int, int]
    grid: Grid = PLAIN

    @property
    def symbols(self) -> Tensor:
        """The symbols, header and all."""
        return self.frame.symbols

    @property
    def rho(self) -> float:
        """Channel uses, the header's among them, per sample of the image."""
        return bandwidth_ratio(self.symbols.shape[1], *self.size_px)


@dataclass(frozen=True)
class Received:
    """What has crossed the link: all that a receiver has beside its configuration.

    Attributes:
        symbols: float32 [B, k].
        size_px: height and width of the images, known beforehand.
        state: what is known of the channel.
        grid: of the frames, known beforehand.
    """

    symbols: Tensor
    size_px: tuple[int, int]
    state: ChannelState
    grid: Grid = PLAIN


class Link(nn.Module):
    """One method's two halves, and the air between them.

    Attributes:
        method: whose halves they are.
        transmitter: image to symbols.
        receiver: symbols to image.
        send_options: what both ends are asked for where a call says nothing; the method's defaults until set.
        receive_options: what the receiver is asked for, likewise.
    """

    def __init__(self, method: models.Method, transmitter: SomeTransmitter, receiver: SomeReceiver) -> None:
        """Join the halves of `method`."""
        super().__init__()
        self.method = method
        self.send_options = method.send_options_type()
        self.receive_options = method.receive_options_type()
        self.transmitter = transmitter
        self.receiver = receiver

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU where there are none."""
        return next(self.parameters(), torch.empty(0)).device

    def encode(
        self,
        x: Tensor,
        snr_db: float | Tensor,
        options: SendOptions | None = None,
        precision: str = "float32",
        grid: Grid = PLAIN,
    ) -> Sent:
        """Turn images of one size into symbols.

        Args:
            x: float32 [B, 3, H, W] in [0, 1], 1x1 to 4096x4096 px; moved to the link's device.
            snr_db: what the transmitter is told about the channel, -30..60 dB, one for all or [B].
            options: the link's `send_options` when None.
            precision: of the networks, "float32" or "bfloat16".
            grid: of the frames: how the channel fades, and where pilots lie.

        Raises:
            ValueError: shape, values, SNR or options do not fit; says what was wanted.
        """
        _check_images(x)
        options = self.send_options if options is None else options
        if type(options) is not self.method.send_options_type:
            raise ValueError(f"options: {options!r} are not send options of '{self.method.name}'")
        x = x.to(self.device)
        with networks_in(precision, x.device):
            sent = self.transmitter.send(x, _snrs_db(snr_db, x), options, grid)
        return Sent(sent, (x.shape[-2], x.shape[-1]), grid)

    def transmit(
        self,
        sent: Sent,
        channel: str,
        snr_db: float | Tensor,
        seed: int = 0,
        options: Mapping[str, OptionValue] | None = None,
        *,
        with_gains: bool = False,
    ) -> Received:
        """Send symbols through a channel.

        Args:
            sent: from `encode`.
            channel: its name, see `jscc.channels.names`.
            snr_db: what the channel has, -30..60 dB, one for all images or [B].
            seed: of what is random, 0..2^63 - 1; the i-th image of a batch meets what `seed + i` draws, as it would in
                the channel service.
            options: the channel's, by name.
            with_gains: whether a genie tells the receiver the gains; if not, it has the pilots of the grid.

        Raises:
            UnknownChannelError: there is no such channel.
            ValueError: SNR, seed or an option is out of its range.
        """
        count = len(sent.symbols)
        if not 0 <= seed <= MAX_SEED - count + 1:
            raise ValueError(f"seed: {seed} is outside 0..2^63 - {count}")
        images = []
        for number, (s, snr) in enumerate(zip(sent.symbols, _snrs_db(snr_db, sent.symbols), strict=True)):
            air = channels.make(channel, snr[None], options or {})
            realisation = air.draw(s[None].shape, Draws(noise_generator(seed + number)))
            y, truth = air.apply(s[None], realisation)
            images.append((y, truth.noise_power, truth.told_gains(y.shape[1])))
        symbols, noise_powers, gains = zip(*images, strict=True)
        told = None if not with_gains or gains[0] is None else torch.cat(gains)
        return Received(torch.cat(symbols), sent.size_px, ChannelState(torch.cat(noise_powers), told), sent.grid)

    def decode(self, received: Received, options: ReceiveOptions | None = None, precision: str = "float32") -> Tensor:
        """Turn what was received into images; `receive` says as well what was lost. Arguments and errors as there.

        Returns:
            x_hat float32 [B, 3, H, W]; in [0, 1] unless the link is in training mode.
        """
        return self.receive(received, options, precision).x_hat

    def receive(self, received: Received, options: ReceiveOptions | None = None, precision: str = "float32") -> Decoded:
        """Turn what was received into images.

        Args:
            received: from `transmit`.
            options: the link's `receive_options` when None.
            precision: of the networks, "float32" or "bfloat16".

        Raises:
            ValueError: symbols or options do not fit; says what was wanted.
        """
        options = self.receive_options if options is None else options
        if type(options) is not self.method.receive_options_type:
            raise ValueError(f"options: {options!r} are not receive options of '{self.method.name}'")
        layout = self.receiver.config.layout(*received.size_px, self.method.send_options_type(), received.grid)
        with networks_in(precision, received.symbols.device):
            return self.receiver.receive(received.symbols, received.state, layout, received.size_px, options)

    def objective(
        self,
        x: Tensor,
        snr_db: Tensor,
        draws: Draws,
        criterion: Criterion,
        precision: str = "float32",
        grid: Grid = PLAIN,
    ) -> Objective:
        """Send images through noise and fades and score them by the receiver's own objective; nothing is checked.

        The header takes its uses and its power, and arrives.

        Args:
            x: [B, 3, H, W] in [0, 1].
            snr_db: [B], of the channel, and told.
            draws: noise and what the method draws, on the device of x.
            criterion: the recipe's.
            precision: of the networks; the channel computes in float32 in any case.
            grid: of the frames: how the channel fades.
        """
        with networks_in(precision, x.device):
            s, side = self.transmitter(x, snr_db, self.send_options, grid)
        layout = self.transmitter.config.layout(side.height_px, side.width_px, self.send_options, grid)
        received = rehearsal.received(layout, s.float(), side, snr_db, draws)
        with networks_in(precision, x.device):
            found = self.receiver.objective(x, received, self.receive_options, criterion, draws)
        return found._replace(x_hat=found.x_hat.float())


def load(name: str, folder: Path | None = None, device: str = "cpu") -> Link:
    """Load a link from checkpoints, in evaluation mode and without gradients of its weights.

    Args:
        name: of the checkpoint, such as "kltjscc"; where its method is only another receiver, the transmitter comes
            from the checkpoint that it listens to.
        folder: of weights and cards; `jscc.cards.default_folder` when None, as for services and command line.
        device: where to compute.

    Raises:
        UnknownMethodError: there is no such checkpoint; lists those that there are.
        CheckpointError: one is missing or damaged.
    """
    folder = default_folder() if folder is None else folder
    cards = checkpoints.cards(folder)
    found = {card.name: card for card in cards}.get(name)
    if found is None:
        known = ", ".join(card.name for card in cards)
        raise models.UnknownMethodError(f"method: no checkpoint '{name}' in {folder} (known: {known})")
    heard = next((card for card in cards if card.digest == found.transmitter_digest), None)
    if heard is None:
        raise checkpoints.CheckpointError(
            f"{folder / name}: needs the transmitter of checkpoint {found.transmitter_digest}, not here"
        )
    transmitter = checkpoints.load(folder, heard, "transmitter", device)
    link = Link(models.load(found.method), transmitter, checkpoints.load(folder, found, "receiver", device))
    link.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return link.requires_grad_(False).eval()


@contextmanager
def networks_in(precision: str, device: torch.device) -> Iterator[None]:
    """Run convolutions and matrix products in a precision.

    Raises:
        ValueError: it is neither "float32" nor "bfloat16".
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: '{precision}' is not one of {', '.join(PRECISIONS)}")
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def _check_images(x: Tensor) -> None:
    shape = list(x.shape)
    if not x.is_floating_point() or x.ndim != 4 or x.shape[1] != 3 or not x.numel() or max(shape[2:]) > MAX_SIDE_PX:
        limit = f"1..{MAX_SIDE_PX}"
        raise ValueError(f"x: {x.dtype} {shape}, expected float32 [B, 3, {limit}, {limit}]")
    low, high = (float(value) for value in x.detach().aminmax())
    if not 0 <= low <= high <= 1:
        raise ValueError(f"x: values from {low:g} to {high:g}, expected 0..1")


def _snrs_db(snr_db: float | Tensor, like: Tensor) -> Tensor:
    """Return SNRs as float32 [B], one for each image of `like`, on its device."""
    told = torch.as_tensor(snr_db, dtype=torch.float32)
    if told.ndim > 1 or (told.ndim == 1 and len(told) != len(like)):
        raise ValueError(f"snr_db: {list(told.shape)}, expected a number or [{len(like)}]")
    if not bool(((told >= MIN_SNR_DB) & (told <= MAX_SNR_DB)).all()):
        raise ValueError(f"snr_db: {told.tolist()} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")
    return told.to(like.device).expand(len(like))
