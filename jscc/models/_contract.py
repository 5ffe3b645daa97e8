"""What every method is: the types that its module derives from, and that trainer, link and services rely on."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from jscc.draws import Draws
from jscc.framing import frame
from jscc.framing.frame import Arrived, Frame
from jscc.framing.header import HeaderLostError
from jscc.grid import PLAIN, Grid
from jscc.models import Study
from jscc.signals import MARGIN_STEPS_PER_DB, MAX_MARGIN_DB, ChannelState, Layout, Side


@dataclass(frozen=True)
class SendOptions:
    """What a request may choose and both ends must agree on, such as a rate; here what every method has.

    A method's own derive from this class; every field has a default and is a whole number, a number, a switch or a
    name. What the receiver needs of them travels in the side information, as whole numbers, and is counted there.

    Attributes:
        header_margin_db: by how much the channel may fall below the SNR that the transmitter is told before the header,
            and with it the image, is lost; 0..60 dB in steps of 0.25 dB.
    """

    header_margin_db: float = 2.0

    def __post_init__(self) -> None:
        """Check range and step."""
        margin_code("header_margin_db", self.header_margin_db)

    @property
    def header_margin_code(self) -> int:
        """The header's margin as both ends know it: its number of steps."""
        return margin_code("header_margin_db", self.header_margin_db)


def margin_code(name: str, margin_db: float) -> int:
    """Return a margin as its number of steps.

    Args:
        name: of the option, for the message.
        margin_db: in dB.

    Raises:
        ValueError: it is outside 0..60 dB or between two steps.
    """
    code = margin_db * MARGIN_STEPS_PER_DB
    if not 0 <= margin_db <= MAX_MARGIN_DB or code != round(code):
        steps = f"0..{MAX_MARGIN_DB} in steps of {1 / MARGIN_STEPS_PER_DB:g}"
        raise ValueError(f"{name} must be in {steps}, got {margin_db}")
    return round(code)


@dataclass(frozen=True)
class ReceiveOptions:
    """What a request may choose and only the receiver does, such as its effort; here nothing.

    A method's own derive from this class, with fields as those of SendOptions and of other names.
    """


ConfigT = TypeVar("ConfigT", bound="Config[Any]")
SendT = TypeVar("SendT", bound=SendOptions)
SendT_contra = TypeVar("SendT_contra", bound=SendOptions, contravariant=True)
ReceiveT = TypeVar("ReceiveT", bound=ReceiveOptions)


class Config(Protocol[SendT_contra]):
    """What is fixed when a checkpoint is trained: a frozen dataclass; ranges are checked in its __post_init__."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def layout(self, height_px: int, width_px: int, options: SendT_contra, grid: Grid = PLAIN) -> Layout:
        """Return what an image of this size costs when it is sent with these options, in frames of this grid.

        Nothing in it depends on the options so far: a receiver finds the header before it knows them.
        """

    def studies(self) -> tuple[Study, ...]:
        """Return the transmissions that a full sweep makes beside those with the defaults; none unless overridden."""
        return ()


NOTHING_RECEIVED = 0.5
"""Grey: what is shown of an image of which nothing arrived."""


class Decoded(NamedTuple):
    """What a receiver makes of frames.

    Attributes:
        x_hat: float32 [B, 3, H, W].
        lost: for each image "header" where its header is lost, and with it the image, of which the mean colour may be
            left; "payload" where other bits are lost; "" where nothing is.
    """

    x_hat: Tensor
    lost: tuple[str, ...]


class Score(NamedTuple):
    """What a criterion says of received images.

    Attributes:
        loss: scalar, to be made small; the mean over the images where they are scored apart.
        terms: parts of it worth logging, scalars by name.
    """

    loss: Tensor
    terms: Mapping[str, Tensor]


Criterion = Callable[[Tensor, Tensor], Score]
"""(x_hat, x), both [B, 3, H, W] -> Score; without memory, so a receiver may call it as often as it likes."""


class Objective(NamedTuple):
    """What training makes small.

    Attributes:
        loss: scalar.
        x_hat: [B, 3, H, W] received images.
        terms: of the score of x_hat.
    """

    loss: Tensor
    x_hat: Tensor
    terms: Mapping[str, Tensor]


class Transmitter(nn.Module, Generic[ConfigT, SendT]):
    """Image to symbols."""

    differentiable: ClassVar[bool] = True
    """Whether gradients pass. A transmitter whose do not has no parameters."""

    def __init__(self, config: ConfigT) -> None:
        """Keep the configuration."""
        super().__init__()
        self.config = config

    def forward(self, x: Tensor, snr_db: Tensor, options: SendT, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel: its SNR, the mean one where it fades.
            options: what both ends agree on.
            grid: of the frames; says how the channel fades.

        Returns:
            Symbols s [B, slots] of mean power 1 per image over all but the places of the header's body, and side
            information, as the layout says.
        """
        raise NotImplementedError

    def send(self, x: Tensor, snr_db: Tensor, options: SendT, grid: Grid = PLAIN) -> Frame:
        """Return what is sent for images: what `forward` makes of them, header and all; arguments as there."""
        layout = self.config.layout(x.shape[-2], x.shape[-1], options, grid)
        s, side = self(x, snr_db, options, grid)
        return frame.send(layout, s.float(), side)

    if TYPE_CHECKING:

        def __call__(self, x: Tensor, snr_db: Tensor, options: SendT, grid: Grid = PLAIN) -> tuple[Tensor, Side]:
            """Call `forward`."""

    def learned(self) -> dict[str, list[float]]:
        """Return learned values worth looking at by name; none unless overridden."""
        return {}


class Receiver(nn.Module, Generic[ConfigT, ReceiveT]):
    """Symbols to image."""

    def __init__(self, config: ConfigT) -> None:
        """Keep the configuration."""
        super().__init__()
        self.config = config

    def forward(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveT) -> Tensor:
        """Decode a batch of images of one size; there is no parameter for what was sent.

        Args:
            y: [B, slots] received symbols.
            side: side information.
            state: what is known of the channel.
            options: the receiver's alone.

        Returns:
            x_hat float32 [B, 3, H, W]; cut to [0, 1] outside training.

        Raises:
            ValueError: symbols or codes are not what an image of this size is sent as, or an option does not fit.
        """
        raise NotImplementedError

    if TYPE_CHECKING:

        def __call__(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveT) -> Tensor:
            """Call `forward`."""

    def reconstruct(self, y: Tensor, side: Side, state: ChannelState, options: ReceiveT) -> tuple[Tensor, Tensor]:
        """Return what `forward` makes, and for each image [B] whether something that was sent in bits is lost.

        Raises:
            HeaderLostError: the codes are none that the method sends.
            ValueError: as `forward`.
        """
        return self(y, side, state, options), torch.zeros(len(y), dtype=torch.bool)

    def read(self, body: bytes, size_px: tuple[int, int]) -> list[int]:
        """Return the codes that a header's body tells of an image of this height and width.

        Raises:
            ValueError: it tells none.
        """
        raise ValueError(f"{type(self).__module__} has no body")

    def receive(
        self, y: Tensor, state: ChannelState, layout: Layout, size_px: tuple[int, int], options: ReceiveT
    ) -> Decoded:
        """Return the images that frames tell, from nothing but symbols, image size and configuration.

        Args:
            y: [B, k] received symbols.
            state: what is known of the channel.
            layout: of images of this size.
            size_px: height and width of the images.
            options: the receiver's alone.

        Raises:
            ValueError: k is not what images of this size are sent as, or an option does not fit.
        """
        pictures, lost = [], []
        for row in range(len(y)):
            alone = state.of_image(row)
            try:
                arrived = frame.receive(layout, y[row : row + 1], alone, size_px, lambda body: self.read(body, size_px))
                picture, payload_lost = self.reconstruct(*arrived, options)
            except HeaderLostError as error:
                colour = y.new_full((3,), NOTHING_RECEIVED) if error.colour is None else error.colour
                pictures.append(colour[None, :, None, None].expand(1, 3, *size_px))
                lost.append("header")
                continue
            pictures.append(picture.float())
            lost.append("payload" if bool(payload_lost) else "")
        return Decoded(torch.cat(pictures), tuple(lost))

    def objective(
        self, x: Tensor, received: Arrived, options: ReceiveT, criterion: Criterion, draws: Draws
    ) -> Objective:
        """Receive and score; the criterion on what `forward` makes, unless overridden.

        Args:
            x: [B, 3, H, W] what was sent.
            received: what crossed the link.
            options: the receiver's.
            criterion: the recipe's.
            draws: all that is random.
        """
        x_hat = self(received.symbols, received.side, received.state, options)
        loss, terms = criterion(x_hat, x)
        return Objective(loss, x_hat, terms)

    def initialise(self, transmitter: nn.Module, images: list[Tensor]) -> None:
        """Give both halves their start before step 0; nothing unless overridden.

        Args:
            transmitter: of the same method and Config.
            images: uint8 [3, H, W] training images.
        """

    def listen_to(self, receiver: nn.Module) -> None:
        """Take over what is needed of a trained receiver of the same symbols; nothing unless overridden.

        It is called where another method's transmitter is listened to, with that method's receiver.
        """

    def learned(self) -> dict[str, list[float]]:
        """Return learned values worth looking at by name; none unless overridden."""
        return {}


SomeConfig = Config[SendOptions]
SomeTransmitter = Transmitter[SomeConfig, SendOptions]
SomeReceiver = Receiver[SomeConfig, ReceiveOptions]
"""Those of a method that is only known when the program runs."""
