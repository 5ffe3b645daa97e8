"""The ledger of one image, symbol by symbol: what each channel use and each share of the power is for.

    python bench/accounting.py [IMAGE] [OUT.png]

Prints the tables of docs/accounting.md and draws its figure, for three methods at three SNRs. IMAGE is kodim07 of
JSCC_DATA unless given.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import Tensor

import jscc.link
from jscc.framing import frame
from jscc.images import read_image
from jscc.models import kltjscc
from jscc.models._klt import hybrid, told
from jscc.models._klt.classes import PATCH_PX
from jscc.signals import Layout, Side, padded_size

METHODS = ("kltjscc", "softcast", "deepjscc")
SNRS_DB = (-5.0, 5.0, 15.0)
PARTS = ("header: words", "header: body", "digital: base", "digital: rest", "linear", "idle")
COLOURS = ("#7a1f5c", "#c8508c", "#1b3f73", "#2f6db3", "#7fb5e6", "#dddddd")


class Entry(NamedTuple):
    """Uses and power of one part, as shares of the frame's."""

    uses: float
    power: float


def ledger(link: jscc.link.Link, x: Tensor, snr_db: float) -> dict[str, Entry]:
    """Return the parts of the frame of one image [1, 3, H, W]."""
    layout = link.transmitter.config.layout(x.shape[-2], x.shape[-1], link.send_options)
    s, side = link.transmitter(x, torch.tensor([snr_db]), link.send_options)
    shares, total = frame.shares_of(layout, side), layout.channel_uses
    method = float(shares.gain) * s[0, : layout.slots - int(shares.body_uses)]
    base_uses, rest_uses = digital_uses(link, side, layout)
    linear, rest, base = method.split([len(method) - base_uses - rest_uses, rest_uses, base_uses])
    header = (layout.words * float(shares.word_energy), float(shares.body_energy))
    energies = (*header, power(base), power(rest), power(linear), 0.0)
    idle = int((linear == 0).sum())
    uses = (layout.words * layout.word_uses, int(shares.body_uses), base_uses, rest_uses, len(linear) - idle, idle)
    return {part: Entry(use / total, energy / total) for part, use, energy in zip(PARTS, uses, energies, strict=True)}


def power(symbols: Tensor) -> float:
    """Return the energy of symbols."""
    return float(symbols.square().sum())


def digital_uses(link: jscc.link.Link, side: Side, layout: Layout) -> tuple[int, int]:
    """Return the channel uses of the method's own bits, of base and rest."""
    if not isinstance(link.transmitter, kltjscc.Transmitter):
        return 0, 0
    said = told.Told.of(side.codes, *padded_size(side.height_px, side.width_px, PATCH_PX))
    base, rest = hybrid.digital_of(frame.left_to_method(layout, side), said.sizes, said.margin).costs
    return int(base.uses), int(rest.uses)


def table(ledgers: dict[tuple[str, float], dict[str, Entry]]) -> str:
    """Return all ledgers as Markdown."""
    lines = ["| method, told SNR | " + " | ".join(PARTS) + " |", "|---|" + "--:|" * len(PARTS)]
    for (name, snr_db), entries in ledgers.items():
        cells = (f"{100 * entry.uses:.2f} / {100 * entry.power:.2f}" for entry in entries.values())
        lines.append(f"| `{name}`, {snr_db:g} dB | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(ledgers: dict[tuple[str, float], dict[str, Entry]], path: Path) -> None:
    """Draw all ledgers as stacked bars, uses beside power."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    labels = [f"{name}\n{snr_db:g} dB" for name, snr_db in ledgers]
    for axis, what in zip(axes, ("uses", "power"), strict=True):
        left = [0.0] * len(ledgers)
        for part, colour in zip(PARTS, COLOURS, strict=True):
            widths = [100 * getattr(entries[part], what) for entries in ledgers.values()]
            axis.barh(labels, widths, left=left, color=colour, label=part)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axis.set(xlabel=f"share of the {'channel uses' if what == 'uses' else 'power'} (%)", xlim=(0, 100))
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(PARTS), frameon=False)
    figure.savefig(path, dpi=150)


@torch.no_grad()
def main() -> None:
    """Print and draw."""
    given = [Path(argument) for argument in sys.argv[1:]] or [Path(os.environ["JSCC_DATA"]) / "kodak" / "kodim07.png"]
    x = torch.from_numpy(read_image(given[0])).permute(2, 0, 1)[None].float() / 255
    links = {name: jscc.link.load(name) for name in METHODS}
    ledgers = {(name, snr_db): ledger(link, x, snr_db) for name, link in links.items() for snr_db in SNRS_DB}
    print(table(ledgers))
    draw(ledgers, given[1] if len(given) > 1 else Path("docs/figures/accounting.png"))


if __name__ == "__main__":
    main()
