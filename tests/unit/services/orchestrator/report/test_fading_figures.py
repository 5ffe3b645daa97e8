"""Figures of air that fades show what numbers made by hand say: lines, shares, pilots, told against true SNR."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import factories
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from jscc.air import AWGN, AirSpec
from jscc.grid import Grid
from jscc.options import ChosenOptions
from services.orchestrator.report.figures import FIGURES, canvas
from services.orchestrator.report.figures.canvas import NoDataError, spread
from services.orchestrator.report.figures.tradeoff import log_ticks
from services.orchestrator.results.rows import MethodInfo, Reference, Row, air_fields
from services.orchestrator.results.store import Results

IMAGES, DRAWS = ("kodak/kodim01", "kodak/kodim13"), range(4)
SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
POWER_GAINS = (-np.log(1 - (np.arange(4) + 0.5) / 4)).tolist()
"""Even quantiles of a Rayleigh gain, one for each draw."""
STILL = AirSpec("rayleigh", grid=Grid("block", pilots=32), csi="pilots")
PILOTS = {pilots: AirSpec("rayleigh", grid=Grid("block", pilots=pilots), csi="pilots") for pilots in (8, 32, 128)}
GENIE = AirSpec("rayleigh", grid=Grid("block"), csi="perfect")
FAST = AirSpec("rayleigh", ChosenOptions({"coherence": 1}), Grid("fast", 1), "perfect")
AT_ZERO_DB = {"softcast": 25.5, "deepjscc": 26.4, "kltjscc": 27.0, "digital": 22.0}
CARDS = {
    "softcast": ("SoftCast", "analog"),
    "deepjscc": ("DeepJSCC", "learned"),
    "kltjscc": ("KLT-JSCC", "learned"),
    "digital": ("Digital, real code", "digital"),
}
LINES = {"single_rate": 22.0, "two_layer": 23.0, "csit": 28.0}
USES = 1000


def psnr_db(at_zero_db: float, snr_db: float, gain: float) -> float:
    """0.6 dB for each dB of the SNR that the gain leaves."""
    return float(at_zero_db + 0.6 * (snr_db + 10 * np.log10(gain)))


def over(air: AirSpec, extra_db: float = 0.0, **changes: Any) -> Iterator[Row]:
    for method, at_zero_db in AT_ZERO_DB.items():
        for at, image in enumerate(IMAGES):
            for snr_db in SNRS_DB:
                for draw in DRAWS:
                    gain = 1.0 if air.options else POWER_GAINS[draw]
                    value = {"psnr_db": psnr_db(at_zero_db + extra_db + 2 * at - 1, snr_db, gain), "draw": draw}
                    known = {"method": method, "image": image, "snr_db": snr_db, "channel_uses": USES, "rho": 0.25}
                    yield factories.row(**{**air_fields(air), **known, "told_snr_db": snr_db, **value, **changes})


def told(air: AirSpec = AWGN) -> Iterator[Row]:
    """Of two methods, of which every dB that was told too much or too little costs half a dB."""
    for row in over(air):
        if row.method in ("softcast", "deepjscc") and row.draw == 0:
            for told_db in (0.0, 5.0, 10.0, 15.0):
                lost_db = abs(told_db - row.snr_db) / 2
                yield replace(row, told_snr_db=told_db, psnr_db=(row.psnr_db or 0) - lost_db)


def lines() -> Iterator[Reference]:
    fast = {"channel_options": FAST.options}
    for at, image in enumerate(IMAGES):
        for snr_db in SNRS_DB:
            known = {"image": image, "snr_db": snr_db, "channel": "rayleigh"}
            for draw, gain in enumerate(POWER_GAINS):
                for name, at_zero_db in LINES.items():
                    value_db = psnr_db(at_zero_db + 2 * at - 1, snr_db, gain if name == "csit" else 1.0)
                    lost = gain < 0.2 and name != "csit"
                    shown = {"psnr_db": 12.0 if lost else value_db, "delivered": not lost, "draw": draw}
                    yield factories.reference(curve=f"avif_{name}", **known, **shown)
            ergodic_db = psnr_db(29.0 + 2 * at - 1, snr_db, 1.0)
            yield factories.reference(curve="avif_ergodic", psnr_db=ergodic_db, **known, **fast)


def methods() -> dict[str, MethodInfo]:
    cards = ((name, label, family) for name, (label, family) in CARDS.items())
    return {name: factories.method_info(name=name, label=label, family=family) for name, label, family in cards}


def faded() -> Results:
    """Over one gain per image with three counts of pilots and a genie, and over fast fading."""
    rows = [*over(STILL), *over(PILOTS[8], -1.0), *over(PILOTS[128], -0.5), *over(GENIE, 0.25), *over(FAST)]
    counts = {8: 8, 32: 32, 128: 128}
    rows = [replace(row, pilot_uses=counts.get(row.pilots, 0)) for row in rows]
    settings = {"channels": [str(air) for air in (STILL, PILOTS[8], PILOTS[128], GENIE, FAST)]}
    return Results(rows, list(lines()), methods(), settings=settings)


@pytest.fixture(scope="module")
def made() -> Results:
    return faded()


def drawn(name: str, results: Results) -> Figure:
    with canvas.print_style():
        figure = FIGURES[name].draw(results)
        figure.draw_without_rendering()
    return figure


def points_of(axes: Axes, label: str) -> dict[float, float]:
    (found,) = (line for line in axes.get_lines() if line.get_label() == label)
    return dict(zip(map(float, found.get_xdata()), map(float, found.get_ydata()), strict=True))


def beside(axes: Axes) -> list[str]:
    return [" ".join(text.get_text().split()) for text in axes.texts]


def test_each_kind_of_fading_has_a_panel_with_its_lines(made: Results) -> None:
    """Means over two images at ±1 dB and four gains; the first air of each kind is drawn."""
    still, fast = drawn("fading_psnr", made).axes
    assert sorted(beside(still)) == sorted(
        [
            "SoftCast",
            "DeepJSCC",
            "KLT-JSCC",
            "Digital, real code",
            "AVIF, one rate",
            "AVIF, two layers",
            "AVIF, feedback",
        ]
    )
    assert "AVIF, ergodic" in beside(fast)
    assert not {"AVIF, one rate", "AVIF, feedback"} & set(beside(fast))
    faded_db = float(np.mean([6 * np.log10(gain) for gain in POWER_GAINS]))
    assert points_of(still, "KLT-JSCC") == pytest.approx({at: 27.0 + 0.6 * at + faded_db for at in SNRS_DB})
    assert points_of(fast, "KLT-JSCC") == pytest.approx({at: 27.0 + 0.6 * at for at in SNRS_DB})
    single = points_of(still, "AVIF + ideal code, best single rate")
    assert single == pytest.approx({at: (3 * (22.0 + 0.6 * at) + 12.0) / 4 for at in SNRS_DB})
    assert still.get_title().startswith("One gain per image (rayleigh), ")
    assert still.get_title().endswith("\nkodak, 2 images x 4 draws, gains estimated from pilots")
    assert fast.get_title().startswith("Fast fading (rayleigh, coherence=1), ")
    assert fast.get_title().endswith("gains told by a genie")


def test_colours_are_those_of_the_other_figures(made: Results) -> None:
    white = replace(made, rows=list(over(AWGN)), references=[], settings={})
    colours = {}
    for name, results in (("fading_psnr", made), ("psnr_vs_snr_all_methods", white)):
        found = drawn(name, results).axes[0].get_lines()
        colours[name] = {line.get_label(): line.get_color() for line in found}
    assert colours["psnr_vs_snr_all_methods"].items() <= colours["fading_psnr"].items()


def test_a_wrong_snr_that_was_told_is_no_curve_of_fading(made: Results) -> None:
    wrong = [replace(row, told_snr_db=row.snr_db + 3, psnr_db=1.0) for row in over(STILL)]
    bold = [item._replace(told_above_db=3.0, psnr_db=1.0) for item in lines()]
    mixed = replace(made, rows=[*made.rows, *wrong], references=[*made.references, *bold])
    (expected, _), (still, _) = (drawn("fading_psnr", results).axes for results in (made, mixed))
    assert sorted(beside(still)) == sorted(beside(expected))
    assert points_of(still, "KLT-JSCC") == points_of(expected, "KLT-JSCC")


def test_lines_of_another_rate_are_drawn_and_say_so(made: Results) -> None:
    """Small images' headers make the methods' rate 4 % more than that of the lines."""
    small = replace(made, rows=[replace(row, rho=0.26) for row in made.rows])
    still, fast = drawn("fading_psnr", small).axes
    assert "AVIF, one rate" in beside(still)
    assert fast.get_xlabel().endswith("gains known, $\\rho$ = 0.25")
    assert drawn("fading_psnr", made).axes[1].get_xlabel().endswith("gains known")


def test_the_distribution_is_of_images_and_draws_at_10_db(made: Results) -> None:
    axes = drawn("fading_distribution", made).axes[0]
    values_db = sorted(psnr_db(27.0 + shift, 10.0, gain) for shift in (-1, 1) for gain in POWER_GAINS)
    (line,) = (line for line in axes.get_lines() if line.get_color() == methods_colour(made, "KLT-JSCC"))
    assert list(line.get_xdata()) == pytest.approx([values_db[0], *values_db])
    assert list(line.get_ydata()) == pytest.approx([12.5 * at for at in range(9)])
    assert "10 dB mean SNR" in axes.get_xlabel()
    near = replace(made, rows=[row for row in made.rows if row.snr_db != 10.0])
    assert "5 dB mean SNR" in drawn("fading_distribution", near).axes[0].get_xlabel()


def methods_colour(results: Results, label: str) -> Any:
    axes = drawn("fading_psnr", results).axes[0]
    return next(line.get_color() for line in axes.get_lines() if line.get_label() == label)


def test_pilots_are_shares_of_the_channel_uses_beside_a_genie(made: Results) -> None:
    axes = drawn("pilots", made).axes[0]
    faded_db = float(np.mean([6 * np.log10(gain) for gain in POWER_GAINS]))
    expected = {0.8: -1.0, 3.2: 0.0, 12.8: -0.5}
    assert points_of(axes, "KLT-JSCC") == pytest.approx(
        {share: 33.0 + faded_db + extra_db for share, extra_db in expected.items()}
    )
    assert {"KLT-JSCC", "KLT-JSCC, genie"} <= set(beside(axes))
    levels = [float(line.get_ydata()[0]) for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    assert any(level == pytest.approx(33.25 + faded_db) for level in levels)


def test_blocks_of_pilots_are_told_apart() -> None:
    """Of one channel, the receiver takes blocks of 64 or of 128 symbols for constant."""
    options = ChosenOptions({"coherence": 128})
    airs = [
        AirSpec("rayleigh", options, Grid("fast", block, pilots), "pilots") for block in (64, 128) for pilots in (2, 4)
    ]
    rows = [replace(row, pilot_uses=USES * row.pilots / row.block) for air in airs for row in over(air)]
    axes = drawn("pilots", Results(rows, methods=methods())).axes[0]
    assert {"SoftCast, block 64", "SoftCast, block 128"} <= set(beside(axes))


def test_pilots_of_one_count_are_no_figure(made: Results) -> None:
    one = replace(made, rows=[row for row in made.rows if row.pilots in (0, 32)])
    with pytest.raises(NoDataError, match="differ in nothing but pilots"):
        drawn("pilots", one)


def test_told_against_true_snr_has_a_panel_for_each_link() -> None:
    """A curve for each SNR that was told; where it was the truth, one across them."""
    figure = drawn("told", Results(list(told()), methods=methods()))
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert sorted(panels) == ["DeepJSCC", "SoftCast"]
    assert sorted(beside(panels["SoftCast"]), key=float) == ["0", "5", "10", "15"]
    expected = {at: 25.5 - 2.0 + 2.0 + 0.6 * at + gain_db() - abs(5.0 - at) / 2 for at in SNRS_DB}
    assert points_of(panels["SoftCast"], "5 dB") == pytest.approx(expected)
    right = [line for line in panels["SoftCast"].get_lines() if list(line.get_xdata()) == [0.0, 5.0, 10.0, 15.0]]
    assert list(right[0].get_ydata()) == pytest.approx([25.5 + 0.6 * at + gain_db() for at in (0.0, 5.0, 10.0, 15.0)])


def gain_db() -> float:
    """What the first draw's gain does to PSNR."""
    return float(6 * np.log10(POWER_GAINS[0]))


def test_told_and_truth_are_over_the_same_draws() -> None:
    """The truth was sent with four draws, the told value with the first alone."""
    rows = [*over(STILL), *(replace(row, told_snr_db=5.0, psnr_db=20.0) for row in over(STILL) if row.draw == 0)]
    axes = {axes.get_title(): axes for axes in drawn("told", Results(rows, methods=methods())).axes}["SoftCast"]
    truth = next(line for line in axes.get_lines() if line.get_marker() in ("None", ""))
    assert list(truth.get_ydata())[-1] == pytest.approx(psnr_db(25.5, 20.0, POWER_GAINS[0]))


def test_many_told_values_are_thinned_to_those_that_are_usual() -> None:
    rows = [
        replace(row, told_snr_db=row.snr_db + above_db)
        for row in over(AWGN)
        for above_db in (-10.0, -5.0, 0.0, 5.0, 10.0)
    ]
    axes = drawn("told", Results(rows, methods=methods())).axes[0]
    assert sorted(beside(axes), key=float) == ["0", "5", "10", "15"]


def test_a_digital_line_that_was_told_is_a_panel_too() -> None:
    rows = [replace(row, told_snr_db=10.0) for row in over(STILL)]
    fixed = [item._replace(told_above_db=10.0 - item.snr_db) for item in lines() if item.curve == "avif_single_rate"]
    titles = [axes.get_title() for axes in drawn("told", Results(rows, fixed, methods())).axes]
    assert "AVIF, one rate" in titles


def test_nothing_told_wrong_is_no_figure(made: Results) -> None:
    with pytest.raises(NoDataError, match="told one SNR"):
        drawn("told", made)


def test_labels_stand_apart_and_near_what_they_name() -> None:
    """Pairs too near move apart by the same amount; what has room stays; nothing leaves 0..1."""
    assert spread([0.1, 0.9], [0.1, 0.1]) == pytest.approx([0.1, 0.9])
    assert spread([0.5, 0.5], [0.2, 0.2]) == pytest.approx([0.4, 0.6])
    assert spread([0.0, 0.0], [0.2, 0.4]) == pytest.approx([0.1, 0.4])
    assert spread([1.0, 1.0], [0.2, 0.2]) == pytest.approx([0.7, 0.9])
    assert spread([], []) == []


@pytest.mark.parametrize("name", ["fading_psnr", "pilots"])
def test_labels_do_not_overlap(name: str, made: Results) -> None:
    for axes in drawn(name, made).axes:
        boxes = sorted((Text.get_window_extent(text) for text in axes.texts), key=lambda box: box.y0)
        assert len(boxes) > 4
        for below, above in pairwise(boxes):
            assert above.y0 >= below.y1 - 0.15 * below.height


@pytest.mark.parametrize(("low", "high"), [(300.0, 36_000.0), (40.0, 90.0), (9.0, 2e6), (0.5, 3.0)])
def test_ticks_of_times_are_few_and_round(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 4
    assert all(low <= tick <= high for tick in ticks)
