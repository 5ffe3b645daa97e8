"""The references that are computed beside what is sent: their names, and what each is made with."""

from collections.abc import Mapping
from types import MappingProxyType

DESIGN_SNR_DB = 10.0
"""The SNR that the fixed-rate references are designed for."""
GAUSSIAN = "gaussian"
CURVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "jpeg": ("jpeg_adaptive", "jpeg_fixed"),
        "webp": ("webp_adaptive", "webp_fixed"),
        "avif": ("avif_adaptive",),
        GAUSSIAN: ("gaussian_variance", "gaussian_spectrum"),
    }
)
"""Every curve by what it is made with."""
CHEAP = ("jpeg", "webp", GAUSSIAN)
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "jpeg_adaptive": "JPEG + ideal code, rate-adaptive",
        "webp_adaptive": "WebP + ideal code, rate-adaptive",
        "avif_adaptive": "AVIF + ideal code, rate-adaptive",
        "jpeg_fixed": f"JPEG + ideal code, fixed rate (for {DESIGN_SNR_DB:g} dB)",
        "webp_fixed": f"WebP + ideal code, fixed rate (for {DESIGN_SNR_DB:g} dB)",
        "gaussian_variance": "Gaussian source, image's variance (no bound on images)",
        "gaussian_spectrum": "Gaussian source, image's spectrum (no bound on images)",
    }
)
"""What figures call every curve, in the order of a legend."""
