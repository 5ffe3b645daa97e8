"""Rate-distortion references: what ideal source and channel codes make of a Gaussian source as strong as an image.

Both answer: if the samples of an image came from a Gaussian source of known statistics, which PSNR would the best
code of endless length reach over this channel? By the separation theorem a code that sends k = rho n real symbols for
n source samples over a channel of capacity C reaches the distortion-rate function D(R) at `R = rho C` bits per sample.

Neither is a bound on images. Of all sources with given variances the Gaussian one is the hardest to compress, so D(R)
is a distortion that a good code need not exceed, not one that no code can fall below: an image has structure that its
variance and even its spectrum do not tell. On Kodak at rho = 0.25 WebP with an ideal code surpasses both curves from
0 to 15 dB.

Samples are in 0..1, so that the PSNR is `10 log10(1 / D)`. (With a source of variance 1 beside a peak of 1 the formula
gives `10 rho log10(1 + snr)`, at rho = 0.25 0.8 to 5 dB for 0 to 20 dB: less than for a picture of nothing but the
image's mean colour, about 15 dB, since the variance of images is not 1 but some 0.04.)
"""

import math
from dataclasses import dataclass

import numpy as np

from jscc.baselines.spectrum import FloatArray, Spectrum, variance
from jscc.images import Pixels
from jscc.signals import capacity_bits_per_symbol

MAX_RATE_BITS = 1e6
"""Most bits per source sample; a distortion that is too small for a float is 0 long before."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """How reverse water-filling divides rate and distortion over the components of a spectrum.

    Attributes:
        level: the water level theta, the distortion of every component that gets any rate.
        rates_bits: [n] rate of each component in bits per sample of its own, `max(0, 1/2 log2(variance / theta))`.
        distortions: [n] mean squared error of each component, `min(theta, variance)`.
    """

    level: float
    rates_bits: FloatArray
    distortions: FloatArray


def rate_bits_per_sample(rho: float, snr_db: float) -> float:
    """Return R = rho * capacity, the bits that the channel carries per source sample.

    Args:
        rho: channel uses per source sample, 0 or more.
        snr_db: SNR in dB.

    Raises:
        ValueError: a negative or infinite number, or none; names the field.
    """
    if not (rho >= 0 and math.isfinite(rho)):
        raise ValueError(f"rho: must be 0 or more, got {rho}")
    if not math.isfinite(snr_db):
        raise ValueError(f"snr_db: must be finite, got {snr_db}")
    return rho * capacity_bits_per_symbol(snr_db)


def gaussian_distortion(source_variance: float, rate_bits: float) -> float:
    """Return D(R) = variance * 2^(-2 R), the least mean squared error of an i.i.d. Gaussian source at a rate.

    Every description X' of X with mean squared error D needs the rate
    `I(X; X') = h(X) - h(X - X' | X') >= h(X) - h(N(0, D)) = 1/2 log2(variance / D)`,
    as a Gaussian has the largest entropy of its variance; X = X' + Z with Z ~ N(0, D) independent of X' attains it.

    Args:
        source_variance: variance of the source, 0 or more.
        rate_bits: R in bits per source sample, 0..MAX_RATE_BITS.

    Raises:
        ValueError: a rate out of range.

    Source: T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd edition, theorem 10.3.2.
    """
    _check_rate(rate_bits)
    return source_variance * math.exp2(-2.0 * rate_bits)


def gaussian_psnr_db(pixels: Pixels, rho: float, snr_db: float) -> float:
    """Return the PSNR in dB of an i.i.d. Gaussian source with the image's variance, coded ideally.

    Not a bound on images: exact for independent samples only, and those of an image depend on each other, which
    every codec uses; so all but the poorest methods lie far above. It equals
    `10 log10(1 / variance) + 10 rho log10(1 + snr)`: the PSNR of the mean colour, and what the rate adds to it.

    Args:
        pixels: [H, W, 3] uint8, the image.
        rho: channel uses per source sample, 0 or more.
        snr_db: SNR in dB.

    Returns:
        The PSNR; infinity for an image of one colour, or at a rate that leaves no distortion that a float can hold.

    Raises:
        ValueError: a number out of range; names the field.
    """
    return _psnr_db(gaussian_distortion(variance(pixels), rate_bits_per_sample(rho, snr_db)))


def reverse_water_filling(components: Spectrum, rate_bits: float) -> Allocation:
    """Divide a rate over independent Gaussian components so that their mean squared error in sum is least.

    Minimise `sum n_i D_i` subject to `sum n_i 1/2 log2(v_i / D_i) = n R` and `D_i <= v_i`. The derivative of the
    Lagrangian, `1 - lambda / D_i`, is zero at the same D_i = theta for every component with `v_i > theta`; the others
    are not worth any rate (Kuhn-Tucker) and keep D_i = v_i. With the m strongest components above the level,
    `log2 theta = (sum_m n_i log2 v_i - 2 n R) / sum_m n_i`; m is the largest number with theta no higher than the
    weakest of them. So theta is exact, without a search.

    Args:
        components: their variances and counts.
        rate_bits: R in bits per source sample, averaged over all components, 0..MAX_RATE_BITS.

    Returns:
        The allocation, of which `sum(counts * rates_bits) = R * sum(counts)`. Level 0 if every variance is 0: nothing
        is left to be said, and no rate is used.

    Raises:
        ValueError: a rate out of range.

    Source: T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd edition, section 10.3.3, theorem 10.3.3.
    """
    _check_rate(rate_bits)
    order = np.argsort(-components.variances, kind="stable")
    order = order[components.variances[order] > 0]
    if not order.size:
        return Allocation(0.0, np.zeros_like(components.variances), components.variances)
    heights = np.log2(components.variances[order])
    weights = components.counts[order]
    total_bits = rate_bits * components.counts.sum()
    levels = (np.cumsum(weights * heights) - 2.0 * total_bits) / np.cumsum(weights)
    above = np.flatnonzero(levels <= heights)
    level_log2 = float(levels[above[-1]] if above.size else heights[0])
    level = math.exp2(level_log2)
    rates = np.zeros_like(components.variances)
    rates[order] = 0.5 * np.maximum(heights - level_log2, 0.0)
    return Allocation(level, rates, np.minimum(level, components.variances))


def water_filling_psnr_db(components: Spectrum, rho: float, snr_db: float) -> float:
    """Return the PSNR in dB of a Gaussian source with an image's spectrum, coded ideally.

    Not a bound on images: exact for a stationary Gaussian source whose spectrum both ends know. The bits that
    would tell the receiver the spectrum and the mean colour are not charged; in return no use is made of what
    changes from place to place in an image, so codecs that do may lie above.

    Args:
        components: the image's spectrum, see `measure_spectrum`; measure it once for all rates.
        rho: channel uses per source sample, 0 or more.
        snr_db: SNR in dB.

    Returns:
        The PSNR, infinity as for `gaussian_psnr_db`, and never below that of the same image.

    Raises:
        ValueError: a number out of range; names the field.
    """
    distortions = reverse_water_filling(components, rate_bits_per_sample(rho, snr_db)).distortions
    return _psnr_db(float(np.average(distortions, weights=components.counts)))


def _check_rate(rate_bits: float) -> None:
    if not 0.0 <= rate_bits <= MAX_RATE_BITS:
        raise ValueError(f"rate_bits: {rate_bits} is outside 0..{MAX_RATE_BITS:.0f} bits per sample")


def _psnr_db(mean_squared_error: float) -> float:
    return -10.0 * math.log10(mean_squared_error) if mean_squared_error > 0.0 else math.inf
