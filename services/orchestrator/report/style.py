"""The colour, line, marker and label of every method and reference, the same in every figure.

Colours are those of Okabe and Ito, "Color Universal Design", 2008, without yellow, which white paper swallows, and
darker ones of P. Tol, "Colour schemes", 2021. In grey, families are told apart by their lines (learned solid, analog
dashed, digital dotted, over fading with long dashes, references thin) and members of a family by their markers.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.colors import to_hex

from jscc.baselines.curves import BRIEF, LABELS
from jscc.limits import FAMILIES
from services.orchestrator.report.series import all_series
from services.orchestrator.results.rows import MethodInfo
from services.orchestrator.results.store import Results

LineStyle = str | tuple[int, tuple[float, ...]]


class Family(Enum):
    """What kind of transmission a curve shows; the value is its line style."""

    LEARNED = "-"
    ANALOG = (0, (4.5, 1.5))
    DIGITAL = (0, (1, 1.2))
    FIXED = (0, (3, 1.2, 1, 1.2))
    """Digital too, but at one rate."""
    FADING = (0, (5, 1.8))
    """Digital with an ideal code, over fading."""
    REFERENCE = (0, ())


class Style(NamedTuple):
    """How a curve is drawn: colour, marker and line as matplotlib takes them; the line is the family's unless given.

    What stands beside a line is brief, and the label unless given.
    """

    label: str
    family: Family
    color: str
    marker: str
    line: LineStyle | None = None
    brief: str = ""

    @property
    def beside(self) -> str:
        """What stands beside the line."""
        return self.brief or self.label

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
_CURVES: Mapping[str, tuple[Family, str, str, LineStyle | None]] = {
    "jpeg_adaptive": (Family.DIGITAL, "#009E73", "<", None),
    "webp_adaptive": (Family.DIGITAL, "#332288", ">", None),
    "avif_adaptive": (Family.DIGITAL, "#882255", "p", None),
    "hevc_adaptive": (Family.DIGITAL, "#EE7733", "s", None),
    "vvc_adaptive": (Family.DIGITAL, "#CC3311", "o", None),
    "jpeg_half_adaptive": (Family.DIGITAL, "#44BB99", "v", None),
    "webp_half_adaptive": (Family.DIGITAL, "#88CCEE", "^", None),
    "avif_half_adaptive": (Family.DIGITAL, "#AA7744", "D", None),
    "jpeg_420_adaptive": (Family.DIGITAL, "#225522", "P", None),
    "avif_420_adaptive": (Family.DIGITAL, "#CC6677", "*", None),
    "jpeg_fixed": (Family.FIXED, "#009E73", "1", None),
    "webp_fixed": (Family.FIXED, "#332288", "2", None),
    "jpeg_420_fixed": (Family.FIXED, "#225522", "4", None),
    "avif_single_rate": (Family.FADING, "#882255", "", None),
    "avif_two_layer": (Family.FADING, "#CC6677", "", (0, (7, 1.8))),
    "avif_csit": (Family.FADING, "#777777", "", (0, (2.5, 1.5))),
    "avif_ergodic": (Family.FADING, "#AA7744", "", (0, (9, 1.5))),
    "jpeg_single_rate": (Family.FADING, "#225522", ".", None),
    "jpeg_two_layer": (Family.FADING, "#44BB99", ".", (0, (7, 1.8))),
    "jpeg_csit": (Family.FADING, "#AAAAAA", ".", (0, (2.5, 1.5))),
    "jpeg_ergodic": (Family.FADING, "#999933", ".", (0, (9, 1.5))),
    "gaussian_variance": (Family.REFERENCE, _GREY, "", (0, (1, 1))),
    "gaussian_spectrum": (Family.REFERENCE, _GREY, "", None),
}
_FIXED_MARKER = "3"
_FAMILIES = dict(zip(FAMILIES, (Family.LEARNED, Family.ANALOG, Family.DIGITAL), strict=True))
_COLOURS = {
    Family.LEARNED: ("#0072B2", "#56B4E9", "#117733", "#D55E00", "#E69F00", "#AA4499", "#999933", "#661100", "#44AA99"),
    Family.ANALOG: ("#CC79A7", "#661100", "#6699CC", "#999933", "#AA4499"),
    Family.DIGITAL: ("#000000", "#AA4499", "#999933", "#44AA99", "#661100"),
}
_MARKERS = {
    Family.LEARNED: ("o", "^", "v", "s", "D", "h", "d", "8", "H", "4"),
    Family.ANALOG: ("P", "*", "h", "d", "8", "H", "4"),
    Family.DIGITAL: ("X", "d", "h", "8", "H", "4", "+"),
}
"""By the place of a method among those of its family; the numbers of colours and of markers have no common factor, so
that their pairs repeat late. None is that of a reference in a line of the same kind."""


class Styles:
    """The styles of a run: each method and reference has one of its own in every figure.

    What a method is called and its family are what its card said when it was swept. One without a label goes by its
    name; without a family it is learned if it has parameters, and analog if it has none.
    """

    def __init__(self, results: Results) -> None:
        """Give the methods of each family their colours and markers in alphabetical order."""
        self._styles = {name: Style(LABELS[name], *look, BRIEF[name]) for name, look in _CURVES.items()}
        methods = {item.variant: item.method for item in all_series(results.rows)}
        of_family: dict[Family, list[str]] = {family: [] for family in _FAMILIES.values()}
        for variant in sorted(methods):
            of_family[_family(results.methods.get(methods[variant]))].append(variant)
        for family, variants in of_family.items():
            for slot, variant in enumerate(variants):
                info = results.methods.get(methods[variant])
                label = (info.label if info else "") or methods[variant]
                self._styles[variant] = _style(label + variant.removeprefix(methods[variant]), family, slot)

    def of(self, name: str) -> Style:
        """The style of a series' variant or of a reference's curve, which may have been told something wrong."""
        curve, _, told = name.partition(" (")
        if name in self._styles or curve not in _CURVES:
            return self._styles[name]
        style = self._styles[curve]
        return style._replace(label=f"{style.label} ({told}", brief=f"{style.brief} ({told}")

    def fixed_rate(self, name: str, scheme: str) -> Style:
        """The style of a digital method that is held at one rate by a scheme."""
        label = f"{self.of(name).label}, fixed rate ({scheme})"
        brief = f"{self.of(name).beside} ({scheme})"
        return self.of(name)._replace(label=label, family=Family.FIXED, marker=_FIXED_MARKER, brief=brief)

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Names as a legend lists them: by family, methods before curves, methods by name."""
        families, curves = list(Family), list(LABELS)

        def place(name: str) -> tuple[int, int, str]:
            curve = name.partition(" (")[0]
            return families.index(self.of(name).family), curves.index(curve) if curve in curves else -1, name

        return sorted(names, key=place)


def _family(info: MethodInfo | None) -> Family:
    if info is None:
        return Family.LEARNED
    return _FAMILIES.get(info.family, Family.LEARNED if info.parameters else Family.ANALOG)


def _style(label: str, family: Family, slot: int) -> Style:
    colours, markers = _COLOURS[family], _MARKERS[family]
    return Style(label, family, colours[slot % len(colours)], markers[slot % len(markers)])


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
