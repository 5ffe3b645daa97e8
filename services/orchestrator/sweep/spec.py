"""What a user asks of a sweep, checked as far as it can be without a link. Loads neither torch nor gRPC."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jscc.air import AWGN, AirSpec
from jscc.baselines.curves import CHEAP, CURVES
from services.orchestrator.link.job import check_seed, check_snr_db

if TYPE_CHECKING:
    from services.orchestrator.link.routes import RouteTable

ALL = ("all",)
"""As the methods of a sweep: every one of the link."""
MAX_SNRS = 100
MAX_DRAWS = 1000
MAX_TRANSMISSIONS = 200_000
"""Of one sweep: a week at three a second."""
PICTURES_SNR_DB = 5.0
"""SNR of the paper's visual comparison."""
REFERENCES: Mapping[str, tuple[str, ...]] = MappingProxyType({"none": (), "cheap": CHEAP, "all": tuple(CURVES)})
"""What is computed beside a sweep: keys of CURVES by the choice of it."""


@dataclass(frozen=True)
class SweepSpec:
    """What to sweep, whoever asks for it: the command line or the API.

    Attributes:
        methods: served names; ALL for every one of the link, empty for its default.
        snr_db: what the channel has, 1 to MAX_SNRS different SNRs of -30..60 dB.
        draws: noise draws per image and SNR, 1..MAX_DRAWS.
        seed: root seed, 0..2^63 - 1.
        airs: what images cross, each swept; pictures and studies are of the first.
        told_snr_db: what the transmitter is told at every SNR, -30..60 dB; None for what told_above_db says.
        told_above_db: by how much the SNR that the transmitter is told is above the channel's, 1 to MAX_SNRS different
            values, each swept; 0 for the truth. Studies are told the first.
        options: options by name, each for the methods that have it.
        studies: whether the methods' studies are sent too, each with the first noise draw.
        limit: only the first so many images; 0 for all.
        concurrency: transmissions under way at once, 1..64.
        patience_s: how long an unreachable service is waited for, 0..86400 s.
    """

    methods: tuple[str, ...]
    snr_db: tuple[float, ...]
    draws: int = 1
    seed: int = 0
    airs: tuple[AirSpec, ...] = (AWGN,)
    told_snr_db: float | None = None
    told_above_db: tuple[float, ...] = (0.0,)
    options: Mapping[str, Any] = field(default_factory=dict)
    studies: bool = False
    limit: int = 0
    concurrency: int = 4
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a field is out of its range; names it and the limit.
        """
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods: expected different names, got {', '.join(self.methods)[:100]}")
        self._check_snrs()
        check_seed(self.seed)
        for name, low, high in (
            ("draws", 1, MAX_DRAWS),
            ("limit", 0, MAX_TRANSMISSIONS),
            ("patience_s", 0, 86_400),
            ("concurrency", 1, 64),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: {getattr(self, name)} is outside {low}..{high}")
        if not self.airs or len(set(self.airs)) != len(self.airs):
            raise ValueError(f"airs: expected different ones, got {', '.join(map(str, self.airs))[:100] or 'none'}")

    def _check_snrs(self) -> None:
        for name, values in (("snr_db", self.snr_db), ("told_above_db", self.told_above_db)):
            if not 1 <= len(values) <= MAX_SNRS or len(set(values)) != len(values):
                raise ValueError(f"{name}: expected 1 to {MAX_SNRS} different values, got {len(values)}")
        if self.told_snr_db is not None and self.told_above_db != (0.0,):
            raise ValueError("told_snr_db: give it or told_above_db, not both")
        for snr_db in self.snr_db:
            check_snr_db("snr_db", snr_db)
            for above_db in self.told_above_db:
                name = "told_snr_db" if above_db == 0 else "snr_db + told_above_db"
                check_snr_db(name, self.told(snr_db, above_db))

    def told(self, snr_db: float, above_db: float) -> float:
        """Return the SNR in dB that the transmitter is told when the channel has snr_db; above_db of told_above_db."""
        return snr_db + above_db if self.told_snr_db is None else self.told_snr_db

    @property
    def sent_per_image(self) -> int:
        """How often an image is sent, but for studies; of as many methods as are named."""
        conditions = len(self.airs) * len(self.snr_db) * len(self.told_above_db)
        return len(self.methods) * conditions * self.draws

    def resolved(self, table: "RouteTable") -> "SweepSpec":
        """Return this with the served names of a link in place of ALL or nothing.

        Raises:
            RouteError: a method is not served, or none at all.
        """
        methods = tuple(sorted(table.routes)) if self.methods == ALL else self.methods or (table.default(),)
        for name in methods:
            table.find(name)
        return dataclasses.replace(self, methods=methods)

    @property
    def shown_snr_db(self) -> tuple[float, ...]:
        """The SNRs at which pictures are kept: lowest, highest, and the one nearest to that of the paper's pictures."""
        snrs = sorted(self.snr_db)
        middle = min(snrs, key=lambda snr_db: abs(snr_db - PICTURES_SNR_DB))
        return tuple(dict.fromkeys((snrs[0], middle, snrs[-1])))


LINES: Mapping[str, tuple[str, ...]] = MappingProxyType({"none": (), "cheap": ("jpeg",), "all": ("avif",)})
"""Codecs of the lines over fading, likewise: of AVIF an image takes 70 files and a quarter of a minute."""


def known_references(choice: str) -> str:
    """Return a choice of references.

    Raises:
        ValueError: there is no such choice.
    """
    if choice not in REFERENCES:
        raise ValueError(f"references: unknown choice '{choice}' (known: {', '.join(REFERENCES)})")
    return choice
