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
from services.orchestrator.results.rows import Picture, Row, air_fields
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
