"""The transmitter's power amplifier: what it leaves of a frame whose peaks it cannot make."""

from dataclasses import dataclass

from torch import Tensor

MAX_PAPR_DB = 60.0


@dataclass(frozen=True)
class AmplifierOptions:
    """What a request may choose of every channel that has an amplifier in front of it.

    Attributes:
        papr_db: the largest amplitude, over the root mean square of the frame, in dB; 0 for no limit, up to 60.
    """

    papr_db: float = 0.0

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: papr_db is outside it.
        """
        if not 0 <= self.papr_db <= MAX_PAPR_DB:
            raise ValueError(f"papr_db must be in 0..{MAX_PAPR_DB:g}, 0 for no limit, got {self.papr_db}")


def amplified(s: Tensor, papr_db: float) -> Tensor:
    """Clip the amplitudes of s [B, k] and give every frame the mean power back that it had.

    Real symbols are clipped one by one, at papr_db above the root mean square before clipping. Over its own mean what
    is left peaks higher than that, since clipping takes from the mean too.

    Args:
        s: symbols, of mean power 1 per frame unless they are something else.
        papr_db: as in `AmplifierOptions`; 0 returns s itself.
    """
    if papr_db == 0:
        return s
    power = s.square().mean(dim=1, keepdim=True)
    largest = power.sqrt() * 10 ** (papr_db / 20)
    clipped = s.clamp(-largest, largest)
    left = clipped.square().mean(dim=1, keepdim=True)
    return clipped * (power / left.clamp(min=1e-30)).sqrt()
