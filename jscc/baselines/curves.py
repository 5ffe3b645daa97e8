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
