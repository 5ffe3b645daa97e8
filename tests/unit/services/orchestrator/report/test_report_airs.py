"""A report of several airs: no table mixes them, the first has tables and figures, the others a section each."""

import csv
from dataclasses import replace
from typing import Any

import factories
import pytest

from jscc.air import AWGN, AirSpec
from jscc.grid import Grid
from jscc.options import ChosenOptions
from services.orchestrator.cli import terminal
from services.orchestrator.link.airs import airs_of
from services.orchestrator.report import airs, summary
from services.orchestrator.report.statistics_csv import statistics_csv
from services.orchestrator.results.rows import Picture, Reference, Row, air_fields
from services.orchestrator.results.store import Results

(PILOTS,) = airs_of(["rayleigh"])
GENIE = AirSpec("rayleigh", grid=Grid("block"), csi="perfect")
CLIPPED = AirSpec("awgn", ChosenOptions({"papr_db": 8.0}))
QUALITY = {("a", 0): 20.0, ("a", 1): 30.0, ("b", 0): 22.0, ("b", 1): 40.0}


def sent(air: AirSpec, image: str, draw: int, psnr_db: float, **changes: Any) -> Row:
    return factories.row(image=image, draw=draw, psnr_db=psnr_db, **{**air_fields(air), **changes})


def over(air: AirSpec, **changes: Any) -> list[Row]:
    return [sent(air, image, draw, psnr_db, **changes) for (image, draw), psnr_db in QUALITY.items()]


def line_of(text: str, title: str, method: str) -> list[str]:
    own = text[text.index(f"## {title}\n") + 3 :]
    own = own[: own.find("\n## ")]
    (line,) = (line for line in own.splitlines() if line.startswith(f"| {method} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_section_says_how_quality_scatters() -> None:
    """Images 25 and 31: 28 ± 3. Of 20, 22, 30, 40: the 5th and 95th are 0.15 steps from the ends; two are below 24."""
    faded = over(PILOTS, channel_uses=1200, pilot_uses=12)
    faded[0] = replace(faded[0], lost="header")
    text = summary.write(Results(rows=[*over(AWGN), *faded]), [])
    cells = [
        "deepjscc",
        "0.2500",
        "1.00 %",
        "0",
        "2",
        "2",
        "28.00 ± 3.00",
        "20.30",
        "26.00",
        "38.50",
        "50.0 %",
        "25.0 %",
    ]
    assert line_of(text, "Over rayleigh", "deepjscc") == cells
    assert "4 transmissions; gains estimated from pilots. Pilots are in rho." in text
    assert "Over awgn" not in text
    alone = summary.write(Results(rows=over(GENIE)), [])
    assert line_of(alone, "Over rayleigh:csi=perfect", "deepjscc")[6] == "28.00 ± 3.00"
    assert "4 transmissions; gains told by a genie." in alone
    assert "## Over" not in summary.write(Results(rows=over(AWGN)), [])


def test_no_table_mixes_airs() -> None:
    rows = [*over(AWGN), *(replace(row, psnr_db=0.0) for air in (PILOTS, GENIE, CLIPPED) for row in over(air))]
    text = summary.write(Results(rows=rows), [])
    assert line_of(text[: text.index("| SSIM")], "Quality", "deepjscc")[2] == "28.00 ± 3.00"
    titles = [line for line in text.splitlines() if line.startswith("## Over ")]
    assert titles == ["## Over awgn:papr_db=8.0", "## Over rayleigh", "## Over rayleigh:csi=perfect"]
    table = terminal.sweep_table(Results(rows=rows))
    names = ["awgn", "awgn:papr_db=8.0", "rayleigh", "rayleigh:csi=perfect"]
    assert sorted(table.columns[0].cells) == [f"deepjscc ({name})" for name in names]


def test_the_first_air_is_that_of_the_last_command() -> None:
    rows = [*over(AWGN), *over(PILOTS), *over(GENIE)]
    for asked, expected in (
        ([], [AWGN, PILOTS, GENIE]),
        (["rayleigh:csi=perfect", "awgn"], [GENIE, AWGN, PILOTS]),
        (["noiseless", "rayleigh"], [PILOTS, AWGN, GENIE]),
    ):
        assert [air for air, _ in airs.parts(Results(rows=rows, settings={"channels": asked}))] == expected
    assert airs.parts(Results()) == [(AWGN, Results())]


def test_references_and_pictures_stay_with_their_air() -> None:
    """References are of white noise."""
    reference = factories.reference()
    first, other = over(AWGN)[0], over(PILOTS)[0]
    pictures = [Picture(of, b"") for of in (first.image_key, first.key, other.key, reference.key)]
    results = Results([*over(AWGN), *over(PILOTS)], [reference], {}, pictures)
    (_, white), (_, faded) = airs.parts(results)
    assert (white.references, white.pictures) == ([reference], [pictures[0], pictures[1], pictures[3]])
    assert (list(faded.references), faded.pictures) == ([], [pictures[0], pictures[2]])


def test_statistics_are_of_each_air_and_compare_where_there_is_something() -> None:
    other = [replace(row, method="other", psnr_db=(row.psnr_db or 0) - 1) for row in over(PILOTS)]
    results = Results(rows=[*over(AWGN), *over(PILOTS), *other], settings={"against": "other"})
    lines = [line for line in csv.DictReader(statistics_csv(results).splitlines()) if line["metric"] == "psnr_db"]
    found = {(line["series"], line["air"]): (line["mean"], line["against"], line["difference"]) for line in lines}
    assert found == {
        ("deepjscc", "awgn"): ("28", "", ""),
        ("deepjscc", "rayleigh"): ("28", "other", "1"),
        ("other", "rayleigh"): ("27", "", ""),
    }
    with pytest.raises(ValueError, match=r"^against: 'nothing' is not in this run"):
        statistics_csv(replace(results, settings={"against": "nothing"}))


def line(curve: str, image: str, draw: int, psnr_db: float, **changes: Any) -> Reference:
    values = {"ssim": None, "ms_ssim": None, "lpips": None, "channel": "rayleigh", **changes}
    return factories.reference(curve=curve, image=image, draw=draw, psnr_db=psnr_db, **values)


def lines_over() -> list[Reference]:
    """One rate: 10 or 28 dB; two layers: 3 dB below the methods of image a, 1 dB of b."""
    arrives = {("a", 0): False, ("a", 1): True, ("b", 0): False, ("b", 1): True}
    single = [
        line("avif_single_rate", *at, 28.0 if delivered else 10.0, delivered=delivered)
        for at, delivered in arrives.items()
    ]
    apart_db = {"a": 3.0, "b": 1.0}
    two = [line("avif_two_layer", *at, psnr_db - apart_db[at[0]]) for at, psnr_db in QUALITY.items()]
    weaker = [line("jpeg_single_rate", *at, 5.0) for at in QUALITY]
    return [*single, *two, *weaker]


def test_lines_over_fading_stand_beside_methods_with_paired_differences() -> None:
    """Methods 25 and 31, one rate 19 and 19, two layers 22 and 30: 9 ± 3 and 2 ± 1 more; t is 12.706 for two images."""
    other = [line("avif_single_rate", *at, 99.0, channel_options=ChosenOptions({"coherence": 8})) for at in QUALITY]
    results = Results(rows=[*over(AWGN), *over(PILOTS)], references=[factories.reference(), *lines_over(), *other])
    text = summary.write(results, [])
    found = line_of(text, "Over rayleigh", "avif_single_rate")
    assert found[2:7] == ["–", "0", "2", "2", "19.00 ± 0.00"]  # noqa: RUF001
    assert found[-2:] == ["50.0 %", "50.0 %"]
    own = text[text.index("## Over rayleigh") :]
    differences = [part for part in own.splitlines() if part.startswith("| deepjscc ")][1:3]
    cells = [[cell.strip() for cell in part.strip("|").split("|")] for part in differences]
    assert cells[0][1:] == ["avif_single_rate", "0.2500", "2", "+9.00 (-29.12 to +47.12)"]
    assert cells[1][1:] == ["avif_two_layer", "0.2500", "2", "+2.00 (-10.71 to +14.71)"]
    assert "avif_single_rate" not in text[: text.index("## Over rayleigh")]


def test_statistics_have_scatter_and_differences_from_the_lines_of_air_that_fades_alone() -> None:
    results = Results(rows=[*over(AWGN), *over(PILOTS)], references=lines_over())
    found = [item for item in csv.DictReader(statistics_csv(results).splitlines()) if item["metric"] == "psnr_db"]
    white, faded = (item for item in found if item["series"] == "deepjscc")
    assert (white["air"], white["percentile_50"], white["less_single_rate"]) == ("awgn", "", "")
    ends = [faded[f"percentile_{at}"] for at in (5, 50, 95)]
    assert ends == ["20.3", "26", "38.5"]
    assert (faded["below_24_db"], faded["transmissions"]) == ("2", "4")
    assert (faded["less_single_rate"], faded["less_two_layer"]) == ("9", "2")
    assert [float(faded[f"less_two_layer_{end}_95"]) for end in ("low", "high")] == pytest.approx(
        [-10.706, 14.706], abs=1e-3
    )
    (single,) = (item for item in found if item["series"] == "avif_single_rate")
    assert (single["mean"], single["lost"], single["sent"], single["less_two_layer"]) == ("19", "2", "4", "")


def test_a_method_is_compared_with_the_line_that_was_told_the_same() -> None:
    bold = {"snr_db": 0.0, "told_snr_db": 3.0}
    rows = [*over(PILOTS), *over(PILOTS, **bold)]
    lines = [*lines_over(), *(line("avif_single_rate", *at, 12.0, told_above_db=3.0) for at in QUALITY)]
    found = csv.DictReader(statistics_csv(Results(rows=rows, references=lines)).splitlines())
    less = {item["series"]: item["less_single_rate"] for item in found if item["metric"] == "psnr_db"}
    assert (less["deepjscc"], less["deepjscc (told 3 dB)"]) == ("9", "16")
    assert "avif_single_rate (told 3 dB)" in less
