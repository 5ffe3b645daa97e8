"""An OFDM link: what it is made of, and how fast its gains change from subcarrier to subcarrier and in time.

Complex symbol i of a frame lies on subcarrier i mod N of OFDM symbol i div N. An OFDM symbol with its cyclic prefix
takes 15/14 of the inverse of the subcarriers' spacing, as with the normal prefix of 5G NR: 14 of them in a slot of
1 ms at 15 kHz. The prefix is air time and no channel use. It loads no torch.

Source: 3GPP TS 38.211, 5.3.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from jscc.options import OptionValue

LIGHT_M_S = 299_792_458.0
_WITH_PREFIX = 15 / 14
CHANNELS = ("cdl", "tdl")
"""Channels that are OFDM links, known before they are loaded."""


@dataclass(frozen=True)
class Ofdm:
    """An OFDM link with a receiver that moves.

    Attributes:
        delay_spread_ns: root mean square of the delays, which the model's are scaled to.
        carrier_ghz: frequency of the carrier.
        speed_m_s: of the receiver.
        subcarriers: N, those with symbols.
        spacing_khz: from subcarrier to subcarrier.
    """

    delay_spread_ns: float = 100.0
    carrier_ghz: float = 3.5
    speed_m_s: float = 3.0
    subcarriers: int = 612
    spacing_khz: float = 30.0

    @staticmethod
    def of(options: Mapping[str, OptionValue]) -> "Ofdm":
        """Return the link of a channel's options; those that are no numbers are of another build, and left out."""
        names = {field.name for field in fields(Ofdm)}
        found = {name: options[name] for name in names & options.keys() if isinstance(options[name], int | float)}
        return Ofdm(**found)  # type: ignore[arg-type]

    @property
    def doppler(self) -> float:
        """The highest Doppler frequency, in cycles from one OFDM symbol to the next."""
        hertz = self.speed_m_s * self.carrier_ghz * 1e9 / LIGHT_M_S
        return hertz * _WITH_PREFIX / (self.spacing_khz * 1e3) if self.spacing_khz else 0.0

    @property
    def spread(self) -> float:
        """The delay spread over one cycle of the subcarriers' spacing."""
        return self.delay_spread_ns * self.spacing_khz * 1e-6
