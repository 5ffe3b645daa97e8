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
        "hevc": ("hevc_adaptive",),
        "vvc": ("vvc_adaptive",),
        "avif_half": ("avif_half_adaptive",),
        "jpeg_half": ("jpeg_half_adaptive",),
        "webp_half": ("webp_half_adaptive",),
        "jpeg_420": ("jpeg_420_adaptive", "jpeg_420_fixed"),
        "avif_420": ("avif_420_adaptive",),
        GAUSSIAN: ("gaussian_variance", "gaussian_spectrum"),
    }
)
"""Every curve by what it is made with: a name of `jscc.baselines.codecs.CODECS`, or a Gaussian source."""
CHEAP = ("jpeg", "webp", GAUSSIAN)
ONE_RATE, TWO_LAYERS, FEEDBACK, ERGODIC = "single_rate", "two_layer", "csit", "ergodic"
"""Digital lines over fading, see `jscc.baselines.fading`."""
FADING_CODECS = ("avif", "jpeg")
"""Codecs of the lines over fading, strongest first."""
FADING_CURVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {codec: tuple(f"{codec}_{line}" for line in (ONE_RATE, TWO_LAYERS, FEEDBACK, ERGODIC)) for codec in FADING_CODECS}
)
"""Every line over fading by its codec."""
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "jpeg_adaptive": "JPEG + ideal code, rate-adaptive",
        "jpeg_half_adaptive": "JPEG, halved where better, + ideal code, rate-adaptive",
        "webp_adaptive": "WebP + ideal code, rate-adaptive",
        "webp_half_adaptive": "WebP, halved where better, + ideal code, rate-adaptive",
        "avif_adaptive": "AVIF + ideal code, rate-adaptive",
        "avif_half_adaptive": "AVIF, halved where better, + ideal code, rate-adaptive",
        "hevc_adaptive": "HEVC intra (BPG) + ideal code, rate-adaptive",
        "vvc_adaptive": "VVC intra + ideal code, rate-adaptive",
        "jpeg_420_adaptive": "JPEG 4:2:0 + ideal code, rate-adaptive",
        "avif_420_adaptive": "AVIF 4:2:0, default tuning, + ideal code, rate-adaptive",
        "jpeg_fixed": f"JPEG + ideal code, fixed rate (for {DESIGN_SNR_DB:g} dB)",
        "webp_fixed": f"WebP + ideal code, fixed rate (for {DESIGN_SNR_DB:g} dB)",
        "jpeg_420_fixed": f"JPEG 4:2:0 + ideal code, fixed rate (for {DESIGN_SNR_DB:g} dB)",
        "avif_single_rate": "AVIF + ideal code, best single rate",
        "avif_two_layer": "AVIF + ideal code, best two layers",
        "avif_csit": "AVIF + ideal code, rate follows the gains (feedback)",
        "avif_ergodic": "AVIF + ideal code, ergodic",
        "jpeg_single_rate": "JPEG + ideal code, best single rate",
        "jpeg_two_layer": "JPEG + ideal code, best two layers",
        "jpeg_csit": "JPEG + ideal code, rate follows the gains (feedback)",
        "jpeg_ergodic": "JPEG + ideal code, ergodic",
        "gaussian_variance": "Gaussian source, image's variance (no bound on images)",
        "gaussian_spectrum": "Gaussian source, image's spectrum (no bound on images)",
    }
)
"""What figures call every curve, in the order of a legend."""


BRIEF: Mapping[str, str] = MappingProxyType(
    {
        "jpeg_adaptive": "JPEG, ideal",
        "jpeg_half_adaptive": "JPEG, halved",
        "webp_adaptive": "WebP, ideal",
        "webp_half_adaptive": "WebP, halved",
        "avif_adaptive": "AVIF, ideal",
        "avif_half_adaptive": "AVIF, halved",
        "hevc_adaptive": "HEVC, ideal",
        "vvc_adaptive": "VVC, ideal",
        "jpeg_420_adaptive": "JPEG 4:2:0, ideal",
        "avif_420_adaptive": "AVIF 4:2:0, ideal",
        "jpeg_fixed": "JPEG, fixed rate",
        "webp_fixed": "WebP, fixed rate",
        "jpeg_420_fixed": "JPEG 4:2:0, fixed rate",
        "avif_single_rate": "AVIF, one rate",
        "avif_two_layer": "AVIF, two layers",
        "avif_csit": "AVIF, feedback",
        "avif_ergodic": "AVIF, ergodic",
        "jpeg_single_rate": "JPEG, one rate",
        "jpeg_two_layer": "JPEG, two layers",
        "jpeg_csit": "JPEG, feedback",
        "jpeg_ergodic": "JPEG, ergodic",
        "gaussian_variance": "Gaussian, variance",
        "gaussian_spectrum": "Gaussian, spectrum",
    }
)
"""The same where there is room for a word or two beside a line."""


def present(curve: str) -> str:
    """Return the curve that took the place of one with the settings of earlier figures; of another, itself."""
    return curve.replace("_420_", "_")
