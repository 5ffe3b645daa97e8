"""Digital lines over fading: what an ideal code makes of a codec's files, of which `jscc.baselines.fading` tells more.

    python bench/fading_lines.py --codec jpeg                  # all of Kodak in a quarter of a minute
    python bench/fading_lines.py                               # AVIF: six minutes of one core
    python bench/fading_lines.py --images 6                    # on every fourth photograph, harder ones than the mean
    python bench/fading_lines.py --codec jpeg --coherence 128  # many gains for an image in place of one

Prints the mean PSNR in dB over the images, and the mean share of lost ones, as a Markdown table.
"""

import argparse
from typing import NamedTuple

import numpy as np

from jscc.baselines import fading, ideal, rate_quality
from jscc.baselines.codecs import CODECS
from jscc.baselines.outlook import Outlook, rayleigh
from jscc.baselines.rate_quality import Curve
from jscc.data import open_dataset
from jscc.images import read_image

SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
MOST_SNR_DB = 35.0
"""SNR of the gain that the curves go up to: a mean SNR of 20 dB has a better gain with a probability of e^-32."""


class Coded(NamedTuple):
    """An image's curve and its channel uses."""

    curve: Curve
    uses: int


def coded(args: argparse.Namespace) -> list[Coded]:
    """Return the curves of evenly spread images of the set."""
    images = open_dataset(args.dataset).images
    count = min(args.images or len(images), len(images))
    curves = []
    for index in range(count):
        pixels = read_image(images[index * len(images) // count].path)
        uses = ideal.channel_uses(args.rho, *pixels.shape[:2])
        image = ideal.CodedImage(pixels, args.codec)
        curves.append(Coded(rate_quality.measure(image, ideal.budget_bits(uses, MOST_SNR_DB)), uses))
    return curves


def row(images: list[Coded], snr_db: float, coherence: int) -> dict[str, float]:
    """Return the means of every line at a mean SNR."""
    found: dict[str, list[float]] = {}
    outlooks: dict[int, Outlook] = {}
    for curve, uses in images:
        blocks = -(-uses // (2 * coherence)) if coherence else 1
        outlook = outlooks.setdefault(blocks, rayleigh(snr_db, blocks))
        single = fading.single_rate(curve, uses, outlook)
        values = {
            "ergodic (fast fading)": fading.ergodic_db(curve, uses, snr_db),
            "rate follows gains (feedback)": fading.csit_db(curve, uses, outlook),
            "single rate": single.expected_db,
            "its outage, %": 100 * single.outage,
        }
        if blocks == 1:
            two = fading.two_layer(curve, uses, outlook)
            values |= {"two layers": two.expected_db, "their outage, %": 100 * two.outage}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def table(rows: dict[float, dict[str, float]]) -> str:
    """Return all lines over the mean SNR as Markdown."""
    lines = ["| mean SNR, dB | " + " | ".join(f"{snr_db:g}" for snr_db in rows) + " |", "|---|" + "--:|" * len(rows)]
    for name in next(iter(rows.values())):
        lines.append(f"| {name} | " + " | ".join(f"{values[name]:.1f}" for values in rows.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="kodak", help="a name of jscc.data or a folder")
    parser.add_argument("--codec", default="avif", choices=CODECS)
    parser.add_argument("--rho", type=float, default=0.25, help="channel uses per source value")
    parser.add_argument("--images", type=int, default=0, help="how many, evenly spread; 0 for all")
    parser.add_argument("--coherence", type=int, default=0, help="complex symbols of a gain; 0 for one gain for all")
    args = parser.parse_args()
    images = coded(args)
    print(f"{len(images)} images of {args.dataset}, {args.codec}, rho = {args.rho:g}\n")
    print(table({snr_db: row(images, snr_db, args.coherence) for snr_db in SNRS_DB}))


if __name__ == "__main__":
    main()
