"""The spectrum of an image: how its variance is divided over frequencies and colours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jscc.images import Pixels

BAND_SIDE = 16
"""Frequencies per side of a band: coarse enough that a codec could tell the receiver every variance."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Variances of the independent components that an image is modelled as.

    Attributes:
        variances: [n] variance of the samples of a component, 0 or more, in units of white squared.
        counts: [n] samples of the component, 1 or more; in sum the image's 3 H W.
    """

    variances: FloatArray
    counts: FloatArray


def variance(pixels: Pixels) -> float:
    """Return the mean squared distance of an image's samples from its mean colour, in units of white squared.

    Args:
        pixels: [H, W, 3] uint8; white is 1.
    """
    return float(np.mean(np.square(_centred(pixels))))


def dct(x: FloatArray, axis: int) -> FloatArray:
    """Return the orthonormal cosine transform (DCT-II) along an axis.

    `X_k = c_k sum_j x_j cos(pi k (2j + 1) / 2n)`, `c_0 = sqrt(1/n)`, else `sqrt(2/n)`: the discrete Fourier
    transform of x followed by its mirror image, turned by half a sample.

    Source: J. Makhoul, "A fast cosine transform in one and two dimensions", 1980.
    """
    size = x.shape[axis]
    mirrored = np.concatenate((x, np.flip(x, axis)), axis)
    half_sample = np.exp(-0.5j * np.pi * np.arange(size) / size) / np.sqrt(2.0 * size)
    half_sample[0] /= np.sqrt(2.0)
    turned = np.moveaxis(np.fft.rfft(mirrored, axis=axis), axis, -1)[..., :size] * half_sample
    return np.moveaxis(np.real(turned), -1, axis)


def measure_spectrum(pixels: Pixels, band_side: int = BAND_SIDE) -> Spectrum:
    """Return the spectrum of an image.

    The image without its mean colour is transformed (DCT-II over rows and columns) and the plane of frequencies is cut
    into square bands. In a band the three colours have a covariance matrix, averaged over its frequencies (the
    square of a single coefficient estimates no variance); its eigenvalues are the variances of three components, each
    with as many samples as the band has frequencies. The transform is orthonormal, so the mean of all is the variance.

    Args:
        pixels: [H, W, 3] uint8; white is 1.
        band_side: frequencies per side of a band, 1 or more; bands at the far ends may be smaller. Smaller bands follow
            the spectrum more closely, and the noise of its estimate too.

    Raises:
        ValueError: band_side is not positive.

    Source: the periodogram averaged over neighbouring frequencies, P. J. Daniell, 1946; for power spectra in general
    P. Stoica and R. Moses, "Spectral Analysis of Signals", section 2.7.
    """
    if band_side < 1:
        raise ValueError(f"band_side: must be 1 or more, got {band_side}")
    coefficients = dct(dct(_centred(pixels), axis=0), axis=1)
    frequencies = _band_sums(np.ones(pixels.shape[:2]), band_side)
    covariances = np.empty((*frequencies.shape, 3, 3))
    for i, j in ((i, j) for i in range(3) for j in range(3)):
        covariances[..., i, j] = _band_sums(coefficients[..., i] * coefficients[..., j], band_side) / frequencies
    variances = np.linalg.eigvalsh(covariances).clip(min=0.0)
    return Spectrum(variances.ravel(), np.repeat(frequencies.ravel(), 3))


def _centred(pixels: Pixels) -> FloatArray:
    """Return [H, W, 3] samples without the mean colour, in units of white."""
    samples = pixels.astype(np.float64)
    centred: FloatArray = (samples - samples.mean(axis=(0, 1))) / 255.0
    return centred


def _band_sums(plane: FloatArray, band_side: int) -> FloatArray:
    """Sum [H, W] over square bands."""
    rows, columns = (np.arange(0, size, band_side) for size in plane.shape)
    sums: FloatArray = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
    return sums
