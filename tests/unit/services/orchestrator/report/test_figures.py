"""Figures show what a database holds: those of a whole paper from one made here, and a word on what is missing."""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import factories
import numpy as np
import pytest
from factories import IMAGE_DIGEST, MS
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from test_fading_figures import FAST, faded, told

from jscc.baselines import curves as computed
from jscc.options import ChosenOptions
from services.orchestrator.report.figures import (
    FIGURES,
    SUFFIXES,
    canvas,
    cliff,
    latency,
    tradeoff,
    visual,
    write_figures,
)
from services.orchestrator.report.figures.canvas import NoDataError
from services.orchestrator.report.series import curve, main_series
from services.orchestrator.report.studies import studies
from services.orchestrator.report.style import Family, Style, Styles
from services.orchestrator.report.write import write_report
from services.orchestrator.results.rows import MethodInfo, Picture, Reference, Row
from services.orchestrator.results.store import Results, Store

IMAGES = ("kodak/kodim01", "kodak/kodim13", "kodak/kodim20")
SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
FINE_DB = tuple(np.arange(-5, 20.5, 0.5).tolist())
PSNR_DB = {
    "deepjscc": (23.7, 26.4, 29.7, 32.7, 34.7, 35.7),
    "diffusion": (23.1, 25.7, 28.9, 31.8, 33.6, 34.4),
    "digital": (20.1, 25.0, 28.6, 31.7, 34.2, 36.3),
    "kltjscc": (21.1, 23.8, 26.9, 30.4, 33.4, 35.2),
    "model_based": (22.3, 25.2, 28.4, 31.5, 33.8, 35.0),
    "model_based_12": (20.6, 22.6, 24.6, 26.3, 27.5, 28.0),
    "softcast": (23.3, 25.7, 28.8, 32.4, 35.6, 37.7),
}
DECODER_MS = dict(deepjscc=310.0, diffusion=5400.0, digital=45.0, kltjscc=12.0, model_based=420.0, model_based_12=260.0)
COUNTS = dict(deepjscc=17_300_000, diffusion=21_900_000, digital=0, kltjscc=150_000, model_based=2_600_000, softcast=0)
CARDS = {
    "deepjscc": ("DeepJSCC", "learned"),
    "diffusion": ("DeepJSCC + diffusion", "learned"),
    "digital": ("Digital, real code", "digital"),
    "kltjscc": ("KLT-JSCC", "learned"),
    "model_based": ("Model-based", "learned"),
    "model_based_12": ("Model-based (12 ch.)", "learned"),
    "softcast": ("SoftCast", "analog"),
}
CURVES = dict(jpeg_adaptive=(26.0, 0.62), webp_adaptive=(28.0, 0.64), avif_adaptive=(28.8, 0.66))
CURVES |= dict(hevc_adaptive=(29.0, 0.67), vvc_adaptive=(29.6, 0.66), avif_half_adaptive=(28.9, 0.66))
CURVES |= dict(jpeg_half_adaptive=(26.4, 0.61), webp_half_adaptive=(28.3, 0.63))
BOUNDS = dict(gaussian_variance=(15.4, 0.2), gaussian_spectrum=(29.2, 0.6))
Options = Mapping[str, int]
STEPS, ITERATIONS = (0, 1, 2, 4, 8, 16, 50), range(1, 7)


def rho_of(method: str) -> float:
    return 0.0625 if method == "model_based_12" else 0.25


def transmitter_of(method: str) -> str:
    return f"{'deepjscc' if method == 'diffusion' else method}-checkpoint"


def scores(psnr_db: float, perceptual: float = 0.0) -> dict[str, float]:
    """Metrics that go with a PSNR."""
    at = min(max((psnr_db - 12) / 28, 0.02), 0.98)
    others = {"ssim": at**0.7, "ms_ssim": at**0.25, "lpips": max(0.9 * (1 - at) ** 1.6 - perceptual, 0.01)}
    return {"psnr_db": psnr_db, **{name: float(value) for name, value in others.items()}}


def sent(
    method: str, image: str, snr_db: float, psnr_db: float, options: Options | None = None, decoder_ms: float = 0.0
) -> Row:
    at, ms = IMAGES.index(image), decoder_ms or DECODER_MS.get(method, 30.0)
    encoder_ms = DECODER_MS.get(method, 30.0) / 3
    hops = tuple(
        factories.hop(hop, compute_ns=round(compute_ms * MS), network_ns=network_ms * MS)
        for hop, compute_ms, network_ms in (
            ("encoder", encoder_ms * (1 + 0.3 * at), 6 + at),
            ("channel", 4 + at, 5 + at),
            ("decoder", ms * (1 + 0.2 * at), 7 + 4 * at),
        )
    )
    perceptual = 0.07 if method == "diffusion" else 0.0
    return factories.row(
        **scores(psnr_db + at - 1, perceptual),
        image=image,
        method=method,
        snr_db=snr_db,
        told_snr_db=snr_db,
        rho=rho_of(method),
        options=ChosenOptions(options),
        transmitter_checkpoint=transmitter_of(method),
        checkpoint=f"{method}-checkpoint",
        hops=hops,
    )


def main_rows() -> Iterator[Row]:
    for method, means in PSNR_DB.items():
        for snr_db, psnr_db in zip(SNRS_DB, means, strict=True):
            yield from (sent(method, image, snr_db, psnr_db) for image in IMAGES)


def study_rows() -> Iterator[Row]:
    """Over two of the three images, without the defaults K = 6 and steps = 8, which the main rows have."""
    for image in IMAGES[:2]:
        for at, snr_db in enumerate(SNRS_DB):
            for iterations in ITERATIONS[:-1]:
                psnr_db = PSNR_DB["model_based"][at] - (1.5 + 0.6 * at) * (6 - iterations) ** 1.3 / 4
                yield sent("model_based", image, snr_db, psnr_db, {"K": iterations}, 70.0 * iterations)
        for at, snr_db in enumerate(SNRS_DB[:4]):
            for steps in sorted(set(STEPS) - {8}):
                psnr_db = PSNR_DB["diffusion"][at] - 0.4 * np.log2((steps + 0.5) / 8)
                row = sent("diffusion", image, snr_db, psnr_db, {"steps": steps}, 680.0 * steps + 300)
                yield replace(row, lpips=row.lpips - 0.02 * np.log2((steps + 0.5) / 8))
        for mcs, (threshold_db, psnr_db) in {5: (3.9, 27.6), 11: (9.4, 31.7), 17: (15.2, 34.4)}.items():
            for snr_db in SNRS_DB:
                yield sent("digital", image, snr_db, psnr_db if snr_db > threshold_db else 14.7, {"mcs": mcs})


def references() -> Iterator[Reference]:
    for image in IMAGES:
        shift_db = IMAGES.index(image) - 1
        for snr_db in FINE_DB:
            for name, (at_zero_db, slope) in (CURVES | BOUNDS).items():
                for rho in (0.25, 0.0625):
                    psnr_db = at_zero_db + slope * snr_db * (1 if rho == 0.25 else 0.6) - (0 if rho == 0.25 else 4)
                    given = scores(psnr_db + shift_db)
                    given |= dict.fromkeys(("ssim", "ms_ssim", "lpips"), None) if name in BOUNDS else {}
                    arrives = name != "webp_adaptive" or snr_db > -5 or image == IMAGES[0]
                    yield Reference("kodak", image, IMAGE_DIGEST, name, snr_db, rho, 10_000, arrives, **given)
            for codec in ("jpeg", "webp"):
                arrives, (at_zero_db, slope) = snr_db >= 9.5 + (codec == "webp") / 2, CURVES[f"{codec}_adaptive"]
                psnr_db = at_zero_db + slope * 10 if arrives else 14.67
                given = scores(psnr_db + shift_db)
                yield Reference("kodak", image, IMAGE_DIGEST, f"{codec}_fixed", snr_db, 0.25, 10_000, arrives, **given)


def methods() -> Iterator[MethodInfo]:
    for name in PSNR_DB:
        options = {"model_based": {"K": 0}, "diffusion": {"steps": 8}, "digital": {"mcs": -1}}.get(name, {})
        learned = {"step_size": (1.02, 0.81, 0.66, 0.52, 0.47, 0.4)} if name == "model_based" else {}
        count = COUNTS.get(name, 2_400_000)
        checkpoints = (f"{name}-checkpoint", transmitter_of(name))
        parameters = (count // 3, count - count // 3)
        yield MethodInfo(name, name, *checkpoints, *parameters, rho_of(name), options, learned, *CARDS[name])


def photo(noise: float) -> bytes:
    """A picture with smooth and busy parts, and noise."""
    rows, columns = np.mgrid[0:128, 0:192]
    grey = 128 + 60 * np.sin(rows / 23) * np.cos(columns / 31) + 50 * np.sin(columns**2 / 400) * (rows > 70)
    colours = np.stack([grey, grey * 0.8 + 20, 220 - grey * 0.6], axis=-1)
    noisy = colours + noise * np.random.default_rng(1).normal(size=colours.shape)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def pictures(scored: Iterable[Row | Reference]) -> list[Picture]:
    """Of one image at three SNRs, transmissions with default options and three references at the higher rate."""
    shown = [item for item in scored if item.image == IMAGES[2] and item.snr_db in (-5.0, 5.0, 20.0)]
    sent = [item for item in shown if isinstance(item, Row) and not item.options]
    curves = ("jpeg_adaptive", "jpeg_fixed", "webp_adaptive")
    computed = [item for item in shown if isinstance(item, Reference) and item.curve in curves and item.rho == 0.25]
    received = [Picture(item.key, photo(255 * 10 ** (-(25 + item.snr_db / 2) / 20))) for item in (*sent, *computed)]
    return [Picture(shown[0].image_key, photo(0)), *received]


def paper() -> Results:
    rows, computed = [*main_rows(), *study_rows()], list(references())
    return Results(rows, computed, {info.name: info for info in methods()}, pictures([*rows, *computed]))


def whole() -> Results:
    """A paper, and what it has of air that fades, and of SNRs that were told wrong there."""
    white, more = paper(), faded()
    wrong = [row for row in told(FAST) if row.told_snr_db != row.snr_db]
    settings = {"channels": ["awgn", *more.settings["channels"]]}
    rows, references = [*white.rows, *more.rows, *wrong], [*white.references, *more.references]
    return replace(white, rows=rows, references=references, settings=settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with everything that a paper needs, and its report."""
    folder, made = tmp_path_factory.mktemp("paper"), whole()
    with Store(folder / "results.sqlite") as store:
        for row in made.rows:
            store.add(row, [picture for picture in made.pictures if picture.of in (row.key, row.image_key)])
        for reference in made.references:
            store.add_reference(reference, [picture for picture in made.pictures if picture.of == reference.key])
        store.set_setting("channels", made.settings["channels"])
        for info in made.methods.values():
            store.set_method(info)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def made() -> Results:
    return paper()


def texts(figure: Figure) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_visible() and found.get_text()]


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.slow
def test_every_figure_of_the_paper_is_drawn_as_png_and_pdf(run: Path) -> None:
    found = sorted(path.name for path in (run / "figures").iterdir())
    assert found == sorted(f"{name}{suffix}" for name in FIGURES for suffix in SUFFIXES)
    summary = (run / "summary.md").read_text()
    for name in FIGURES:
        assert f"[PNG](figures/{name}.png), [PDF](figures/{name}.pdf)" in summary
        assert (run / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(run / "figures" / f"{name}.png") as image:
            is_visual = name == "visual_comparison"
            wide = visual.WIDTH_IN * visual.DPI if is_visual else canvas.WIDTH_IN * canvas.DPI
            assert image.width == pytest.approx(wide, abs=1)
            assert image.height <= (1600 if is_visual else 1.6 * wide), "as tall as a screen at most"
            assert (np.asarray(image.convert("L")) < 128).mean() > 0.002, f"{name} is blank"


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_legible_and_inside_the_figure(name: str) -> None:
    with canvas.print_style():
        figure = FIGURES[name].draw(whole())
        figure.draw_without_rendering()
        shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        page = figure.bbox
        for text in shown:
            box = text.get_window_extent()
            assert text.get_fontsize() >= canvas.FONT_PT, text.get_text()
            is_tick = any(text in axis.get_ticklabels() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis))
            inside = page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1 and page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1
            assert inside or is_tick, f"{text.get_text()!r} is cut off"


@pytest.mark.parametrize("name", ["fading_distribution", "param_efficiency", "latency_comparison"])
def test_legends_hide_nothing(name: str) -> None:
    with canvas.print_style():
        figure = FIGURES[name].draw(whole())
        figure.draw_without_rendering()
        for legend in figure.legends:
            for axes in figure.axes:
                assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_an_empty_run_has_no_figure_and_says_what_each_lacks(tmp_path: Path) -> None:
    lines = list(write_figures(Results(), tmp_path / "figures"))
    assert [f"`{name}`" in line and "left out, no " in line for name, line in zip(FIGURES, lines, strict=True)]
    assert len(lines) == len(FIGURES)
    assert list((tmp_path / "figures").iterdir()) == []


@pytest.mark.slow
def test_a_quick_sweep_lacks_what_only_studies_have(tmp_path: Path, made: Results) -> None:
    quick = Results([row for row in made.rows if row.method == "deepjscc"])
    lines = list(write_figures(quick, tmp_path / "figures"))
    lacking = [name for name, line in zip(FIGURES, lines, strict=True) if "left out" in line]
    studied = {"cliff_effect_annotated", "param_efficiency", "model_based_convergence", "diffusion_tradeoff"}
    of_fading = {"fading_psnr", "fading_distribution", "pilots", "told"}
    assert set(lacking) == studied | of_fading | {"visual_comparison", "psnr_differences"}
    assert "option K" in lines[list(FIGURES).index("model_based_convergence")]


def test_the_same_database_makes_the_same_bytes(tmp_path: Path, made: Results) -> None:
    with canvas.print_style():
        for at in range(2):
            canvas.save(FIGURES["param_efficiency"].draw(made), tmp_path / f"{at}.pdf")
    assert (tmp_path / "0.pdf").read_bytes() == (tmp_path / "1.pdf").read_bytes()


def test_main_curves_are_of_default_options_and_over_all_images(made: Results) -> None:
    more = replace(made.rows[0], image="kodak/kodim24", snr_db=7.0, told_snr_db=7.0)
    rows = [*made.rows, more, replace(more, image=IMAGES[0])]
    (series,) = (item for item in main_series(rows) if item.method == "deepjscc")
    assert series.images == {("kodak", name) for name in (*IMAGES, "kodak/kodim24")}
    assert curve(series, "psnr_db") == {}, "no SNR has all four images"
    means = curve(series, "psnr_db", {("kodak", name) for name in IMAGES})
    assert means == pytest.approx(dict(zip(SNRS_DB, PSNR_DB["deepjscc"], strict=True)))


def test_a_studys_default_is_over_the_images_of_its_other_points(made: Results) -> None:
    (study,) = studies(made, "K")
    assert study.default == 6, "0 stands for all, and six step sizes were learned"
    assert study.images == {("kodak", name) for name in IMAGES[:2]}
    # The second and third image of three are at 0 and +1 dB of the mean, the first at -1: -0.5 over the first two.
    assert study.means(10.0, "psnr_db")[6] == pytest.approx(PSNR_DB["model_based"][3] - 0.5)
    assert list(study.means(10.0, "psnr_db")) == list(ITERATIONS)


def test_a_study_leaves_out_a_default_over_other_images(made: Results) -> None:
    rows = [row for row in made.rows if row.method == "model_based"]
    apart = [row for row in rows if (row.image == IMAGES[0]) == bool(row.options)]
    (study,) = studies(replace(made, rows=apart), "K")
    assert list(study.points[10.0]) == list(ITERATIONS[:-1])
    one = [row for row in apart if row.options in ({}, {"K": 1})]
    assert studies(replace(made, rows=one), "K") == []
    other = [row for row in rows if row.options == {"K": 2} and row.image == IMAGES[1]]
    assert studies(replace(made, rows=[*one, *other]), "K") == [], "K = 1 and 2 have no image in common"


def test_the_cliff_is_where_the_last_image_is_lost() -> None:
    points = {-5.0: 14.7, 9.0: 14.7, 9.5: 14.7, 9.9: 26.5, 10.0: 34.3, 20.0: 34.3}
    assert cliff._cliff(points) == (10.0, 9.5, 34.3, 14.7)
    assert cliff._cliff({0.0: 30.0, 10.0: 30.0}) is None
    assert cliff._cliff({}) is None


def test_the_cliff_compares_links_of_one_rate_over_the_same_images(made: Results) -> None:
    figure = cliff.draw(made)
    assert any("2 images" in text for text in texts(figure)), "fixed schemes were sent over two of three images"
    shown = {" ".join(text.split()) for text in texts(figure)}
    assert "Digital, real code (MCS 11)" in shown
    assert "Model-based (12 ch.)" not in shown, "its rate is another"
    assert any(text.startswith("the cliff:\n20 dB lost from\n10 to 9.5 dB") for text in texts(figure))
    without = replace(made, rows=[row for row in made.rows if "mcs" not in row.options])
    assert any("3 images" in text for text in texts(cliff.draw(without)))


def test_rates_are_told_apart(made: Results) -> None:
    with canvas.print_style():
        shown = FIGURES["param_efficiency"].draw(made)
        panels = FIGURES["psnr_vs_snr_all_methods"].draw(made).axes
    (line,) = (line for line in shown.axes[0].get_lines() if str(line.get_label()).startswith("Model-based (12"))
    assert line.get_fillstyle() == "none"
    assert "0.0625, 2.4 M" in line.get_label()
    assert [axes.get_title().partition(":")[0] for axes in panels] == ["$\\rho$ = 0.25", "$\\rho$ = 0.0625"]


def test_the_latency_leaves_the_warm_up_out_and_shows_every_bar(made: Results) -> None:
    rows = [replace(row, warm_up=row.image == IMAGES[2]) for row in made.rows if row.method == "deepjscc"]
    figure = latency.draw(Results(rows))
    decoder = figure.axes[2]
    ends_ms = [float(x) for line in decoder.get_lines() for x in np.atleast_1d(line.get_xdata())]
    assert max(ends_ms) == pytest.approx(310 * 1.2), "the slowest image is a warm-up"
    low_ms, high_ms = decoder.get_xlim()
    assert low_ms < min(ends_ms) < max(ends_ms) < high_ms
    with pytest.raises(NoDataError, match="warm-up"):
        latency.draw(Results([replace(row, warm_up=True) for row in rows]))


def test_the_tradeoff_shows_the_other_receiver_of_the_same_symbols(made: Results) -> None:
    figure = tradeoff.draw(made)
    assert any("DeepJSCC alone, same symbols" in text for text in texts(figure))
    low, high = figure.axes[2].get_xlim()
    assert -1 < low < min(STEPS) < max(STEPS) < high < 2 * max(STEPS)
    alone = replace(made, rows=[row for row in made.rows if row.method != "deepjscc"])
    assert not any("alone" in text for text in texts(tradeoff.draw(alone)))


def test_pictures_are_those_nearest_to_5_db_with_their_own_scores(made: Results) -> None:
    row = replace(sent("deepjscc", IMAGES[2], 6.0, 0.0), psnr_db=31.25, lpips=0.123)
    far = replace(sent("deepjscc", IMAGES[2], 20.0, 0.0), psnr_db=40.0, lpips=0.9)
    unmeasured = replace(sent("softcast", IMAGES[2], 6.0, 0.0), psnr_db=27.5, lpips=None)
    low = next(item for item in references() if item.image == IMAGES[2] and item.rho == 0.0625)
    low = low._replace(snr_db=6.0, curve="jpeg_adaptive", psnr_db=11.0, lpips=0.5)
    high = low._replace(rho=0.25, psnr_db=22.0)
    scored = [replace(row, draw=1, psnr_db=99.0), row, far, unmeasured, high, low]
    shown = [Picture(row.image_key, photo(0)), *(Picture(item.key, photo(9)) for item in scored[1:])]
    results = Results(scored[:4], scored[4:], made.methods, shown)
    found = texts(visual.draw(results))
    assert {"31.2 dB / 0.123", "27.5 dB", "22.0 dB / 0.500"} < set(found)
    assert not {"40.0 dB / 0.900", "99.0 dB / 0.123", "11.0 dB / 0.500"} & set(found)
    assert any(text.startswith("kodim20 at SNR = 6 dB") for text in found)
    with pytest.raises(NoDataError):
        visual.draw(replace(results, pictures=shown[1:]))


def test_a_picture_whose_header_was_lost_says_so_and_few_pictures_fill_the_width(made: Results) -> None:
    row = replace(sent("deepjscc", IMAGES[2], 5.0, 0.0), psnr_db=12.0, lpips=0.9, lost="header")
    shown = [Picture(row.image_key, photo(0)), Picture(row.key, photo(99))]
    figure = visual.draw(Results([row], methods=made.methods, pictures=shown))
    assert "12.0 dB / 0.900, lost" in texts(figure)
    assert max(axes.get_position().x1 for axes in figure.axes) == pytest.approx(1.0)


def test_pictures_of_another_image_of_the_same_name_are_not_shown_beside_it(made: Results) -> None:
    row = sent("deepjscc", IMAGES[2], 5.0, 30.0)
    other = replace(sent("softcast", IMAGES[2], 5.0, 28.0), image_digest="00" * 8)
    shown = [Picture(item.image_key, photo(0)) for item in (row, other)]
    shown += [Picture(item.key, photo(9)) for item in (row, other)]
    found = texts(visual.draw(Results([row, other], methods=made.methods, pictures=shown)))
    assert "DeepJSCC" in found
    assert "SoftCast" not in found


def test_the_detail_is_where_the_picture_is_busiest() -> None:
    pixels = np.full((120, 180, 3), 90, dtype=np.uint8)
    pixels[70:90, 20:50] = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    top, left, height, width = visual._detail(pixels)
    assert (height, width) == (27, 45)
    assert top <= 70 < 90 <= top + height
    assert left <= 20 < 50 <= left + width
    assert visual._detail(pixels[:1, :1]) == (0, 0, 1, 1)


def looks(styles: Iterable[Style]) -> set[tuple[object, str]]:
    """What is left of styles without colour."""
    return {(style.line or style.family.value, style.marker) for style in styles}


def test_styles_say_what_the_cards_say_and_read_without_colour(made: Results) -> None:
    styles = Styles(made)
    found = [styles.of(name) for name in (*PSNR_DB, *computed.LABELS)] + [styles.fixed_rate("digital", "MCS 5")]
    assert len(looks(found)) == len(found)
    assert len({(style.color, style.family) for style in found}) >= len(found) - 1, "two Gaussian curves are grey"
    families = {"learned": Family.LEARNED, "analog": Family.ANALOG, "digital": Family.DIGITAL}
    for name, (label, family) in CARDS.items():
        assert (styles.of(name).label, styles.of(name).family) == (label, families[family])
    assert styles.fixed_rate("digital", "MCS 5").label == "Digital, real code, fixed rate (MCS 5)"


def test_a_style_is_the_same_in_every_figure_and_whatever_the_order_of_the_rows(made: Results) -> None:
    styles, other = Styles(made), Styles(replace(made, rows=made.rows[::-1]))
    assert [styles.of(name) for name in PSNR_DB] == [other.of(name) for name in PSNR_DB]


def test_a_run_without_cards_goes_by_names_and_parameters(made: Results) -> None:
    methods = {name: info._replace(label="", family="") for name, info in made.methods.items() if name != "kltjscc"}
    styles = Styles(replace(made, methods=methods))
    assert [styles.of(name).label for name in PSNR_DB] == list(PSNR_DB)
    learned = [name for name in PSNR_DB if styles.of(name).is_learned]
    assert learned == ["deepjscc", "diffusion", "kltjscc", "model_based", "model_based_12"]


def test_every_curve_of_a_reference_has_an_honest_label() -> None:
    styles = Styles(Results())
    every = {name for names in (*computed.CURVES.values(), *computed.FADING_CURVES.values()) for name in names}
    assert set(computed.LABELS) == set(computed.BRIEF) == every
    assert len(set(computed.BRIEF.values())) == len(every)
    assert styles.of("jpeg_adaptive").label == "JPEG + ideal code, rate-adaptive"
    assert styles.of("jpeg_fixed").label == f"JPEG + ideal code, fixed rate (for {computed.DESIGN_SNR_DB:g} dB)"
    assert styles.of("gaussian_variance").label == "Gaussian source, image's variance (no bound on images)"
    assert styles.of("gaussian_spectrum").label == "Gaussian source, image's spectrum (no bound on images)"
    assert cliff.DESIGN_SNR_DB == computed.DESIGN_SNR_DB


@pytest.mark.parametrize("family", ["learned", "analog", "digital"])
def test_many_methods_of_one_family_stay_apart(family: str, made: Results) -> None:
    """As many in colour as colours and markers give pairs, of which grey tells the first ones."""
    names = [f"method{number:02}" for number in range(30)]
    info = made.methods["deepjscc"]._replace(family=family, label="")
    rows = [factories.row(method=name) for name in names]
    styles = Styles(Results(rows, methods={name: info._replace(name=name) for name in names}))
    found = [styles.of(name) for name in names]
    assert len({(style.color, style.marker) for style in found}) == 30
    assert len(looks(found[:7])) == 7
    assert not looks(found) & looks(styles.of(name) for name in computed.LABELS)


def test_images_lost_are_counted_beside_the_curve(made: Results) -> None:
    """Two of three at 0 dB; the link at a fixed rate has its cliff instead."""
    few = [item for item in made.references if item.curve in ("jpeg_adaptive", "jpeg_fixed") and item.rho == 0.25]
    lost = [item._replace(delivered=item.snr_db != 0 or item.image == IMAGES[0]) for item in few]
    figure = FIGURES["psnr_vs_snr_all_methods"].draw(replace(made, references=lost))
    counts = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert [text.get_text() for text in counts] == ["2"]
    assert counts[0].get_color() == Styles(made).of("jpeg_adaptive").color
    assert figure.axes[-1].get_xlabel().startswith("SNR (dB); a number: images whose file did not fit")
    every = replace(made, references=[item._replace(delivered=True) for item in few])
    assert "a number" not in FIGURES["psnr_vs_snr_all_methods"].draw(every).axes[-1].get_xlabel()


def test_former_settings_are_drawn_only_where_there_are_no_others(made: Results) -> None:
    former = [item._replace(curve=item.curve.replace("_", "_420_", 1)) for item in made.references]
    known = [item for item in former if item.curve in computed.LABELS]
    both, alone = (
        FIGURES["psnr_vs_snr_all_methods"].draw(replace(made, references=found))
        for found in ([*made.references, *known], known)
    )
    assert "JPEG 4:2:0, ideal" in texts(alone)
    assert sorted(texts(both)) == sorted(texts(FIGURES["psnr_vs_snr_all_methods"].draw(made)))


def test_legends_list_methods_by_family_before_references(made: Results) -> None:
    styles = Styles(made)
    names = ["gaussian_variance", "jpeg_fixed", "softcast", "digital", "webp_adaptive", "kltjscc", "jpeg_adaptive"]
    assert styles.in_order([*names, "deepjscc"]) == [
        *("deepjscc", "kltjscc", "softcast", "digital", "jpeg_adaptive", "webp_adaptive"),
        *("jpeg_fixed", "gaussian_variance"),
    ]


def test_differences_stand_above_and_below_what_they_are_taken_from(made: Results) -> None:
    """Every image has the same difference, so the curve is that of the means, and its interval is a point."""
    kept = [item for item in made.references if item.curve in ("jpeg_adaptive", "webp_adaptive")]
    rows = [row for row in made.rows if row.method == "deepjscc"]
    with canvas.print_style():
        figure = FIGURES["psnr_differences"].draw(replace(made, rows=rows, references=kept))
    upper = figure.axes[0]
    assert "WebP" in upper.get_title()
    (line,) = (line for line in upper.get_lines() if line.get_label() == "DeepJSCC")
    at_zero_db, slope = CURVES["webp_adaptive"]
    expected = [psnr - at_zero_db - slope * snr_db for snr_db, psnr in zip(SNRS_DB, PSNR_DB["deepjscc"], strict=True)]
    assert list(line.get_ydata()) == pytest.approx(expected)
