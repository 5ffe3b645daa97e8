"""Quality of a summary: every metric over SNR, how methods compare at equal rates, and studies of options."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from jscc.baselines.curves import LABELS
from services.orchestrator.report.markdown import (
    METRICS,
    MISSING,
    count,
    difference_text,
    mean_text,
    section,
    share_text,
    table,
)
from services.orchestrator.report.series import (
    Series,
    by_image,
    by_snr,
    drawn_references,
    image_mean,
    incomplete,
    losses,
    reference_series,
    shown_series,
)
from services.orchestrator.report.studies import OptionStudy, studied
from services.orchestrator.report.studies import studies as find_studies
from services.orchestrator.results.store import Results

MOST_IMAGES = 8
"""Of a run whose images are told one by one."""


def quality(results: Results) -> str:
    """A table per metric, methods and references by SNR, and what the means leave out."""
    series = [*shown_series(results.rows), *reference_series(results.references)]
    snrs_db = compared_snrs_db(series)
    tables = [_metric_table(metric, series, snrs_db) for metric in METRICS]
    note = "Mean ± standard error over the images, each with the mean of its draws."
    lost = _lost_table(series, snrs_db)
    return section("Quality", *tables, note if any(tables) else "", *lost, *_left_out(results, series, snrs_db))


def compared_snrs_db(series: Sequence[Series]) -> list[float]:
    """The SNRs in dB at which more than one method was sent, if there is more than one; else every SNR."""
    sent = [{row.snr_db for row in item.rows} for item in series if item.rows]
    if not sent:
        return sorted({scored.snr_db for item in series for scored in item.scored})
    counts = Counter(snr_db for snrs_db in sent for snr_db in snrs_db)
    return sorted(snr_db for snr_db, number in counts.items() if number > 1 or len(sent) == 1)


def _metric_table(metric: str, series: Sequence[Series], snrs_db: Sequence[float]) -> str:
    heading, digits = METRICS[metric]
    lines = []
    for item in series:
        found = {snr_db: image_mean(group, metric) for snr_db, group in by_snr(item.scored).items()}
        if any(found.get(snr_db) for snr_db in snrs_db) or item.rows:
            cells = [mean_text(found.get(snr_db), digits) for snr_db in snrs_db]
            lines.append([item.name, f"{item.rho:.4f}", *cells])
    return table([f"{heading} at SNR", "rho", *(f"{snr_db:g} dB" for snr_db in snrs_db)], lines)


def _left_out(results: Results, series: Sequence[Series], snrs_db: Sequence[float]) -> Iterator[str]:
    for metric, (heading, _) in METRICS.items():
        missing = sum(getattr(row, metric) is None for row in results.rows)
        if missing:
            name, of = heading.removesuffix(" (dB)"), count(len(results.rows), "transmission")
            means = f"its mean leaves them out ({MISSING} where it is all)"
            yield f"{name} was not measured for {missing} of {of}; {means}."
    for item in series:
        if fewer := ", ".join(f"{snr_db:g} dB ({images})" for snr_db, images in incomplete(item).items()):
            yield f"{item.name} has fewer than its {count(len(item.images), 'image')} at {fewer}: in no curve over SNR."
        more = sorted({row.snr_db for row in item.rows}.difference(snrs_db))
        if more:
            yield f"{item.name} alone was sent at {', '.join(f'{snr_db:g}' for snr_db in more)} dB too."
    names = dict.fromkeys(item.method for item in series if not item.rows)
    if names:
        yield f"Computed, not sent: {'; '.join(f'{name} is {LABELS[name]}' for name in names)}."


def _lost_table(series: Sequence[Series], snrs_db: Sequence[float]) -> tuple[str, str]:
    """Count for each reference and SNR the images that no file arrived of, and say how they were scored."""
    lines = []
    for item, lost in ((item, losses(item)) for item in series if not item.rows):
        if any(lost.get(snr_db, (0, 0))[0] for snr_db in snrs_db):
            cells = (share_text(*lost[snr_db]) if snr_db in lost else MISSING for snr_db in snrs_db)
            lines.append([item.name, f"{item.rho:.4f}", *cells])
    note = (
        "Images that the channel could not carry the file of (95 % interval of the probability), scored as their mean"
        " colour, which comes for nothing."
    )
    header = ["images lost at SNR", "rho", *(f"{snr_db:g} dB" for snr_db in snrs_db)]
    return table(header, lines), note if lines else ""


def each_image(results: Results) -> str:
    """PSNR of every image by itself where there are few, so that one that a method cannot send is seen."""
    series = [*shown_series(results.rows), *drawn_references(results.references)]
    images = sorted({image for item in series for image in item.images})
    if not 1 < len(images) <= MOST_IMAGES:
        return ""
    snrs_db, lines = compared_snrs_db(series), []
    for item in series:
        for snr_db, scored in by_snr(item.scored).items():
            values = by_image(scored, "psnr_db")
            if snr_db in snrs_db:
                cells = (f"{values[image]:.2f}" if image in values else MISSING for image in images)
                lines.append([item.name, f"{item.rho:.4f}", f"{snr_db:g} dB", *cells])
    names = (name.rpartition("/")[2] for _, name in images)
    return section("Every image", table(["PSNR (dB)", "rho", "SNR", *names], lines))


def gain(results: Results) -> str:
    """What the SNR does to PSNR, from one end of the sweep to the other."""
    lines = []
    for series in shown_series(results.rows):
        found = {snr_db: image_mean(group, "psnr_db") for snr_db, group in by_snr(series.rows).items()}
        means = {snr_db: value.mean for snr_db, value in found.items() if value}
        if len(means) > 1:
            low, *_, high = means
            rises = "yes" if all(lower < upper for lower, upper in pairwise(means.values())) else "no"
            lines.append([series.name, f"{low:g}", f"{high:g}", difference_text(means[high] - means[low]), rises])
    header = ["method", "lowest SNR (dB)", "highest SNR (dB)", "PSNR gain (dB)", "rises at every step"]
    return section("Gain from the lowest to the highest SNR", table(header, lines))


def studies(results: Results) -> str:
    """Quality and the decoder's median time by the value of an option, all over the same images."""
    header = ["study", "option", "SNR (dB)", "images", *(heading for heading, _ in METRICS.values()), "decoder (ms)"]
    found = [study for option in studied(results.rows) for study in find_studies(results, option)]
    lines = [line for study in found for snr_db in study.points for line in _study_lines(study, snr_db)]
    return section("Studies", table(header, lines), "The option's default is marked *." if lines else "")


def _study_lines(study: OptionStudy, snr_db: float) -> Iterator[list[str]]:
    times_ms = study.decoder_ms(snr_db)
    for value, rows in study.points[snr_db].items():
        option = f"{study.option} = {value:g}{' *' if value == study.default else ''}"
        scores = [mean_text(image_mean(rows, metric), digits) for metric, (_, digits) in METRICS.items()]
        time_text = f"{times_ms[value]:.1f}" if value in times_ms else MISSING
        yield [study.variant, option, f"{snr_db:g}", str(len(study.images)), *scores, time_text]
