"""Digital transmission with an ideal code over fading: four lines, which differ in what the transmitter knows.

The ideal code reaches the mutual information of the gains that an image meets (`jscc.baselines.outlook`), and the
receiver knows these gains, for nothing. The transmitter knows no more than how they are distributed; only in the second
line does it know them too. No power is moved from one gain to another in any of them.

- `ergodic_db`: so many gains that their mean is certain. It is a line for fast fading, and for nothing else.
- `csit_db`: the rate follows the gains. It needs feedback, ahead of every image; an image is lost only where not even
  the smallest file fits.
- `single_rate`: one file, at the rate that is best over the distribution. It is lost where the air carries less.
- `two_layer`: two codewords at once, of which the stronger alone arrives through a deeper fade.

The objective is the mean PSNR in dB, as it is what figures show. It takes more outage than the least mean squared error
would: in dB a lost image costs as much as 15 or 20 dB of quality bring, while its squared error is that of a hundred
images that arrived. The mean colour is shown for a lost image, whose 24 bits come for nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jscc.baselines.outlook import Outlook, ergodic_bits, mutual_information
from jscc.baselines.rate_quality import Curve
from jscc.baselines.spectrum import FloatArray

_Indices = npt.NDArray[np.int64]
_STEPS = 33
_ROUNDS = 4
_LEAST_SHARE_LOG10 = -5.0


@dataclass(frozen=True, eq=False)
class Realised:
    """What became of an image at given gains.

    Attributes:
        psnr_db: [...] PSNR in dB of what is shown.
        outage: [...] whether nothing of the image arrived, and the mean colour is shown.
    """

    psnr_db: FloatArray
    outage: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SingleRate:
    """One file, and what becomes of it.

    Attributes:
        rate_bits: bits per channel use, infinite where no file is worth sending.
        file_db: PSNR of the file in dB.
        nothing_db: PSNR of the mean colour in dB.
        expected_db: mean PSNR in dB over the distribution.
        outage: probability of a lost image.
    """

    rate_bits: float
    file_db: float
    nothing_db: float
    expected_db: float
    outage: float

    def realised(self, power_gains: FloatArray, snr_db: float) -> Realised:
        """Return what becomes of it at gains |h|^2 [..., blocks], and a mean SNR that may be another than was told.

        Raises:
            ValueError: see `mutual_information`.
        """
        arrived = mutual_information(power_gains, snr_db) >= self.rate_bits
        return Realised(np.where(arrived, self.file_db, self.nothing_db), ~arrived)


@dataclass(frozen=True)
class TwoLayer:
    """Two codewords in superposition, of which the second refines what the first describes.

    Attributes:
        rates_bits: bits per channel use of the first and of the second; infinite for what is not worth sending.
        share: of the power, 0..1, that the second has.
        layers_db: PSNR in dB of the first alone and of both.
        nothing_db: PSNR of the mean colour in dB.
        expected_db: mean PSNR in dB over the distribution.
        outage: probability that not even the first arrives.
    """

    rates_bits: tuple[float, float]
    share: float
    layers_db: tuple[float, float]
    nothing_db: float
    expected_db: float
    outage: float

    def realised(self, power_gains: FloatArray, snr_db: float) -> Realised:
        """Return what becomes of it at gains |h|^2 [..., blocks], and a mean SNR that may be another than was told.

        Raises:
            ValueError: see `mutual_information`.
        """
        of_both = mutual_information(power_gains, snr_db)
        of_second = mutual_information(self.share * np.asarray(power_gains), snr_db)
        first = of_both - of_second >= self.rates_bits[0]
        both = first & (of_second >= self.rates_bits[1])
        values_db = np.where(both, self.layers_db[1], np.where(first, self.layers_db[0], self.nothing_db))
        return Realised(values_db, ~first)


def ergodic_db(curve: Curve, uses: int, snr_db: float) -> float:
    """Return the PSNR in dB over fast Rayleigh fading, of the file that `ergodic_bits` carry.

    Args:
        curve: of the image.
        uses: channel uses k.
        snr_db: mean SNR in dB.

    Raises:
        ValueError: see `ergodic_bits`.
    """
    return float(curve.psnr_db(ergodic_bits(uses, snr_db)))


def csit_db(curve: Curve, uses: int, outlook: Outlook) -> float:
    """Return the mean PSNR in dB where the rate follows the gains: `E[Q(k C)]`. Needs feedback.

    Args:
        curve: of the image, Q(bits).
        uses: channel uses k.
        outlook: on the air.

    Source: C. T. K. Ng, D. Gunduz, A. J. Goldsmith, E. Erkip, "Distortion minimization in Gaussian layered broadcast
    coding with successive refinement", arXiv 0705.3099, which compares with knowledge at the transmitter.
    """
    return float(np.mean(curve.psnr_db(uses * outlook.information_bits)))


def csit_realised(curve: Curve, uses: int, power_gains: FloatArray, snr_db: float) -> Realised:
    """Return what becomes of an image whose rate follows gains |h|^2 [..., blocks]. Needs feedback.

    Args:
        curve: of the image, Q(bits).
        uses: channel uses k.
        power_gains: see `mutual_information`.
        snr_db: mean SNR in dB.

    Raises:
        ValueError: see `mutual_information`.
    """
    bits = uses * mutual_information(power_gains, snr_db)
    return Realised(curve.psnr_db(bits), bits < curve.sizes_bits[0])


def single_rate(curve: Curve, uses: int, outlook: Outlook) -> SingleRate:
    """Return the file with the best mean PSNR: `max_R P(C >= R) Q(k R) + P(C < R) Q0`.

    With one Rayleigh gain `P(C >= R) = e^(-(4^R - 1)/g)`.

    Args:
        curve: of the image, Q(bits) and Q0.
        uses: channel uses k.
        outlook: on the air.

    Source: Ng and others, as above, with one layer; PSNR in place of the squared error.
    """
    rates = outlook.information_bits
    arriving = np.where(uses * rates >= curve.sizes_bits[0], outlook.reached, 0.0)
    files_db = curve.psnr_db(uses * rates)
    means_db = curve.nothing_db + arriving * (files_db - curve.nothing_db)
    best = int(np.argmax(means_db))
    if not arriving[best]:
        return SingleRate(math.inf, curve.nothing_db, curve.nothing_db, curve.nothing_db, 1.0)
    rate, file_db, mean_db = (float(of[best]) for of in (rates, files_db, means_db))
    return SingleRate(rate, file_db, curve.nothing_db, mean_db, 1.0 - float(arriving[best]))


def two_layer(curve: Curve, uses: int, outlook: Outlook) -> TwoLayer:
    """Return the two layers with the best mean PSNR, over one gain for each image.

    The first codeword has the share 1 - a of the power and is decoded with the second as noise; then the second, with
    the first taken away. From the SNR g1 on the first arrives, from g2 >= g1 on both:
    `R1 = 1/2 log2((1 + g1)/(1 + a g1))`, `R2 = 1/2 log2(1 + a g2)`, and the mean PSNR is
    `Q0 + P(|h|^2 g >= g1) (Q(k R1) - Q0) + P(|h|^2 g >= g2) (Q(k (R1 + R2)) - Q(k R1))`.
    The best of g1, g2 and a are searched for on a grid that narrows, and never worse than one rate.

    Successive refinement is assumed to cost nothing: both layers together are as good as one file of all their bits.
    Files of codecs in use are not layered for nothing, so this favours the digital line.

    Args:
        curve: of the image, Q(bits) and Q0.
        uses: channel uses k.
        outlook: on air with one gain for each image.

    Raises:
        ValueError: more gains than one.

    Source: Ng and others, as above; C. Tian, A. Steiner, S. Shamai, S. N. Diggavi, "Successive refinement via
    broadcast: optimizing expected distortion of a Gaussian source over a Gaussian fading channel", 2008.
    """
    if outlook.blocks != 1:
        raise ValueError(f"outlook: two layers are computed for one gain for each image, got {outlook.blocks} blocks")
    one = single_rate(curve, uses, outlook)
    last = len(outlook.information_bits) - 1.0
    low, high = np.array([0.0, 0.0, _LEAST_SHARE_LOG10]), np.array([last, last, 0.0])
    best = (one.expected_db, -1, -1, 0.0)
    for _ in range(_ROUNDS):
        found, centre = _best_of_grid(curve, uses, outlook, (low, high))
        best = max(best, found)
        reach = 2 * (high - low) / (_STEPS - 1)
        low = np.maximum(centre - reach, (0.0, 0.0, _LEAST_SHARE_LOG10))
        high = np.minimum(centre + reach, (last, last, 0.0))
    if best[1] < 0:
        return TwoLayer((one.rate_bits, math.inf), 0.0, (one.file_db,) * 2, one.nothing_db, one.expected_db, one.outage)
    return _layers(curve, uses, outlook, best)


def _best_of_grid(
    curve: Curve, uses: int, outlook: Outlook, within: tuple[FloatArray, FloatArray]
) -> tuple[tuple[float, int, int, float], FloatArray]:
    """Return the best of a grid, as its mean PSNR, both indices and the share, and where it lies on the axes."""
    first, second, share_log10 = np.linspace(*within, _STEPS).T
    i, j = np.rint(first).astype(int)[:, None, None], np.rint(second).astype(int)[None, :, None]
    shares = 10.0 ** share_log10[None, None, :]
    means_db = _means_db(curve, uses, outlook, (i, j, shares))
    at = np.unravel_index(int(np.argmax(means_db)), means_db.shape)
    found = (float(means_db[at]), int(i[at[0], 0, 0]), int(j[0, at[1], 0]), float(shares[0, 0, at[2]]))
    return found, np.array([first[at[0]], second[at[1]], share_log10[at[2]]])


def _means_db(curve: Curve, uses: int, outlook: Outlook, of: tuple[_Indices, _Indices, FloatArray]) -> FloatArray:
    """Return the mean PSNR of two layers that arrive from the i-th and the j-th value on; -inf where they may not."""
    i, j, _ = of
    rates = _rates(outlook, of)
    first_db, both_db = curve.psnr_db(uses * rates[0]), curve.psnr_db(uses * (rates[0] + rates[1]))
    means_db = curve.nothing_db + outlook.reached[i] * (first_db - curve.nothing_db)
    means_db = means_db + outlook.reached[j] * (both_db - first_db)
    return np.where((j >= i) & (uses * rates[0] >= curve.sizes_bits[0]), means_db, -np.inf)


def _rates(outlook: Outlook, of: tuple[_Indices, _Indices, FloatArray]) -> tuple[FloatArray, FloatArray]:
    i, j, shares = of
    snrs = 4.0**outlook.information_bits - 1.0
    return 0.5 * np.log2((1.0 + snrs[i]) / (1.0 + shares * snrs[i])), 0.5 * np.log2(1.0 + shares * snrs[j])


def _layers(curve: Curve, uses: int, outlook: Outlook, best: tuple[float, int, int, float]) -> TwoLayer:
    mean_db, i, j, share = best
    rates = _rates(outlook, (np.array(i), np.array(j), np.array(share)))
    first, second = (float(rate) for rate in rates)
    layers_db = float(curve.psnr_db(uses * first)), float(curve.psnr_db(uses * (first + second)))
    return TwoLayer((first, second), share, layers_db, curve.nothing_db, mean_db, 1.0 - float(outlook.reached[i]))
