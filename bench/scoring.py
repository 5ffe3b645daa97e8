"""What scoring one received image takes on one core, beside the packages whose values the field reports.

    python bench/scoring.py                   # Kodak's first image from $JSCC_DATA, and noise of 5 levels
    python bench/scoring.py photo.png --repeats 30

Everything that is compared takes turns in one process, so that other work on the machine meets all alike. Milliseconds
are of the process's own CPU time, of which other work takes less than of the wall clock; the latter is printed beside.
`pytorch-msssim` and `lpips` are measured where they are installed.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from jscc.data import lpips_backbone, open_dataset
from jscc.images import Pixels, read_image
from jscc.machine import cpu_model
from jscc.quality.lpips import Lpips
from jscc.quality.scores import Scorer, psnr_db
from jscc.quality.ssim import ssim_and_ms_ssim
from jscc.wire.transport import keep_freed_memory

NOISE_LEVELS = 5.0


def works(original: Pixels, received: Pixels) -> dict[str, Callable[[], object]]:
    """Return everything that is measured, by its name."""
    backbone = lpips_backbone()
    if backbone.path is None:
        raise SystemExit(backbone.note)
    lpips = Lpips(backbone.path)
    x, x_hat = (torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None] for image in (original, received))
    x, x_hat = x.contiguous(), x_hat.contiguous()
    scorer = Scorer(lpips)
    found: dict[str, Callable[[], object]] = {
        "all scores of a known original": lambda: scorer.score(original, received),
        "all scores of a new original": lambda: Scorer(lpips).score(original, received),
        "PSNR": lambda: psnr_db(original, received),
        "SSIM and MS-SSIM": lambda: ssim_and_ms_ssim(x_hat, x),
        "LPIPS": lambda: lpips(x_hat, x),
    }
    try:
        package = importlib.import_module("pytorch_msssim")
        found["SSIM and MS-SSIM of pytorch-msssim"] = lambda: (
            package.ssim(x_hat, x, data_range=1.0),
            package.ms_ssim(x_hat, x, data_range=1.0),
        )
    except ImportError:
        print("pytorch-msssim is left out: not installed")
    try:
        network = importlib.import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
        found["LPIPS of lpips"] = lambda: network(x_hat, x, normalize=True)
    except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch raises the latter
        print(f"lpips is left out: {error}")
    return found


def main() -> None:
    """Measure, and print medians and minima."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    asked = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    original = read_image(asked.image or open_dataset("kodak").images[0].path)
    noise = np.random.default_rng(0).normal(0, NOISE_LEVELS, original.shape)
    received = np.clip(np.rint(original + noise), 0, 255).astype(np.uint8)
    print(f"{original.shape[1]}x{original.shape[0]} px, {cpu_model()}, one thread, {asked.repeats} repeats in turns")
    measured = works(original, received)
    cpu_ms: dict[str, list[float]] = {name: [] for name in measured}
    wall_ms: dict[str, list[float]] = {name: [] for name in measured}
    with torch.inference_mode():
        for turn in range(-2, asked.repeats):
            for name, work in measured.items():
                begun_s, used_s = time.perf_counter(), time.process_time()
                work()
                if turn >= 0:
                    cpu_ms[name].append(1e3 * (time.process_time() - used_s))
                    wall_ms[name].append(1e3 * (time.perf_counter() - begun_s))
    print(f"{'':36} {'CPU p50':>8} {'least':>8} {'wall p50':>9}  ms")
    for name in measured:
        print(f"{name:36} {np.median(cpu_ms[name]):8.1f} {min(cpu_ms[name]):8.1f} {np.median(wall_ms[name]):9.1f}")


if __name__ == "__main__":
    main()
