"""The report says what the rows say: numbers checked by hand, figures that are not blank."""

import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.orchestrator import figures, report
from services.orchestrator.store import HOPS, HopTiming, Picture, Row, Store

HOP = HopTiming(1.0, 2.0, 0.25, 6.0, 0.75, 1000, 2000)  # 10 ms
ROW = Row(
    dataset="kodak",
    image="kodim01",
    method="deepjscc",
    checkpoint="0123456789abcdef",
    channel="awgn",
    snr_db=0.0,
    draw=0,
    seed=7,
    rho=0.25,
    channel_uses=294912,
    header_bits=32,
    noise_digest="00",
    psnr_db=25.0,
    ssim=0.75,
    ms_ssim=0.875,
    lpips=0.5,
    total_ms=50.0,
    hops=dict.fromkeys(HOPS, HOP),
    load_ms=4.0,
    codec_ms=1.0,
    score_ms=15.0,
    options="",
    started="2025-01-01T00:00:00+00:00",
    warm_up=False,
)
FIGURES = ["latency", "lpips_vs_snr", "ms_ssim_vs_snr", "psnr_vs_snr", "ssim_vs_snr", "strip"]


def png(level: int) -> bytes:
    pixels = np.random.default_rng(level).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write(folder: Path, rows: list[Row], pictures: list[Picture] = []) -> str:  # noqa: B006
    with Store(folder / "results.sqlite") as store:
        store.set_setting("seed", 7)
        store.set_setting("machine", {"cpu": "a|b", "cores": 2})
        for row in rows:
            store.add(row)
        for picture in pictures:
            store.add_image(picture)
    return report.write_report(folder)


def cells(summary: str, *start: str) -> list[str]:
    """The cells of the only table line that starts with these."""
    lines = [re.split(r"\s*(?<!\\)\|\s*", line)[1:-1] for line in summary.splitlines() if line.startswith("|")]
    (line,) = (line for line in lines if line[: len(start)] == list(start))
    return line[len(start) :]


def assert_drawn(path: Path) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert (pixels < 128).mean() > 0.002, f"{path.name} is blank"


def pictures(method: str = "deepjscc", snrs_db: tuple[float, ...] = (-5.0, 0.0, 5.0, 10.0)) -> list[Picture]:
    received = [Picture("kodim01", method, snr_db, "received", png(at)) for at, snr_db in enumerate(snrs_db)]
    return [Picture("kodim01", "", 0.0, "original", png(99)), *received]


def test_quality_is_mean_and_deviation_over_images_of_the_mean_over_draws(tmp_path: Path) -> None:
    # Image 1: draws of 20 and 24 -> 22. Image 2: 28. Mean 25, deviation 3; over the draws it would be 24 and 3.27.
    rows = [
        replace(ROW, draw=0, psnr_db=20.0, ssim=0.5, lpips=0.25),
        replace(ROW, draw=1, psnr_db=24.0, ssim=0.5, lpips=0.25),
        replace(ROW, image="kodim02", psnr_db=28.0, ssim=0.7, lpips=None),
    ]
    summary = write(tmp_path, rows)
    assert summary.startswith("# Sweep over kodak: 2 images\n")
    expected = ["2", "25.00 ± 3.00", "0.600 ± 0.100", "0.875 ± 0.000", "0.250 ± 0.000", "0.2500", "294912", "32"]
    assert cells(summary, "deepjscc", "0") == expected
    assert "LPIPS was not measured for 1 of 3 transmissions" in summary


def test_gain_is_highest_less_lowest_snr_and_a_dip_is_told(tmp_path: Path) -> None:
    qualities = {-5.0: 20.0, 0.0: 24.0, 2.5: 23.5, 20.0: 28.25}
    summary = write(tmp_path, [replace(ROW, snr_db=snr_db, psnr_db=psnr_db) for snr_db, psnr_db in qualities.items()])
    assert cells(summary, "deepjscc", "-5", "20") == ["+8.25", "no"]


def test_percentiles_leave_the_warm_up_out(tmp_path: Path) -> None:
    # 1, 2, ... 101 ms: percentile p is at 1 + p by linear interpolation, the mean is 51.
    rows = [replace(ROW, draw=draw, total_ms=draw + 1.0, score_ms=2.0 * draw) for draw in range(101)]
    rows += [replace(ROW, image="first", total_ms=1e6, score_ms=1e6, warm_up=True)]
    summary = write(tmp_path, rows)
    assert cells(summary, "total") == ["51.00", "96.00", "100.00", "51.00", "100.0 %"]
    assert cells(summary, "score") == ["100.00", "190.00", "198.00", "100.00", "196.1 %"]
    assert cells(summary, "decoder compute") == ["6.00", "6.00", "6.00", "6.00", "11.8 %"]
    assert "101 transmissions, 1 warm-up transmission left out" in summary


def test_parts_account_for_the_total_and_bytes_are_told(tmp_path: Path) -> None:
    # 3 hops of 10 ms, 4 + 1 + 15 ms of its own: 50 of 50 and 50 of 75 ms.
    summary = write(tmp_path, [ROW, replace(ROW, draw=1, total_ms=75.0)])
    assert "The parts account for 80.0 % of the total." in summary
    assert cells(summary, "deepjscc", "1000") == ["2000", "1000", "2000", "1000", "2000"]


def test_methods_options_and_channels_are_never_mixed(tmp_path: Path) -> None:
    rows = [
        replace(ROW, options='{"k": 2}', psnr_db=20.0),
        replace(ROW, options='{"k": 6}', psnr_db=30.0),
        replace(ROW, method="other", channel="rayleigh", psnr_db=10.0),
    ]
    summary = write(tmp_path, rows)
    assert cells(summary, 'deepjscc ({"k": 2})', "0")[1] == "20.00 ± 0.00"
    assert cells(summary, 'deepjscc ({"k": 6})', "0")[1] == "30.00 ± 0.00"
    assert cells(summary, "other", "0")[1] == "10.00 ± 0.00"
    assert "- other: channel rayleigh, checkpoint 0123456789abcdef, 1 noise draw\n" in summary


def test_settings_machine_and_interruptions_are_told(tmp_path: Path) -> None:
    with Store(tmp_path / "results.sqlite") as store:
        store.add_event("the decoder\nwent away")
    summary = write(tmp_path, [ROW])
    assert cells(summary, "machine.cpu") == [r"a\|b"]
    assert cells(summary, "machine.cores") == ["2"]
    assert re.search(r"## Interruptions\n\n- \S+\+00:00: the decoder went away\n", summary)


def test_everything_is_written_from_the_database_alone_and_figures_show_something(tmp_path: Path) -> None:
    rows = [
        replace(ROW, method=method, image=image, snr_db=snr_db, psnr_db=25.0 + snr_db / 4 + at)
        for method in ("deepjscc", "other")
        for at, image in enumerate(("kodim01", "kodim02"))
        for snr_db in (-5.0, 0.0, 5.0, 10.0)
    ]
    summary = write(tmp_path, rows, pictures() + pictures("other"))
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == summary
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + len(rows)
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == FIGURES
    for name in FIGURES:
        assert_drawn(tmp_path / "figures" / f"{name}.png")
        assert f"(figures/{name}.png)" in summary
    assert report.write_report(tmp_path) == summary


def test_one_row_without_lpips_makes_a_report_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "lpips_vs_snr.png").write_bytes(b"of an older run")
    summary = write(tmp_path, [replace(ROW, lpips=None)])
    assert cells(summary, "deepjscc", "0")[4] == report.MISSING
    assert "- LPIPS over SNR: left out, there is no data for it" in summary
    drawn = sorted((tmp_path / "figures").iterdir())
    assert [path.stem for path in drawn] == ["latency", "ms_ssim_vs_snr", "psnr_vs_snr", "ssim_vs_snr"]
    for path in drawn:
        assert_drawn(path)
    assert "Gain" not in summary


def test_perfect_images_and_only_warm_up_rows(tmp_path: Path) -> None:
    rows = [replace(ROW, snr_db=snr_db, psnr_db=math.inf, warm_up=True) for snr_db in (0.0, math.inf)]
    summary = write(tmp_path, rows)
    assert cells(summary, "deepjscc", "inf")[1] == f"inf ± {report.MISSING}"
    assert "deepjscc: 2 warm-up transmissions left out, no other" in summary
    assert "- Where the time goes: left out" in summary


def test_a_run_without_rows_makes_a_report(tmp_path: Path) -> None:
    assert write(tmp_path, []).startswith("# Sweep without a finished transmission\n")


def test_a_folder_without_a_run_is_named_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"results\.sqlite is missing"):
        report.write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tables_are_aligned_for_a_plain_terminal(tmp_path: Path) -> None:
    summary = write(tmp_path, [ROW, replace(ROW, method="a_much_longer_name")])
    for table in re.findall(r"(?:^\|.*\n)+", summary, re.MULTILINE):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_a_style_is_the_methods_own_whatever_the_company_and_no_two_are_equal() -> None:
    methods = [f"method{number}" for number in range(30)]
    assert figures.style_of("deepjscc", ["other"]) == figures.style_of("deepjscc")
    assert len({figures.style_of(method, methods) for method in methods}) == 30
    seven = methods[:7]
    assert len({figures.style_of(method, seven).color for method in seven}) == 7


def test_the_strip_shows_low_middle_and_high_snr_with_their_psnr() -> None:
    psnr_db = {-5.0: 20.04, 0.0: 22.0, 5.0: None, 10.0: 26.0, 15.0: 28.0}
    shown = figures.strip_tiles(pictures(snrs_db=tuple(psnr_db)), lambda picture: psnr_db[picture.snr_db])
    (tiles,) = shown.values()
    captions = ["original\nkodim01", "SNR \N{MINUS SIGN}5 dB\nPSNR 20.0 dB", "SNR 5 dB", "SNR 15 dB\nPSNR 28.0 dB"]
    assert [tile.caption for tile in tiles] == captions
    assert [tile.png for tile in tiles] == [png(99), png(0), png(2), png(4)]
    assert figures.strip_tiles(pictures()[1:], lambda _: None) == {}
