"""Modulation-and-coding schemes of a real digital link, and the SNR from which each of them is to be used.

Modulations and code rates are those of 5G NR (3GPP TS 38.214, tables 5.1.3.1-1 and 5.1.3.1-2). The thresholds were
measured with the code, the block lengths and the decoder of `jscc.baselines.phy`, in a frame of the 294912 symbols of a
768x512 px image at rho = 1/4:

    python -m jscc.baselines.waterfall

At its threshold a frame fails with a probability of about 1 %. Shorter frames of shorter blocks need more SNR per block
but hold fewer blocks that can fail.
"""

from dataclasses import dataclass

RATE_UNIT = 1024


@dataclass(frozen=True)
class Mcs:
    """One modulation-and-coding scheme.

    Attributes:
        bits_per_symbol: coded bits per real symbol, 1..4: QPSK, 16QAM, 64QAM and 256QAM on each pair of real symbols.
        rate_1024: code rate in units of 1/1024.
        threshold_db: lowest SNR in dB at which it is used.
    """

    bits_per_symbol: int
    rate_1024: float
    threshold_db: float

    @property
    def code_rate(self) -> float:
        """Information bits, check bits of the blocks included, per coded bit."""
        return self.rate_1024 / RATE_UNIT

    @property
    def efficiency(self) -> float:
        """Information bits per real symbol, check bits of the blocks included."""
        return self.bits_per_symbol * self.code_rate

    @property
    def name(self) -> str:
        """Name of modulation and code rate, such as "16QAM 490/1024"."""
        modulation = "QPSK" if self.bits_per_symbol == 1 else f"{4**self.bits_per_symbol}QAM"
        return f"{modulation} {self.rate_1024:g}/{RATE_UNIT}"


TABLE: tuple[Mcs, ...] = (
    Mcs(1, 120, -6.2),
    Mcs(1, 157, -5.0),
    Mcs(1, 193, -4.1),
    Mcs(1, 251, -2.9),
    Mcs(1, 308, -1.7),
    Mcs(1, 379, -0.8),
    Mcs(1, 449, 0.2),
    Mcs(1, 526, 1.2),
    Mcs(1, 602, 2.1),
    Mcs(2, 378, 4.0),
    Mcs(2, 434, 5.1),
    Mcs(2, 490, 6.0),
    Mcs(2, 553, 7.0),
    Mcs(2, 616, 8.0),
    Mcs(2, 658, 8.6),
    Mcs(3, 466, 9.7),
    Mcs(3, 517, 10.7),
    Mcs(3, 567, 11.7),
    Mcs(3, 616, 12.5),
    Mcs(3, 666, 13.5),
    Mcs(3, 719, 14.5),
    Mcs(3, 772, 15.6),
    Mcs(3, 822, 16.4),
    Mcs(3, 873, 17.5),
    Mcs(4, 682.5, 18.4),
    Mcs(4, 711, 19.1),
    Mcs(4, 754, 20.2),
    Mcs(4, 797, 21.1),
    Mcs(4, 841, 22.1),
    Mcs(4, 885, 23.3),
    Mcs(4, 916.5, 24.1),
    Mcs(4, 948, 25.3),
)
"""The schemes, slowest first: thresholds and efficiencies both rise."""


def choose(snr_db: float) -> int:
    """Return the index of the fastest scheme of TABLE whose threshold is not above an SNR in dB; 0 if there is none."""
    return max((index for index, mcs in enumerate(TABLE) if mcs.threshold_db <= snr_db), default=0)
