"""The colour, line, marker and label of every method and reference, the same in every figure.

Colours are those of Okabe and Ito, "Color Universal Design", 2008, without yellow, which white paper swallows, and
darker ones of P. Tol, "Colour schemes", 2021. In grey, families are told apart by their lines (learned solid, analog
dashed, digital dotted, references thin) and members of a family by their markers.
"""

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.colors import to_hex

LineStyle = str | tuple[int, tuple[float, ...]]


class Family(Enum):
    """What kind of transmission a curve shows; the value is its line style."""

    LEARNED = "-"
    ANALOG = (0, (4.5, 1.5))
    DIGITAL = (0, (1, 1.2))
    FIXED = (0, (3, 1.2, 1, 1.2))
    """Digital too, but at one rate."""
    REFERENCE = (0, ())


class Style(NamedTuple):
    """How a curve is drawn: colour, marker and line as matplotlib takes them; the line is the family's unless given."""

    label: str
    family: Family
    color: str
    marker: str
    line: LineStyle | None = None

    @property
    def is_learned(self) -> bool:
        """Whether the method was trained."""
        return self.family is Family.LEARNED

    @property
    def is_reference(self) -> bool:
        """Whether it is a bound or the like, which nothing transmits."""
        return self.family is Family.REFERENCE

    def drawing(self) -> dict[str, Any]:
        """Return arguments of `Axes.plot`, without the label."""
        thin = self.is_reference
        return {
            "color": self.color,
            "linestyle": self.line or self.family.value,
            "linewidth": 0.8 if thin else 1.1,
            "marker": self.marker,
            "markersize": 3.6,
            "markeredgewidth": 0.7,
            "zorder": 1.9 if thin else 2.0 + 0.1 * self.is_learned,
        }


_GREY = "#808080"
_KNOWN = {
    "deepjscc": Style("DeepJSCC", Family.LEARNED, "#0072B2", "o"),
    "diffusion": Style("DeepJSCC + diffusion", Family.LEARNED, "#56B4E9", "^"),
    "model_based": Style("Model-based", Family.LEARNED, "#D55E00", "s"),
    "model_based_12": Style("Model-based (12 ch.)", Family.LEARNED, "#E69F00", "D"),
    "kltjscc": Style("KLT-JSCC", Family.LEARNED, "#117733", "v"),
    "softcast": Style("SoftCast", Family.ANALOG, "#CC79A7", "P"),
    "softcast_0625": Style("SoftCast (low rate)", Family.ANALOG, "#CC79A7", "*"),
    "digital": Style("Digital, real code, rate-adaptive", Family.DIGITAL, "#000000", "X"),
    "jpeg_adaptive": Style("JPEG + ideal code, rate-adaptive", Family.DIGITAL, "#009E73", "<"),
    "webp_adaptive": Style("WebP + ideal code, rate-adaptive", Family.DIGITAL, "#332288", ">"),
    "avif_adaptive": Style("AVIF + ideal code, rate-adaptive", Family.DIGITAL, "#882255", "p"),
    "jpeg_fixed": Style("JPEG + ideal code, fixed rate (for 10 dB)", Family.FIXED, "#009E73", "1"),
    "webp_fixed": Style("WebP + ideal code, fixed rate (for 10 dB)", Family.FIXED, "#332288", "2"),
    "gaussian_variance": Style(
        "Gaussian source, image's variance (no bound on images)", Family.REFERENCE, _GREY, "", (0, (1, 1))
    ),
    "gaussian_spectrum": Style("Gaussian source, image's spectrum (no bound on images)", Family.REFERENCE, _GREY, ""),
}
_ORDER = list(_KNOWN)
_SPARE_COLOURS = ("#AA4499", "#999933", "#44AA99", "#661100", "#6699CC", "#000000", "#888888")
_SPARE_MARKERS = ("h", "d", "8", "H", "3", "4", "+", "x", ".")
FIXED_CODE = Style("Digital, real code, fixed rate", Family.FIXED, "#000000", "3")
"""The method `digital` where its rate does not follow the SNR."""


def style_of(name: str, names: Collection[str] = ()) -> Style:
    """The style of a method or a reference's curve.

    Args:
        name: of which.
        names: every one of the run. Those that are not known here take spare styles in alphabetical order, so
            that each keeps its own in every figure of the run; 63 of them differ.
    """
    if name in _KNOWN:
        return _KNOWN[name]
    slot = sorted({name, *names}.difference(_KNOWN)).index(name)
    colour, marker = _SPARE_COLOURS[slot % len(_SPARE_COLOURS)], _SPARE_MARKERS[slot % len(_SPARE_MARKERS)]
    return Style(name, Family.LEARNED, colour, marker)


def in_order(names: Collection[str]) -> list[str]:
    """Names as a legend lists them: learned first, unknown ones after these, references last."""
    first_other = _ORDER.index("softcast")
    return sorted(names, key=lambda name: (_ORDER.index(name) if name in _KNOWN else first_other - 0.5, name))


def snr_styles(snrs_db: Sequence[float]) -> dict[float, Style]:
    """A style per SNR in dB for figures whose curves are SNRs: from dark to light as the noise falls."""
    shades = colormaps["viridis"]
    last = max(len(snrs_db) - 1, 1)
    markers = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
    return {
        snr_db: Style(
            f"{snr_db:g} dB".replace("-", "\N{MINUS SIGN}"),
            Family.LEARNED,
            to_hex(shades(0.8 * at / last)),
            markers[at % len(markers)],
        )
        for at, snr_db in enumerate(sorted(snrs_db))
    }
