"""The summary of a run: what was sent, how good it arrived, how long it took, what went wrong."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jscc.air import AirSpec
from services.orchestrator.report import air, airs, differences, latency, mismatch, quality
from services.orchestrator.report.markdown import MISSING, count, section, table
from services.orchestrator.report.series import Series, shown_series
from services.orchestrator.results.rows import Event
from services.orchestrator.results.store import Results


def write(results: Results, figures: Sequence[str]) -> str:
    """Return the summary as Markdown.

    Args:
        results: of one run.
        figures: a line of Markdown for every figure.

    Raises:
        ValueError: there is nothing to compare with as the settings want it, see `differences.compared`.
    """
    each = airs.parts(results)
    first = each[0][1]
    sections = [
        _heading(results, each[0][0]),
        _methods(first),
        air.spent(first),
        air.lost(first),
        quality.quality(first),
        quality.each_image(first),
        airs.spread(each),
        differences.differences(first),
        mismatch.mismatch(first),
        quality.gain(first),
        quality.studies(first),
        _learned(results),
        latency.overview(first),
        latency.parts(first),
        latency.message_bytes(first),
        _settings(results.settings),
        _events(results.events),
        section("Figures", "\n".join(figures)),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _heading(results: Results, shown: AirSpec) -> str:
    rows = results.rows
    if not rows:
        return "# Sweep without a finished transmission"
    datasets = ", ".join(sorted({row.dataset for row in rows}))
    images = len({(row.dataset, row.image) for row in rows})
    series = shown_series(rows)
    studied = len(rows) - len({row.key for item in series for row in item.rows})
    of_studies = f", {studied} of them for studies" if studied else ""
    facts = [f"# Sweep over {datasets}: {count(images, 'image')}", ""]
    facts += [f"- {count(len(rows), 'transmission')}{of_studies}"]
    facts += [f"- {count(len(results.references), 'computed reference')}"] if results.references else []
    for item in series:
        first, draws = item.rows[0], count(len({row.draw for row in item.rows}), "noise draw")
        facts.append(f"- {item.name}: channel {first.air}, checkpoint {first.checkpoint or 'none'}, {draws}")
    if any(row.air != shown for row in rows):
        facts.append(f"- tables and figures are of {shown}; a section for each of the others says how PSNR scatters")
    return "\n".join(facts)


def _methods(results: Results) -> str:
    header = ["method", "images", "rho", "channel uses", "header bits", "parameters: transmitter", "receiver", "both"]
    lines = [
        [series.name, str(len(series.images)), *_cost(series), *_parameters(results, series)]
        for series in shown_series(results.rows)
    ]
    note = "Channel uses are real symbols, the header's among them, rho = uses / (3 H W)."
    return section("Methods", table(header, lines), note if lines else "")


def _cost(series: Series) -> list[str]:
    names = ("rho", "channel_uses", "header_bits")
    rho, uses, bits = (np.mean([getattr(row, name) for row in series.rows]) for name in names)
    return [f"{rho:.4f}", f"{uses:.0f}", f"{bits:.0f}"]


def _parameters(results: Results, series: Series) -> list[str]:
    info = results.methods.get(series.method)
    if info is None:
        return [MISSING] * 3
    counts = (info.transmitter_parameters, info.receiver_parameters, info.parameters)
    return [f"{number:,}".replace(",", " ") for number in counts]


def _learned(results: Results) -> str:
    lines = [
        [name, learned, ", ".join(f"{value:.4g}" for value in values)]
        for name, info in results.methods.items()
        for learned, values in info.learned.items()
    ]
    return section("Learned values", table(["method", "name", "values"], lines, right=False))


def _settings(settings: Mapping[str, Any]) -> str:
    lines = [[key, value] for key, value in _flat("", settings)]
    return section("Settings and machine", table(["setting", "value"], lines, right=False))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _events(events: Sequence[Event]) -> str:
    return section("Interruptions", "\n".join(f"- {event.time}: {' '.join(event.text.split())}" for event in events))
