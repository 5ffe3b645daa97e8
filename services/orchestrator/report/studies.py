"""Studies: how quality and time follow one decode option, such as the number of iterations."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from jscc.options import ChosenOptions
from services.orchestrator.report.series import Image, all_series, hop_times_ms, image_mean, image_of
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import Results


@dataclass(frozen=True)
class OptionStudy:
    """The transmissions of one method that differ in one option, all over the same images and draws.

    Attributes:
        variant: the method, as a report shows it.
        option: name of the option.
        default: its default value; None if the database does not say.
        points: rows by SNR in dB and value of the option, in ascending order; the default is one of the values.
    """

    variant: str
    option: str
    default: float | None
    points: Mapping[float, Mapping[float, Sequence[Row]]]

    @property
    def images(self) -> frozenset[Image]:
        """The images of every point."""
        return frozenset(image_of(row) for at in self.points.values() for rows in at.values() for row in rows)

    def means(self, snr_db: float, metric: str) -> dict[float, float]:
        """Finite means of a quality column over the images, by value of the option."""
        found = {value: image_mean(rows, metric) for value, rows in self.points[snr_db].items()}
        return {value: item.mean for value, item in found.items() if item and math.isfinite(item.mean)}

    def decoder_ms(self, snr_db: float) -> dict[float, float]:
        """Median milliseconds that the decoder computed, by value of the option; without warm-up."""
        times = {value: hop_times_ms(rows, "decoder")["compute"] for value, rows in self.points[snr_db].items()}
        return {value: float(np.median(found)) for value, found in times.items() if found}


def studied(rows: Sequence[Row]) -> list[str]:
    """Options that alone differ from the defaults in some transmission, by name."""
    found = [tuple(options) for options in {row.options for row in rows}]
    return sorted({names[0] for names in found if len(names) == 1})


def studies(results: Results, option: str) -> list[OptionStudy]:
    """Every study of an option that has two values or more, in the order of the rows."""
    chosen: dict[str, dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
    defaults: dict[str, tuple[float | None, Sequence[Row]]] = {}
    for series in all_series(results.rows):
        if not series.options:
            defaults[series.variant] = (_default(results, series.method, option), series.rows)
        elif (value := _chosen(series.options, option)) is not None:
            chosen[series.variant][value] += series.rows
    found = []
    for variant, values in chosen.items():
        default, rows = defaults.get(variant, (None, ()))
        points = _common(values)
        if default is not None:
            _add(points, default, rows)
        several = {snr_db: dict(sorted(at.items())) for snr_db, at in points.items() if len(at) > 1}
        if several:
            found.append(OptionStudy(variant, option, default, several))
    return found


def _default(results: Results, method: str, option: str) -> float | None:
    """The default of an option that is a positive number; where it is 0, for all, the number of learned values."""
    info = results.methods.get(method)
    value = info.options.get(option) if info else None
    if not _is_number(value):
        return None
    if info and value == 0:
        value = max(map(len, info.learned.values()), default=0)
    return float(value) if value > 0 else None


def _chosen(options: ChosenOptions, name: str) -> float | None:
    """The value of an option, if it is a number and the only option there."""
    value = options[name] if set(options) == {name} else None
    return float(value) if _is_number(value) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _common(values: Mapping[float, Sequence[Row]]) -> dict[float, dict[float, list[Row]]]:
    """Sort rows by SNR and value, as far as all of these have the same images and draws."""
    points: dict[float, dict[float, list[Row]]] = defaultdict(dict)
    for value, rows in values.items():
        for row in rows:
            points[row.snr_db].setdefault(value, []).append(row)
    common = set.intersection(*(_sent(rows) for at in points.values() for rows in at.values()))
    if not common:
        return {}
    return {
        snr_db: {value: [row for row in rows if _sent([row]) <= common] for value, rows in at.items()}
        for snr_db, at in sorted(points.items())
    }


def _add(points: dict[float, dict[float, list[Row]]], default: float, rows: Sequence[Row]) -> None:
    """Add the default's rows at the SNRs of a study, where they have all its images and draws."""
    for snr_db, at in points.items():
        wanted = _sent(next(iter(at.values())))
        own = [row for row in rows if row.snr_db == snr_db and _sent([row]) <= wanted]
        if default not in at and _sent(own) == wanted:
            at[default] = own


def _sent(rows: Sequence[Row]) -> set[tuple[Image, int]]:
    return {(image_of(row), row.draw) for row in rows}
