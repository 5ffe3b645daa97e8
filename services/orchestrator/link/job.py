"""One image to send, whoever asks for it: the command line, a sweep or the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jscc.air import AWGN, AirSpec
from jscc.limits import MAX_SEED, MAX_SNR_DB, MIN_SNR_DB
from jscc.seeds import derive_seed

DEFAULT_TIMEOUT_S = 600.0
"""Deadline of a hop: an image of 4096x4096 px takes a slow CPU minutes."""
MAX_IMAGE_ID = 200
MAX_DRAW = 2**31 - 1


def check_snr_db(name: str, snr_db: float) -> None:
    """Check an SNR in dB.

    Raises:
        ValueError: it is out of its range or no number; names it as `name`.
    """
    if not MIN_SNR_DB <= snr_db <= MAX_SNR_DB:
        raise ValueError(f"{name}: {snr_db:g} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")


def check_seed(seed: int) -> None:
    """Check a root seed.

    Raises:
        ValueError: it is out of its range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed: {seed} is outside 0..2^63 - 1")


@dataclass(frozen=True)
class Job:
    """One image to send.

    Attributes:
        image_id: data set and name, such as "kodak/kodim01", 1 to 200 characters; part of what the noise comes from.
        method: served name of the method; empty for the link's default.
        snr_db: what the channel has, -30..60 dB.
        told_snr_db: what the transmitter is told, -30..60 dB.
        air: the channel, and what both ends know of the frame.
        options: the method's options by name, of either half; those left out keep their defaults.
        root_seed: 0..2^63 - 1.
        draw: number of the noise draw, 0..2^31 - 1.
        timeout_s: deadline of each hop.
    """

    image_id: str
    method: str
    snr_db: float
    told_snr_db: float
    air: AirSpec = AWGN
    options: Mapping[str, Any] = field(default_factory=dict)
    root_seed: int = 0
    draw: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a field is out of its range; names it and the limit.
        """
        if not 1 <= len(self.image_id) <= MAX_IMAGE_ID:
            raise ValueError(f"image_id: {len(self.image_id)} characters, expected 1 to {MAX_IMAGE_ID}")
        check_snr_db("snr_db", self.snr_db)
        check_snr_db("told_snr_db", self.told_snr_db)
        check_seed(self.root_seed)
        if not 0 <= self.draw <= MAX_DRAW:
            raise ValueError(f"draw: {self.draw} is outside 0..{MAX_DRAW}")

    @property
    def seed(self) -> int:
        """Seed of everything random on the way, 0..2^63 - 1."""
        return derive_seed(self.root_seed, self.image_id, self.snr_db, self.draw)

    @property
    def request_id(self) -> str:
        """What tells the job in the services' logs."""
        chosen = "".join(f" {name}={value}" for name, value in self.options.items())
        return f"{self.image_id} {self.method}{chosen} {self.snr_db:g} dB #{self.draw}"[:MAX_IMAGE_ID]
