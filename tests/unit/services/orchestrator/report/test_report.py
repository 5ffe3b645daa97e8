"""The report says what the rows say: numbers checked by hand, figures that are not blank."""

import csv
import io
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
from factories import MS
from old_runs import old_run
from PIL import Image

from jscc.options import ChosenOptions
from services.orchestrator.report import markdown, summary
from services.orchestrator.report.statistics_csv import statistics_csv
from services.orchestrator.report.write import write_report
from services.orchestrator.results.rows import MethodInfo, Picture, Reference, Row
from services.orchestrator.results.store import Results, Store, read

HOP, ROW = factories.hop(), factories.row()
HOPS = ROW.hops
PLAIN_FIGURES = [
    "latency_comparison",
    "lpips_vs_snr",
    "ms_ssim_vs_snr",
    "psnr_vs_snr_all_methods",
    "ssim_vs_snr",
    "visual_comparison",
]
"""Those that need neither a study nor references."""
REFERENCE = factories.reference()
INFO = factories.method_info()


def png(level: int) -> bytes:
    pixels = np.random.default_rng(level).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write(folder: Path, rows: Sequence[Row]) -> str:
    """The report of rows, of which those of kodim01 have pictures."""
    with Store(folder / "results.sqlite") as store:
        store.set_setting("seed", 7)
        for at, row in enumerate(rows):
            pictures = [Picture(row.image_key, png(99)), Picture(row.key, png(at))] if row.image == "kodim01" else []
            store.add(row, pictures)
    return write_report(folder)


def tell(rows: Sequence[Row], references: Sequence[Reference] = (), methods: Sequence[MethodInfo] = ()) -> str:
    """The summary without figures, which take their time."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "results.sqlite") as store:
        store.set_setting("seed", 7)
        store.set_setting("machine", {"cpu": "a|b", "cores": 2})
        store.add_event("the decoder\nwent away")
        for row in rows:
            store.add(row)
        for reference in references:
            store.add_reference(reference)
        for info in methods:
            store.set_method(info)
        return summary.write(read(store), ["- a figure"])


def cells(text: str, *start: str) -> list[str]:
    """The cells of the only table line that starts with these."""
    lines = [re.split(r"\s*(?<!\\)\|\s*", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    (line,) = (line for line in lines if line[: len(start)] == list(start))
    return line[len(start) :]


def quality(text: str, method: str = "deepjscc") -> dict[str, list[str]]:
    """A method's means by metric, over SNR."""
    found = {}
    for heading in ("PSNR (dB)", "SSIM", "MS-SSIM", "LPIPS"):
        own = re.search(rf"\| {re.escape(heading)} at SNR .*\n\|.*\n((?:\|.*\n)*)", text)
        found[heading] = cells(own[1] if own else "", method)[1:]
    return found


def lost(text: str, curve: str) -> list[str]:
    """How many images no file arrived of, over SNR."""
    start = text.index("| images lost at SNR")
    return cells(text[start : text.index("\n\n", start)], curve)[1:]


def compared(text: str, method: str, metric: str = "PSNR (dB)") -> list[str]:
    """The reference, its rate, the number of images, and the differences over SNR."""
    start = text.index(f"| {metric} less that of")
    return cells(text[start : text.index("\n\n", start)], method)


def assert_drawn(path: Path) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert (pixels < 128).mean() > 0.002, f"{path.name} is blank"


def test_quality_is_mean_and_standard_error_over_images_of_the_mean_over_draws() -> None:
    # Image 1: draws of 20 and 24 -> 22. Image 2: 28. Mean 25, standard error sqrt((3^2 + 3^2) / 1) / sqrt(2) = 3.
    rows = [
        replace(ROW, draw=0, psnr_db=20.0, ssim=0.5, lpips=0.25),
        replace(ROW, draw=1, psnr_db=24.0, ssim=0.5, lpips=0.25),
        replace(ROW, image="kodim02", psnr_db=28.0, ssim=0.7, lpips=None),
    ]
    text = tell(rows)
    assert text.startswith("# Sweep over kodak: 2 images\n")
    assert quality(text) == {
        "PSNR (dB)": ["25.00 ± 3.00"],
        "SSIM": ["0.600 ± 0.100"],
        "MS-SSIM": ["0.875 ± 0.000"],
        "LPIPS": [f"0.250 ± {markdown.MISSING}"],
    }
    assert "LPIPS was not measured for 1 of 3 transmissions" in text


def test_methods_have_their_costs_and_parameters() -> None:
    text = tell([ROW, replace(ROW, method="other")], methods=[INFO])
    methods = text[text.index("## Methods") : text.index("## What the air is spent on")]
    assert cells(methods, "deepjscc") == ["1", "0.2500", "294912", "25", "7 000", "10 000", "17 000"]
    assert cells(methods, "other")[-3:] == [markdown.MISSING] * 3


def test_learned_values_are_told() -> None:
    text = tell([ROW], methods=[INFO._replace(learned={"step_size": (1.0, 0.8125)})])
    assert cells(text, "deepjscc", "step_size") == ["1, 0.8125"]


def test_differences_are_paired_at_equal_rates_over_the_images_that_both_have() -> None:
    # Differences of 1, 2 and 3 dB: mean 2, standard error 1 / sqrt(3), and t of 2 degrees of freedom is 4.303 (tables):
    # 2 - 2.484 to 2 + 2.484. The fourth image has no file; two draws of the first are averaged before that.
    images = {"kodim01": 26.0, "kodim02": 32.0, "kodim03": 23.0}
    rows = [factories.row(image=name, psnr_db=psnr_db) for name, psnr_db in images.items() if name != "kodim01"]
    rows += [factories.row(image="kodim01", psnr_db=psnr_db, draw=draw) for draw, psnr_db in enumerate((24.0, 28.0))]
    rows += [factories.row(image="kodim04", psnr_db=99.0), factories.row(image="kodim01", snr_db=10.0)]
    rows += [factories.row(method="model_based_12", rho=0.0625)]
    files = {"kodim01": 25.0, "kodim02": 30.0, "kodim03": 20.0}
    references = [REFERENCE._replace(image=name, psnr_db=psnr_db) for name, psnr_db in files.items()]
    text = tell(rows, references)
    assert compared(text, "deepjscc")[:4] == ["jpeg_adaptive", "0.2500", "3", "+2.00 (-0.48 to +4.48)"]
    assert "model_based_12" not in text[text.index("## Paired") : text.index("## Latency")]
    # LPIPS: 0.5 less 0.3 of every image.
    assert compared(text, "deepjscc", "LPIPS")[3] == "+0.200 (+0.200 to +0.200)"


def test_what_is_compared_with_is_the_strongest_reference_unless_it_is_named() -> None:
    avif = REFERENCE._replace(curve="avif_adaptive", psnr_db=28.5)
    rows = [ROW, replace(ROW, method="softcast", psnr_db=24.5)]
    assert compared(tell(rows), "deepjscc") == ["softcast", "0.2500", "1", "+0.50"]
    assert compared(tell(rows, [REFERENCE]), "softcast") == ["jpeg_adaptive", "0.2500", "1", "-2.50"]
    text = tell(rows, [REFERENCE, avif])
    assert compared(text, "deepjscc") == ["avif_adaptive", "0.2500", "1", "-3.50"]
    assert compared(text, "jpeg_adaptive") == ["avif_adaptive", "0.2500", "1", "-1.50"]
    results = Results(rows, [REFERENCE, avif], settings={"against": "softcast"})
    assert compared(summary.write(results, []), "avif_adaptive") == ["softcast", "0.2500", "1", "+4.00"]
    with pytest.raises(ValueError, match=r"^against: 'nobody' is not in this run \(known: avif_adaptive, deepjscc, "):
        summary.write(replace(results, settings={"against": "nobody"}), [])


def test_statistics_are_in_a_table_for_programs() -> None:
    # 24 and 28 dB less 25 and 25: -1 and 3, mean 1, standard error 2; t of 1 degree of freedom is 12.7062 (tables).
    rows = [factories.row(lost="", psnr_db=24.0), factories.row(lost="header", image="kodim02", psnr_db=28.0)]
    references = [REFERENCE._replace(image=name, psnr_db=25.0) for name in ("kodim01", "kodim02")]
    lines = list(csv.DictReader(statistics_csv(Results(rows, references)).splitlines()))
    assert [line["metric"] for line in lines if line["series"] == "deepjscc"] == list(markdown.METRICS)
    (line,) = (line for line in lines if (line["series"], line["metric"]) == ("deepjscc", "psnr_db"))
    assert (line["snr_db"], line["rho"], line["images"], line["common_images"]) == ("0", "0.25", "2", "2")
    assert (line["mean"], line["standard_error"], line["against"]) == ("26", "2", "jpeg_adaptive")
    assert (line["difference"], line["difference_error"]) == ("1", "2")
    ends = [float(line["difference_low_95"]), float(line["difference_high_95"])]
    assert ends == pytest.approx([1 - 2 * 12.7062, 1 + 2 * 12.7062], abs=1e-3)
    # One of two by Wilson: 1/2 -+ z sqrt(1/8 + z^2/16) / (1 + z^2/2) = 0.0945 to 0.9055.
    assert (line["lost"], line["sent"], line["lost_low_95"], line["lost_high_95"]) == ("1", "2", "0.09453", "0.9055")
    (own,) = (line for line in lines if (line["series"], line["metric"]) == ("jpeg_adaptive", "psnr_db"))
    assert (own["against"], own["difference"], own["lost"], own["sent"]) == ("", "", "0", "2")


def test_few_images_are_told_one_by_one() -> None:
    """Image 1: draws of 20 and 24 -> 22; JPEG has only image 2."""
    rows = [replace(ROW, image="set/text", draw=draw, psnr_db=psnr_db) for draw, psnr_db in enumerate((20.0, 24.0))]
    rows += [replace(ROW, image="set/flat", psnr_db=60.0)]
    text = tell(rows, [REFERENCE._replace(image="set/flat", psnr_db=50.0)])
    own = text[text.index("## Every image") : text.index("## Paired")]
    assert cells(own, "PSNR (dB)") == ["rho", "SNR", "flat", "text"]
    assert cells(own, "deepjscc") == ["0.2500", "0 dB", "60.00", "22.00"]
    assert cells(own, "jpeg_adaptive") == ["0.2500", "0 dB", "50.00", markdown.MISSING]
    many = [replace(ROW, image=f"set/{number}") for number in range(9)]
    assert "## Every image" not in tell(many)
    assert "## Every image" not in tell(many[:1])


def test_what_was_computed_is_told_apart_from_what_was_sent() -> None:
    lost = REFERENCE._replace(curve="jpeg_fixed", delivered=False, psnr_db=14.0)
    text = tell([ROW], references=[REFERENCE, lost])
    assert quality(text, "jpeg_adaptive")["PSNR (dB)"] == [f"27.00 ± {markdown.MISSING}"]
    assert "- 2 computed references\n" in text
    assert "jpeg_adaptive is JPEG + ideal code, rate-adaptive" in text


def test_images_that_no_file_arrived_of_are_counted_by_codec_and_snr() -> None:
    at_0_db = [
        REFERENCE._replace(image=name, delivered=name == "kodim01") for name in ("kodim01", "kodim02", "kodim03")
    ]
    at_5_db = [item._replace(snr_db=5.0, delivered=True) for item in at_0_db]
    webp = [item._replace(curve="webp_adaptive", delivered=True) for item in at_0_db]
    text = tell([ROW, replace(ROW, snr_db=5.0, told_snr_db=5.0)], references=[*at_0_db, *at_5_db, *webp])
    # Wilson's intervals: of 2 of 3 in R's binom.confint 0.208 to 0.939, of 0 of 3 below 3.84 / (3 + 3.84) = 0.561.
    assert lost(text, "jpeg_adaptive") == ["2 of 3 (21 to 94 %)", "0 of 3 (0 to 56 %)"]
    assert "scored as their mean colour" in text
    assert "images lost at SNR" not in tell([ROW], references=webp)


def test_studies_have_a_table_of_their_own_and_the_default_is_marked() -> None:
    rows = [
        ROW,
        replace(ROW, image="kodim02", psnr_db=35.0),
        replace(ROW, options=ChosenOptions({"K": 1}), psnr_db=15.0),
        replace(ROW, options=ChosenOptions({"K": 2}), psnr_db=18.5),
    ]
    text = tell(rows, methods=[INFO._replace(options={"K": 3})])
    assert quality(text)["PSNR (dB)"] == ["30.00 ± 5.00"]
    assert cells(text, "deepjscc", "K = 1", "0")[:2] == ["1", f"15.00 ± {markdown.MISSING}"]
    assert cells(text, "deepjscc", "K = 3 *", "0")[:2] == ["1", f"25.00 ± {markdown.MISSING}"], "over the study's image"
    assert "- 4 transmissions, 2 of them for studies\n" in text


def test_what_is_incomplete_is_told() -> None:
    rows = [factories.row(snr_db=snr_db, image=image) for image in ("1", "2") for snr_db in (0.0, 5.0)]
    rows += [factories.row(snr_db=10.0, image="1"), replace(ROW, image="1", method="other")]
    text = tell(rows)
    assert "deepjscc has fewer than its 2 images at 10 dB (1): in no curve over SNR." in text
    assert "deepjscc alone was sent at 5, 10 dB too." in text


def test_gain_is_highest_less_lowest_snr_and_a_dip_is_told() -> None:
    qualities = {-5.0: 20.0, 0.0: 24.0, 2.5: 23.5, 20.0: 28.25}
    text = tell([factories.row(snr_db=snr_db, psnr_db=psnr_db) for snr_db, psnr_db in qualities.items()])
    assert cells(text, "deepjscc", "-5", "20") == ["+8.25", "no"]


def test_percentiles_leave_the_warm_up_out() -> None:
    # 1, 2, ... 101 ms: percentile p is at 1 + p by linear interpolation, the mean is 51.
    rows = [replace(ROW, draw=draw, total_ns=(draw + 1) * MS, score_ns=2 * draw * MS) for draw in range(101)]
    rows += [replace(ROW, image="first", total_ns=10**12, score_ns=10**12, warm_up=True)]
    text = tell(rows)
    assert cells(text, "total") == ["51.00", "96.00", "100.00", "51.00", "100.0 %"]
    assert cells(text, "score") == ["100.00", "190.00", "198.00", "100.00", "196.1 %"]
    assert cells(text, "decoder compute") == ["6.00", "6.00", "6.00", "6.00", "11.8 %"]
    assert "101 transmissions, 1 warm-up transmission left out" in text


def test_hops_have_median_and_95th_percentile_of_computing_and_wire() -> None:
    # Wire is 1 + 0.25 + 0.75 ms; the decoder computes 0, 1, ... 100 ms.
    hops = [(*HOPS[:2], replace(HOPS[2], compute_ns=ms * MS)) for ms in range(101)]
    text = tell([replace(ROW, draw=draw, hops=hop) for draw, hop in enumerate(hops)])
    latency = text[text.index("## Latency") : text.index("## Latency of every part")]
    fixed = ["50.0 / 50.0", "6.0 / 6.0", "2.0 / 2.0", "6.0 / 6.0", "2.0 / 2.0"]
    assert cells(latency, "deepjscc") == [*fixed, "50.0 / 95.0", "2.0 / 2.0"]


def test_parts_account_for_the_total_and_bytes_are_told() -> None:
    # 3 hops of 10 ms, 4 + 1 + 15 ms of its own: 50 of 50 and 50 of 75 ms.
    text = tell([ROW, replace(ROW, draw=1, total_ns=75 * MS)])
    assert "The parts account for 80.0 % of the total." in text
    assert cells(text, "deepjscc", "1000") == ["2000", "1000", "2000", "1000", "2000"]


def test_methods_options_and_channels_are_never_mixed() -> None:
    rows = [
        replace(ROW, options=ChosenOptions({"k": 2}), psnr_db=20.0),
        replace(ROW, options=ChosenOptions({"k": 6}), psnr_db=30.0),
        replace(ROW, method="other", channel="rayleigh", psnr_db=10.0),
    ]
    text = tell(rows)
    assert quality(text, "deepjscc (k=2)")["PSNR (dB)"] == [f"20.00 ± {markdown.MISSING}"]
    assert quality(text, "deepjscc (k=6)")["PSNR (dB)"] == [f"30.00 ± {markdown.MISSING}"]
    assert "| other" not in text[: text.index("## Over rayleigh:told=none,csi=none\n")].partition("## ")[2]
    assert "- other: channel rayleigh:told=none,csi=none, checkpoint 0123456789abcdef, 1 noise draw\n" in text
    assert "- tables and figures are of awgn; a section for each of the others says how PSNR scatters" in text


def test_what_a_transmitter_was_told_is_never_mixed() -> None:
    """Told 10 dB at three SNRs, one of them 10 dB; told 3 dB more than it is; told the truth."""
    fixed = [replace(ROW, method="fixed", snr_db=snr_db, told_snr_db=10.0, psnr_db=20.0) for snr_db in (0.0, 5.0, 10.0)]
    both = [replace(row, method="both") for row in fixed]
    both += [
        factories.row(snr_db=0.0, method="both", psnr_db=30.0),
        factories.row(snr_db=5.0, method="both", psnr_db=30.0),
    ]
    more = [replace(ROW, method="more", snr_db=snr_db, told_snr_db=snr_db + 3, psnr_db=20.0) for snr_db in (0.0, 5.0)]
    text = tell([*fixed, *both, *more, *[replace(row, snr_db=10.0, told_snr_db=13.0) for row in more[:1]]])
    assert quality(text, "fixed (told 10 dB)")["PSNR (dB)"] == [f"20.00 ± {markdown.MISSING}"] * 3
    assert quality(text, "both (told 10 dB)")["PSNR (dB)"] == [f"20.00 ± {markdown.MISSING}"] * 3
    assert quality(text, "both")["PSNR (dB)"] == [
        f"30.00 ± {markdown.MISSING}",
        f"30.00 ± {markdown.MISSING}",
        f"20.00 ± {markdown.MISSING}",
    ]
    assert quality(text, "more (told +3 dB)")["PSNR (dB)"] == [f"20.00 ± {markdown.MISSING}"] * 3
    assert "- 11 transmissions\n" in text
    assert "| fixed  " not in text


def test_what_a_wrong_snr_costs_is_over_the_images_that_all_amounts_have() -> None:
    def sent(above_db: float, psnr_db: float, **changes: Any) -> Row:
        return factories.row(snr_db=5.0, told_snr_db=5.0 + above_db, psnr_db=psnr_db, **changes)

    rows = [sent(0, 30.0), sent(0, 32.0, image="kodim02"), sent(0, 99.0, image="kodim03")]
    rows += [
        sent(0.5, 28.0),
        sent(0.5, 29.0, image="kodim02"),
        sent(3, 12.0, lost="header"),
        sent(3, 20.0, image="kodim02"),
    ]
    options = ChosenOptions({"margin_db": 3.0})
    rows += [sent(0, 29.5, options=options), sent(3, 29.0, options=options), sent(0, 20.0, method="other")]
    text = tell(rows)
    assert cells(text, "deepjscc", "5", "2") == ["31.00", "28.50", "16.00 (1 of 2)"]
    assert cells(text, "deepjscc (margin_db=3.0)", "5", "1") == ["29.50", markdown.MISSING, "29.00"]
    costs = text[text.index("## What a wrong SNR costs") :]
    assert "| other" not in costs[: costs.index("\n## ")]
    assert "What a wrong SNR costs" not in tell([ROW, replace(ROW, method="other")])


def test_transmitters_of_another_checkpoint_are_told_apart() -> None:
    rows = [
        replace(ROW, method="other", transmitter_checkpoint="aa", psnr_db=10.0),
        replace(ROW, method="other", transmitter_checkpoint="bb", psnr_db=11.0),
    ]
    text = tell(rows)
    assert quality(text, "other (aa)")["PSNR (dB)"] == [f"10.00 ± {markdown.MISSING}"]
    assert quality(text, "other (bb)")["PSNR (dB)"] == [f"11.00 ± {markdown.MISSING}"]


def test_a_way_of_more_hops_has_a_line_for_each() -> None:
    relayed = (HOPS[0], HOPS[1], replace(HOP, hop="relay"), replace(HOPS[1], compute_ns=9 * MS), HOPS[2])
    text = tell([ROW, replace(ROW, method="relayed", hops=relayed, total_ns=70 * MS)])
    assert "relay compute" in text
    parts = text[text.index("| relayed ") :]
    assert cells(text, "channel 2 compute")[0] == "9.00"
    assert parts.count("The parts account for 104.3 % of the total.") == 1  # 4 x 10 + 13 + 20 of 70 ms
    latency = text[text.index("## Latency") : text.index("## Latency of every part")]
    assert cells(latency, "deepjscc").count(markdown.MISSING) == 2 * 2


def test_settings_machine_and_interruptions_are_told() -> None:
    text = tell([ROW])
    assert cells(text, "machine.cpu") == [r"a\|b"]
    assert cells(text, "machine.cores") == ["2"]
    assert re.search(r"## Interruptions\n\n- \S+\+00:00: the decoder went away\n", text)


@pytest.mark.slow
def test_everything_is_written_from_the_database_alone_and_figures_show_something(tmp_path: Path) -> None:
    rows = [
        factories.row(snr_db=snr_db, method=method, image=image, psnr_db=25.0 + snr_db / 4 + at)
        for method in ("deepjscc", "other")
        for at, image in enumerate(("kodim01", "kodim02"))
        for snr_db in (-5.0, 0.0, 5.0, 10.0)
    ]
    text = write(tmp_path, rows)
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == text
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + len(rows)
    assert len((tmp_path / "statistics.csv").read_text().splitlines()) == 1 + 2 * 4 * len(markdown.METRICS)
    drawn = [path.stem for path in (tmp_path / "figures").glob("*.png")]
    assert set(drawn) >= set(PLAIN_FIGURES)
    for name in drawn:
        assert_drawn(tmp_path / "figures" / f"{name}.png")
        assert f"(figures/{name}.png)" in text
    assert write_report(tmp_path) == text


@pytest.mark.slow
def test_one_row_without_lpips_makes_a_report_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "lpips_vs_snr.png").write_bytes(b"of an older run")
    text = write(tmp_path, [replace(ROW, image="without", lpips=None)])
    assert quality(text)["LPIPS"] == [markdown.MISSING]
    assert "- LPIPS over SNR (`lpips_vs_snr`): left out, no transmission" in text
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn & set(PLAIN_FIGURES) == {name for name in PLAIN_FIGURES if name[:3] not in ("lpi", "vis")}
    for name in drawn:
        assert_drawn(tmp_path / "figures" / f"{name}.png")
    assert "Gain" not in text


@pytest.mark.slow
def test_perfect_images_and_only_warm_up_rows(tmp_path: Path) -> None:
    rows = [factories.row(snr_db=snr_db, psnr_db=math.inf, warm_up=True) for snr_db in (0.0, math.inf)]
    text = write(tmp_path, rows)
    assert quality(text)["PSNR (dB)"] == [f"inf ± {markdown.MISSING}"] * 2
    assert "deepjscc: 2 warm-up transmissions left out, no other" in text
    assert "(`latency_comparison`): left out" in text


def test_latencies_and_bytes_are_of_frames_that_were_encoded() -> None:
    """Of three, one is the first and one has the frame of another draw: no bytes went to the encoder."""
    waited = factories.idle_hop("encoder", queue=1)
    rows = [replace(ROW, warm_up=True), replace(ROW, draw=1)]
    rows.append(replace(ROW, draw=2, warm_up=True, hops=(waited, *ROW.hops[1:])))
    text = tell(rows)
    assert "1 transmission, 1 warm-up transmission left out, 1 of frames that were there. The parts" in text
    assert cells(text, "deepjscc", "1000") == ["2000", "1000", "2000", "1000", "2000"]


def test_a_run_without_rows_makes_a_report(tmp_path: Path) -> None:
    assert write(tmp_path, []).startswith("# Sweep without a finished transmission\n")


def test_a_folder_without_a_run_is_named_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"results\.sqlite is missing"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_report_that_cannot_be_written_leaves_the_older_one_and_says_how_to_go_on(tmp_path: Path) -> None:
    write(tmp_path, [replace(ROW, image="without")])
    before = (tmp_path / "results.csv").read_bytes()
    (tmp_path / "summary.md").unlink()
    (tmp_path / "summary.md").mkdir()
    with pytest.raises(OSError, match=r"summary\.md: cannot be written \(Is a directory\); the results are kept, and"):
        write_report(tmp_path)
    assert (tmp_path / "results.csv").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_an_old_run_is_reported_with_the_same_numbers(tmp_path: Path) -> None:
    old_run(tmp_path / "results.sqlite")
    text = write_report(tmp_path)
    assert quality(text, "diffusion")["PSNR (dB)"] == [f"25.50 ± {markdown.MISSING}"] * 2
    assert (tmp_path / "results.csv").read_text().count(",12.53022,0.139107,1.303008,575.855357,0.222662,99,100,") == 5


def test_tables_are_aligned_for_a_plain_terminal() -> None:
    text = tell([ROW, replace(ROW, method="a_much_longer_name")])
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(line) for line in table.splitlines()}) == 1
