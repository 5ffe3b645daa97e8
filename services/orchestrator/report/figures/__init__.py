"""The figures of a report, 3.4 inches wide: legible at half the width of a page, in colour and in grey.

A module draws one kind of figure from `Results` and raises `NoDataError` where it lacks the data.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from services.orchestrator.report.airs import parts
from services.orchestrator.report.figures import (
    cliff,
    convergence,
    differences,
    distribution,
    fading,
    latency,
    parameters,
    pilots,
    quality,
    told,
    tradeoff,
    visual,
)
from services.orchestrator.report.figures.canvas import NoDataError, print_style, save
from services.orchestrator.results.store import Results


class Drawing(NamedTuple):
    """A figure's caption and what draws it from the results of a run, of all its airs."""

    caption: str
    draw: Callable[[Results], Figure]


def _of_first(draw: Callable[[Results], Figure]) -> Callable[[Results], Figure]:
    """Return what draws the first air of a run."""
    return lambda results: draw(parts(results)[0][1])


FIGURES: Mapping[str, Drawing] = {
    "psnr_vs_snr_all_methods": Drawing(
        "PSNR over SNR, all methods", _of_first(partial(quality.draw, metric="psnr_db"))
    ),
    "psnr_differences": Drawing("Paired differences of PSNR, with intervals", _of_first(differences.draw)),
    "cliff_effect_annotated": Drawing("The cliff of a fixed rate", _of_first(cliff.draw)),
    "fading_psnr": Drawing("PSNR over mean SNR where gains fade, with digital lines", fading.draw),
    "fading_distribution": Drawing("Distribution of PSNR over images and draws where gains fade", distribution.draw),
    "pilots": Drawing("PSNR over the share of pilots", pilots.draw),
    "told": Drawing("Told against true SNR", told.draw),
    "param_efficiency": Drawing("PSNR over number of parameters", _of_first(parameters.draw)),
    "model_based_convergence": Drawing("PSNR over number of iterations", _of_first(convergence.draw)),
    "latency_comparison": Drawing("Computing and wire time of every hop", _of_first(latency.draw)),
    "visual_comparison": Drawing("Original and received images", _of_first(visual.draw)),
    "ssim_vs_snr": Drawing("SSIM over SNR", _of_first(partial(quality.draw, metric="ssim"))),
    "ms_ssim_vs_snr": Drawing("MS-SSIM over SNR", _of_first(partial(quality.draw, metric="ms_ssim"))),
    "lpips_vs_snr": Drawing("LPIPS over SNR", _of_first(partial(quality.draw, metric="lpips"))),
    "diffusion_tradeoff": Drawing("Quality over sampling steps and decoder time", _of_first(tradeoff.draw)),
}
"""By file name."""
SUFFIXES = (".png", ".pdf")


def write_figures(results: Results, folder: Path) -> Iterator[str]:
    """Draw what there is data for, in place of older files, and yield a line of Markdown for every figure.

    Args:
        results: of one run; of several airs, most figures show the first.
        folder: of the figures, in the folder of the summary; made if missing.
    """
    folder.mkdir(exist_ok=True)
    for name, drawing in FIGURES.items():
        paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
        for path in paths:
            path.unlink(missing_ok=True)
        with print_style():
            try:
                figure = drawing.draw(results)
            except NoDataError as error:
                yield f"- {drawing.caption} (`{name}`): left out, {error}"
                continue
            for path in paths:
                save(figure, path)
        links = ", ".join(f"[{path.suffix[1:].upper()}]({folder.name}/{path.name})" for path in paths)
        yield f"- {drawing.caption} (`{name}`): {links}"
