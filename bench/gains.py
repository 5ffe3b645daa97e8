"""What estimated gains cost: their error over the noise, as it is and as it is said, and the PSNR beside a genie's.

    python bench/gains.py rayleigh:doppler=0.02 rayleigh:doppler=0.02,expected_doppler=0
    python bench/gains.py --methods softcast,kltjscc --draws 3 rayleigh:doppler=0.02,csi=perfect
    python bench/gains.py --methods softcast --snr-db 5 tdl:model=C,delay_spread_ns=300

In process, at rho as the method has it, over `--draws` realisations of evenly spread images of Kodak. Prints a Markdown
table.
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

import torch

from jscc import link
from jscc.air import AirSpec
from jscc.data import open_dataset
from jscc.framing import equaliser, pilots
from jscc.images import Pixels, read_image
from jscc.link import Link, Received
from jscc.quality.scores import psnr_db
from services.orchestrator.link.airs import airs_of


class Found(NamedTuple):
    """What became of one transmission: errors over the noise power, None without pilots."""

    psnr_db: float
    is_lost: bool
    error: float | None
    said: float | None


def images(count: int) -> Iterator[Pixels]:
    """Yield evenly spread images of Kodak."""
    found = open_dataset("kodak").images
    for index in range(count):
        yield read_image(found[index * len(found) // count].path)


def errors(air: AirSpec, received: Received) -> tuple[float, float] | tuple[None, None]:
    """Return the error of the estimated gains over the noise power, and what is said of it; received with gains."""
    gains = received.state.gains
    if air.csi != "pilots" or gains is None:
        return None, None
    where = pilots.places(air.grid, received.symbols.shape[1])
    pairs = torch.view_as_complex(received.symbols.view(-1, 2))
    gain, said = equaliser.estimate(air.grid, pairs, where, received.state.noise_power)
    of_data = torch.stack([(gain - gains[0]).abs().square(), said])[:, where.others]
    true, claimed = (of_data.mean(1) / received.state.noise_power).tolist()
    return true, claimed


def transmissions(method: Link, air: AirSpec, args: argparse.Namespace) -> Iterator[Found]:
    """Yield what becomes of every image and draw."""
    for number, pixels in enumerate(images(args.images)):
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        sent = method.encode(x, args.snr_db, precision=args.precision, grid=air.grid)
        for draw in range(args.draws):
            seed = number * args.draws + draw
            told = method.transmit(sent, air.channel, args.snr_db, seed, air.options, with_gains=True)
            state = told.state if air.csi == "perfect" else replace(told.state, gains=None)
            decoded = method.receive(replace(told, state=state), precision=args.precision)
            shown = (255 * decoded.x_hat[0]).round().byte().permute(1, 2, 0).numpy()
            yield Found(psnr_db(pixels, shown), bool(decoded.lost[0]), *errors(air, told))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("airs", nargs="+")
    parser.add_argument("--methods", default="kltjscc")
    parser.add_argument("--snr-db", type=float, default=10.0)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--precision", default="bfloat16")
    args = parser.parse_args()
    print("| method | channel | error / noise | said | PSNR (dB) | lost |\n|---|---|--:|--:|--:|--:|", flush=True)
    for name, air in itertools.product(args.methods.split(","), airs_of(args.airs)):
        with torch.inference_mode():
            found = list(transmissions(link.load(name), air, args))
        known = [(each.error, each.said) for each in found if each.error is not None and each.said is not None]
        cells = [f"{fmean(part):.3f}" for part in zip(*known, strict=True)] or ["", ""]
        mean, lost = fmean(each.psnr_db for each in found), sum(each.is_lost for each in found)
        print(f"| {name} | `{air}` | {' | '.join(cells)} | {mean:.2f} | {lost} of {len(found)} |", flush=True)


if __name__ == "__main__":
    main()
