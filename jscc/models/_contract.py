"""What every method is: the types that its module derives from, and that trainer, link and services rely on."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from jscc.draws import Draws
from jscc.models import Study
from jscc.signals import ChannelState, Layout, Side


@dataclass(frozen=True)
class SendOptions:
    """What a request may choose and both ends must agree on, such as a rate; here nothing.

    A method's own derive from this class; every field has a default and is a whole number, a number, a switch or a
    name. What the receiver needs of them travels in the side information, as whole numbers, and is counted there.
    """


@dataclass(frozen=True)
class ReceiveOptions:
    """What a request may choose and only the receiver does, such as its effort; here nothing.

    A method's own derive from this class, with fields as those of SendOptions and of other names.
    """


ConfigT = TypeVar("ConfigT")
SendT = TypeVar("SendT", bound=SendOptions)
SendT_contra = TypeVar("SendT_contra", bound=SendOptions, contravariant=True)
ReceiveT = TypeVar("ReceiveT", bound=ReceiveOptions)


class Config(Protocol[SendT_contra]):
    """What is fixed when a checkpoint is trained: a frozen dataclass; ranges are checked in its __post_init__."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def layout(self, height_px: int, width_px: int, options: SendT_contra) -> Layout:
        """Return what an image of this size costs when it is sent with these options.

        The options may change the channel uses. Number and width of the codes follow from the size alone: the codes
        tell the options. Where all of them are 0, the options are the defaults.
        """

    def studies(self) -> tuple[Study, ...]:
        """Return the transmissions that a full sweep makes beside those with the defaults; none unless overridden."""
        return ()


@dataclass(frozen=True)
class Received:
    """What has crossed the link: all that a receiver is told.

    Attributes:
        symbols: float32 [B, k].
        side: side information.
        state: what is known of the channel.
    """

    symbols: Tensor
    side: Side
    state: ChannelState


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

    def forward(self, x: Tensor, snr_db: Tensor, options: SendT) -> tuple[Tensor, Side]:
        """Encode a batch of images of one size.

        Args:
            x: [B, 3, H, W] in [0, 1], any H and W.
            snr_db: [B] what the transmitter is told about the channel.
            options: what both ends agree on.

        Returns:
            Symbols s [B, k] of mean power 1 per image, and side information, as the layout says.
        """
        raise NotImplementedError

    if TYPE_CHECKING:

        def __call__(self, x: Tensor, snr_db: Tensor, options: SendT) -> tuple[Tensor, Side]:
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
            y: [B, k] received symbols.
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

    def objective(
        self, x: Tensor, received: Received, options: ReceiveT, criterion: Criterion, draws: Draws
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
