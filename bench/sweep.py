"""A sweep through the link beside the loop of a single-process script with the same weights and metrics.

    python bench/sweep.py                          # Kodak's first 8 images, the default method, six SNRs
    python bench/sweep.py --method softcast --images 24

The loop is what a script does: eager float32 with all cores, one image after the other, encoder, channel, decoder, then
PSNR, SSIM and MS-SSIM (`pytorch-msssim`) and LPIPS of both images. The link is `jscc-link sweep` as it is: services at
the precision that suits the machine, start, rows, references of PSNR alone, report and figures included. Both are
processes that start from nothing, one after the other; memory is the largest sum of what their processes hold alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import torch

from jscc.data import lpips_backbone, open_dataset
from jscc.images import read_image
from jscc.link import load
from jscc.machine import cpu_model
from jscc.quality.lpips import Lpips
from jscc.quality.scores import psnr_db

SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
_LOOK_S = 0.25


class Cost(NamedTuple):
    """What a process and its children took: seconds of the wall clock and of all cores, MiB at the peak."""

    wall_s: float
    cpu_s: float
    memory_mib: float


@torch.inference_mode()
def loop(method: str, images: int) -> None:
    """Send and score, and print the seconds that all but imports and loading took."""
    import pytorch_msssim

    backbone = lpips_backbone()
    if backbone.path is None:
        raise SystemExit(backbone.note)
    link, lpips, psnrs_db = load(method), Lpips(backbone.path), []
    begun_s = time.perf_counter()
    for image in open_dataset("kodak").images[:images]:
        pixels = read_image(image.path)
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        for seed, snr_db in enumerate(SNRS_DB):
            sent = link.encode(x, snr_db=snr_db)
            x_hat = link.decode(link.transmit(sent, "awgn", snr_db=snr_db, seed=seed))
            shown = x_hat.mul(255).round().clamp(0, 255)
            psnrs_db.append(psnr_db(pixels, shown[0].byte().permute(1, 2, 0).numpy()))
            pytorch_msssim.ssim(shown, 255 * x, data_range=255)
            pytorch_msssim.ms_ssim(shown, 255 * x, data_range=255)
            lpips(shown / 255, x)
    print(json.dumps({"loop_s": time.perf_counter() - begun_s, "psnr_db": sum(psnrs_db) / len(psnrs_db)}))


def run(command: list[str]) -> tuple[Cost, str]:
    """Run a command to its end, and return what it took and its standard output."""
    before, begun_s, peak_bytes = os.times(), time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _held_bytes(process.pid))
            time.sleep(_LOOK_S)
        assert process.stdout is not None
        text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.perf_counter() - begun_s, cpu_s, peak_bytes / 2**20), text


def _held_bytes(pid: int) -> int:
    """Return what a process and those below it hold and no other does."""
    try:
        process = psutil.Process(pid)
        return sum(it.memory_full_info().uss for it in (process, *process.children(recursive=True)))
    except psutil.Error:  # one ended while it was looked at
        return 0


def main() -> None:
    """Measure both and print their costs for each transmission."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="kltjscc")
    parser.add_argument("--images", type=int, default=8, help="of Kodak, 1..24")
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.loop:
        return loop(asked.method, asked.images)
    own = ["--method", asked.method, "--images", str(asked.images)]
    with TemporaryDirectory() as folder:
        snrs_db = ",".join(f"{snr_db:g}" for snr_db in SNRS_DB)
        sweep = ["sweep", "--methods", asked.method, "--limit", str(asked.images), f"--snr-db={snrs_db}"]
        executable = str(Path(sys.executable).with_name("jscc-link"))
        through_link, _ = run([executable, *sweep, "--out", folder])
    plain, text = run([sys.executable, __file__, *own, "--loop"])
    count, found = asked.images * len(SNRS_DB), json.loads(text)
    print(f"{asked.method}, {count} transmissions of Kodak, {cpu_model()}, {os.cpu_count()} cores")
    print("| | wall s | a transmission ms | CPU s | MiB |\n|---|--:|--:|--:|--:|")
    for name, cost in (("`jscc-link sweep`", through_link), ("plain loop", plain)):
        each_ms = 1e3 * cost.wall_s / count
        print(f"| {name} | {cost.wall_s:.1f} | {each_ms:.0f} | {cost.cpu_s:.1f} | {cost.memory_mib:.0f} |")
    print(f"plain loop without its start: {found['loop_s']:.1f} s, mean PSNR {found['psnr_db']:.2f} dB")
    print(f"the link takes {plain.wall_s / through_link.wall_s:.2f} times less time")
    return None


if __name__ == "__main__":
    main()
