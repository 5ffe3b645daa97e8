"""Paired differences: by how much a method beats or misses a reference on the images and at the SNRs that both have."""

from collections.abc import Sequence

from jscc.baselines.curves import FADING_CODECS, GAUSSIAN, ONE_RATE
from jscc.rates import same_rate
from services.orchestrator.report.intervals import Mean, mean_of
from services.orchestrator.report.markdown import METRICS, interval_text, section, table
from services.orchestrator.report.quality import compared_snrs_db
from services.orchestrator.report.series import (
    Series,
    all_series,
    by_image,
    by_snr,
    drawn_references,
    main_series,
    reference_series,
    shown_series,
)
from services.orchestrator.results.store import Results

AGAINST = (
    *(f"{codec}_{ONE_RATE}" for codec in FADING_CODECS),
    *("vvc_adaptive", "avif_adaptive", "hevc_adaptive", "webp_adaptive", "jpeg_adaptive", "softcast"),
)
"""What is compared with unless a name is given: the first that there is over an air at a method's rate."""
COMPARED = ("psnr_db", "lpips")
"""Metrics whose differences a summary prints; statistics.csv has all."""


def paired(series: Series, other: Series, metric: str, snr_db: float) -> Mean | None:
    """The mean over the images that both have at an SNR of one's metric less the other's; None without any.

    The draws of an image are averaged first, so that what is left is the images' own spread.
    """
    ours, theirs = (by_image(by_snr(item.scored).get(snr_db, ()), metric) for item in (series, other))
    common = [image for image in ours if image in theirs]
    return mean_of([ours[image] - theirs[image] for image in common]) if common else None


def compared(results: Results) -> list[tuple[Series, Series | None]]:
    """Every series of a report beside the one that it is compared with: of its rate, and not itself; None without.

    That is the method or curve that the setting "against" names, else the first of AGAINST.

    Raises:
        ValueError: the run has nothing of the setting's name.
    """
    against = str(results.settings.get("against", ""))
    others = [*main_series(results.rows), *all_series(results.rows), *reference_series(results.references)]
    if against and not any(is_called(item, against) for item in others):
        known = ", ".join(sorted({item.method for item in others})) or "nothing"
        raise ValueError(f"against: {against[:100]!r} is not in this run (known: {known})")
    shown = [*shown_series(results.rows), *drawn_references(results.references)]
    return [(item, _rival(item, others, (against,) if against else AGAINST)) for item in shown]


def _rival(series: Series, others: Sequence[Series], names: Sequence[str]) -> Series | None:
    peers = [other for other in others if same_rate(series.rho, other.rho)]
    found = [other for name in names for test in (_is, is_called) for other in peers if test(other, name)]
    return found[0] if found and found[0].name != series.name else None


def _is(series: Series, name: str) -> bool:
    return series.name == name


def is_called(series: Series, name: str) -> bool:
    """Whether a series is of a name; a method's checkpoints for other rates are named after it, as softcast_0625."""
    return _is(series, name) or f"{series.method}_".startswith(f"{name}_")


def differences(results: Results) -> str:
    """A table per metric of COMPARED, methods and references by SNR.

    Raises:
        ValueError: see `compared`.
    """
    pairs = [(item, rival) for item, rival in compared(results) if rival and not item.variant.startswith(GAUSSIAN)]
    snrs_db = compared_snrs_db([item for item, _ in pairs])
    tables = [difference_table(metric, pairs, snrs_db) for metric in COMPARED]
    note = (
        "Mean difference over the images that both have, with its 95 % interval (Student's t over the images' own"
        " differences, draws averaged first): how sure the sign is for images like these, not for others. Of LPIPS,"
        " less is better."
    )
    return section("Paired differences", *tables, note if any(tables) else "")


def difference_table(metric: str, pairs: Sequence[tuple[Series, Series]], snrs_db: Sequence[float]) -> str:
    """A table of paired differences, a line for each pair and a column for each SNR in dB."""
    heading, digits = METRICS[metric]
    lines = []
    for item, rival in pairs:
        found = [paired(item, rival, metric, snr_db) for snr_db in snrs_db]
        if any(found):
            cells = [interval_text(mean, digits) for mean in found]
            lines.append([item.name, rival.name, f"{item.rho:.4f}", _images(found), *cells])
    return table([f"{heading} less that of", "", "rho", "images", *(f"{snr_db:g} dB" for snr_db in snrs_db)], lines)


def _images(found: Sequence[Mean | None]) -> str:
    counts = sorted({mean.number for mean in found if mean})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
