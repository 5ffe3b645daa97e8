"""What air with fading carries, and what a transmitter knows of it: mutual information and how it is distributed.

Pairs of real symbols are one complex symbol, y = h x + n with E|h|^2 = 1, and g is the mean SNR as a ratio. Given its
gains the air carries their mutual information, `mean(1/2 log2(1 + |h|^2 g))` bits per channel use: once h is turned
back, both reals cross a real channel with the SNR |h|^2 g.

Source: E. Biglieri, J. Proakis, S. Shamai, "Fading channels: information-theoretic and communications aspects", 1998,
for ergodic capacity and outage.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from jscc.baselines.spectrum import FloatArray
from jscc.limits import MAX_SNR_DB, MIN_SNR_DB

QUANTILES = 4096
"""Values that stand for a distribution in closed form: a step of one in 4096 is less than 0.01 dB of a line."""
DRAWS = 16384
"""Values that stand for one that is drawn: the probability of an outage of 10 % is known to 0.25 %, or 0.05 dB."""
MOST_DRAWN_BLOCKS = 1024
"""Blocks beyond which the mean of so many is taken as Gaussian."""
_SEED = 20261125


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the transmitter knows of the air at a mean SNR: how its mutual information is distributed.

    Attributes:
        information_bits: [n] bits per channel use, rising: equally probable values, one from each n-th of the whole.
        blocks: gains that an image meets, each for as long.
    """

    information_bits: FloatArray
    blocks: int

    @property
    def reached(self) -> FloatArray:
        """Probability [n] that the air carries the rates `information_bits`."""
        count = len(self.information_bits)
        reached: FloatArray = 1.0 - (np.arange(count) + 0.5) / count
        return reached


def mutual_information(power_gains: FloatArray, snr_db: float) -> FloatArray:
    """Return what air of known gains carries, [...] bits per channel use.

    Args:
        power_gains: [..., blocks] |h|^2, 0 or more, each for as long: of every block, or of every complex symbol.
        snr_db: mean SNR in dB.

    Raises:
        ValueError: an SNR out of MIN_SNR_DB..MAX_SNR_DB, no gain at all, or one that is no number from 0.
    """
    power_gains = np.asarray(power_gains, dtype=np.float64)
    if not power_gains.ndim or not power_gains.shape[-1] or not ((power_gains >= 0) & (power_gains < np.inf)).all():
        raise ValueError("power_gains: must be one block or more of numbers from 0")
    information: FloatArray = np.mean(np.log1p(power_gains * _ratio(snr_db)), axis=-1) / math.log(4.0)
    return information


def rayleigh(snr_db: float, blocks: int = 1) -> Outlook:
    """Return the outlook over Rayleigh fading, |h|^2 ~ Exp(1), with independent gains of equally long blocks.

    One gain is told in closed form, up to MOST_DRAWN_BLOCKS are drawn (always the same ones), and more are taken as
    Gaussian. Ask once for all images of a size. A last block that is shorter counts as whole.

    Args:
        snr_db: mean SNR in dB.
        blocks: gains that an image meets: complex symbols by coherence, rounded up.

    Raises:
        ValueError: an SNR out of MIN_SNR_DB..MAX_SNR_DB, or no block.
    """
    if blocks < 1:
        raise ValueError(f"blocks: must be 1 or more, got {blocks}")
    quantiles = (np.arange(QUANTILES) + 0.5) / QUANTILES
    of_one = mutual_information(-np.log1p(-quantiles)[:, None], snr_db)
    if blocks == 1:
        return Outlook(of_one, 1)
    if blocks > MOST_DRAWN_BLOCKS:
        return Outlook(_gaussian(of_one, snr_db, blocks), blocks)
    generator, total = np.random.default_rng(_SEED), np.zeros(DRAWS)
    for _ in range(blocks):
        total += mutual_information(generator.standard_exponential((DRAWS, 1)), snr_db)
    return Outlook(np.sort(total / blocks), blocks)


def drawn(power_gains: FloatArray, snr_db: float) -> Outlook:
    """Return the outlook over fading of any kind, such as Rician, from draws of its gains.

    Args:
        power_gains: [n, blocks] |h|^2 of n independent draws; some thousands, see DRAWS.
        snr_db: mean SNR in dB.

    Raises:
        ValueError: see `mutual_information`.
    """
    return Outlook(np.sort(mutual_information(power_gains, snr_db)), power_gains.shape[-1])


def ergodic_bits(uses: int, snr_db: float) -> float:
    """Return the bits that fast Rayleigh fading carries, `k 1/2 log2(e) e^(1/g) E1(1/g)`.

    It is the mean of `k/2 log2(1 + |h|^2 g)` with |h|^2 ~ Exp(1), integrated by parts.

    Args:
        uses: channel uses k.
        snr_db: mean SNR in dB.

    Raises:
        ValueError: an SNR out of MIN_SNR_DB..MAX_SNR_DB.
    """
    return uses * _scaled_exponential_integral(1.0 / _ratio(snr_db)) / math.log(4.0)


def _gaussian(of_one: FloatArray, snr_db: float, blocks: int) -> FloatArray:
    """Return the quantiles of the mean over many blocks, from those of one."""
    normal = NormalDist(ergodic_bits(1, snr_db), float(np.std(of_one)) / math.sqrt(blocks))
    return np.array([normal.inv_cdf((index + 0.5) / QUANTILES) for index in range(QUANTILES)])


def _ratio(snr_db: float) -> float:
    if not MIN_SNR_DB <= snr_db <= MAX_SNR_DB:
        raise ValueError(f"snr_db: {snr_db} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")
    return float(10.0 ** (snr_db / 10.0))


def _scaled_exponential_integral(x: float) -> float:
    """Return `e^x E1(x)` of x > 0: its power series below 1, its continued fraction from there on.

    Source: M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 1964, 5.1.11 and 5.1.22.
    """
    if x < 1.0:
        terms = ((-x) ** n / (n * math.factorial(n)) for n in range(1, 20))
        return math.exp(x) * (-np.euler_gamma - math.log(x) - sum(terms))
    fraction = x
    for n in range(100, 0, -1):
        fraction = x + n / (1.0 + n / fraction)
    return 1.0 / fraction
