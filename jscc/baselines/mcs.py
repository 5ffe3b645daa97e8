"""Modulation-and-coding schemes of a real digital link, and the SNR from which each of them is to be used.

Modulations and every second code rate are those of 5G NR (3GPP TS 38.214, tables 5.1.3.1-1 to 5.1.3.1-3); the others
are between them, as the code's rate matching allows any, so that a step costs half a decibel. The thresholds were
measured with the code, the block lengths and the decoder of `jscc.baselines.phy`, in a frame of the 294912 symbols of a
768x512 px image at rho = 1/4; ten minutes on one core:

    python -m jscc.baselines.waterfall

At its threshold a frame fails with a probability of 0.1 %, by the fit to four hundred blocks of each scheme. Shorter
frames of shorter blocks need more SNR per block but hold fewer blocks that can fail.
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
    Mcs(1, 78, -8.1),
    Mcs(1, 88, -7.6),
    Mcs(1, 99, -7.1),
    Mcs(1, 109, -6.6),
    Mcs(1, 120, -6.2),
    Mcs(1, 138, -5.6),
    Mcs(1, 157, -4.9),
    Mcs(1, 175, -4.5),
    Mcs(1, 193, -4.1),
    Mcs(1, 222, -3.5),
    Mcs(1, 251, -2.8),
    Mcs(1, 280, -2.3),
    Mcs(1, 308, -1.7),
    Mcs(1, 344, -1.4),
    Mcs(1, 379, -0.8),
    Mcs(1, 414, -0.3),
    Mcs(1, 449, 0.2),
    Mcs(1, 488, 0.7),
    Mcs(1, 526, 1.2),
    Mcs(1, 564, 1.7),
    Mcs(1, 602, 2.2),
    Mcs(1, 640, 2.6),
    Mcs(1, 670, 3.0),
    Mcs(2, 346, 3.4),
    Mcs(2, 359, 3.7),
    Mcs(2, 378, 4.1),
    Mcs(2, 406, 4.6),
    Mcs(2, 434, 5.1),
    Mcs(2, 462, 5.5),
    Mcs(2, 490, 6.0),
    Mcs(2, 522, 6.5),
    Mcs(2, 553, 6.9),
    Mcs(2, 584, 7.4),
    Mcs(2, 616, 7.9),
    Mcs(2, 637, 8.2),
    Mcs(2, 658, 8.6),
    Mcs(3, 450, 9.3),
    Mcs(3, 466, 9.6),
    Mcs(3, 492, 10.1),
    Mcs(3, 517, 10.6),
    Mcs(3, 542, 11.1),
    Mcs(3, 567, 11.6),
    Mcs(3, 592, 12.1),
    Mcs(3, 616, 12.5),
    Mcs(3, 641, 13.0),
    Mcs(3, 666, 13.5),
    Mcs(3, 692, 14.0),
    Mcs(3, 719, 14.5),
    Mcs(3, 746, 15.0),
    Mcs(3, 772, 15.5),
    Mcs(3, 797, 16.1),
    Mcs(3, 822, 16.5),
    Mcs(3, 848, 17.0),
    Mcs(3, 873, 17.6),
    Mcs(4, 669, 18.1),
    Mcs(4, 682.5, 18.4),
    Mcs(4, 697, 18.8),
    Mcs(4, 711, 19.1),
    Mcs(4, 732, 19.6),
    Mcs(4, 754, 20.0),
    Mcs(4, 776, 20.6),
    Mcs(4, 797, 21.1),
    Mcs(4, 819, 21.6),
    Mcs(4, 841, 22.2),
    Mcs(4, 863, 22.7),
    Mcs(4, 885, 23.3),
    Mcs(4, 901, 23.7),
    Mcs(4, 916.5, 24.2),
    Mcs(4, 932, 24.7),
    Mcs(4, 948, 25.3),
)
"""The schemes, slowest first: thresholds and efficiencies both rise."""


def choose(snr_db: float) -> int:
    """Return the index of the fastest scheme of TABLE whose threshold is not above an SNR in dB; 0 if there is none."""
    return max((index for index, mcs in enumerate(TABLE) if mcs.threshold_db <= snr_db), default=0)
