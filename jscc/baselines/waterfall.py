"""Measurement of the thresholds in `jscc.baselines.mcs`: `python -m jscc.baselines.waterfall [index ...]`.

The rate of lost blocks over the SNR in dB is close to the tail of a normal distribution, as it is for the best codes of
a finite length. Its two parameters are fitted to counts on a grid of SNRs, and give the SNR at which a frame of
Kodak's size fails with a probability of 1 %. Counting that directly would take a hundred times as many blocks.

Source: Y. Polyanskiy, H. V. Poor and S. Verdu, "Channel Coding Rate in the Finite Blocklength Regime", 2010, eq. (1).
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import torch

from jscc.baselines import phy
from jscc.baselines.mcs import TABLE, Mcs

SYMBOLS = 294912
"""Real symbols of a 768x512 px image at rho = 1/4."""
FRAME_FAILURES = 0.01

_STEP_DB = 0.1
_COARSE_DB = 0.4
_GROUP_BLOCKS = 8
_GRID_DB = torch.arange(-2.0, 2.0, 0.01, dtype=torch.float64)
_DEVIATIONS_DB = torch.arange(0.02, 0.4, 0.01, dtype=torch.float64)


@torch.no_grad()
def count_failures(mcs: Mcs, snr_db: float, blocks: int, seed: int = 0) -> int:
    """Send random blocks of a frame of SYMBOLS symbols through white noise and count those that fail.

    Args:
        mcs: modulation and code rate.
        snr_db: SNR in dB.
        blocks: how many are sent.
        seed: of bits and noise.
    """
    generator, frame = torch.Generator().manual_seed(seed), phy.divide(mcs, SYMBOLS)
    deviation, failures = 10 ** (-snr_db / 20), 0
    for start in range(0, blocks, _GROUP_BLOCKS):
        shape = (min(_GROUP_BLOCKS, blocks - start), frame.info_bits - phy.CRC_BITS)
        bits = torch.randint(2, shape, generator=generator).float()
        s = phy.send_blocks(frame, bits)
        y = s + deviation * torch.randn(s.shape, generator=generator)
        received, _ = phy.receive_blocks(frame, y, deviation**2)
        failures += int((received != bits).any(dim=1).sum())
    return failures


def measure_threshold(mcs: Mcs, blocks: int = 48, report: Callable[[str], None] = print) -> Mcs:
    """Return a scheme with its threshold measured, to the next 0.1 dB above; starts near the one that it has.

    Args:
        mcs: modulation and code rate.
        blocks: sent at each SNR in the waterfall.
        report: gets a line for every measurement.
    """
    counts: dict[int, tuple[int, int]] = {}  # by SNR in steps: failures and blocks

    def failures(step: int, count: int) -> float:
        if counts.get(step, (0, 0))[1] < count:
            counts[step] = count_failures(mcs, step * _STEP_DB, count, seed=step % 2**32), count
            report(f"{mcs.name}: {step * _STEP_DB:6.2f} dB: {counts[step][0]} of {count} blocks failed")
        return counts[step][0] / counts[step][1]

    step, stride = round(mcs.threshold_db / _STEP_DB), round(_COARSE_DB / _STEP_DB)
    while failures(step, _GROUP_BLOCKS) < 0.5:
        step -= stride
    while failures(step, _GROUP_BLOCKS) >= 0.5:
        step += stride
    top = step
    while failures(top, blocks) > 1 / blocks:
        top += 1
    while failures(step, blocks) < 0.5:
        step -= 1
    centre_db, deviation_db = fit({step * _STEP_DB: count for step, count in counts.items()})
    tail = NormalDist().inv_cdf(1 - FRAME_FAILURES / phy.divide(mcs, SYMBOLS).blocks)
    threshold_db = centre_db + tail * deviation_db
    report(f"{mcs.name}: half fail at {centre_db:.2f} dB (deviation {deviation_db:.2f}), 1 % at {threshold_db:.2f} dB")
    return replace(mcs, threshold_db=-(-round(threshold_db, 2) * 10 // 1) / 10)


def fit(counts: dict[float, tuple[int, int]]) -> tuple[float, float]:
    """Return centre and deviation in dB of the normal tail that explains the counts best.

    Args:
        counts: by SNR in dB, how many blocks failed and how many were sent.
    """
    snr_db = torch.tensor([*counts], dtype=torch.float64)
    failed, sent = torch.tensor([*counts.values()], dtype=torch.float64).T
    start_db = float(snr_db[(failed / sent - 0.5).abs().argmin()])
    z = (start_db + _GRID_DB[:, None, None] - snr_db) / _DEVIATIONS_DB[:, None]
    likelihood = failed * torch.special.log_ndtr(z) + (sent - failed) * torch.special.log_ndtr(-z)
    best = int(likelihood.sum(dim=2).argmax())
    return start_db + float(_GRID_DB[best // len(_DEVIATIONS_DB)]), float(_DEVIATIONS_DB[best % len(_DEVIATIONS_DB)])


def main() -> None:
    """Measure the schemes whose indices are given, or all, and print the rows of the table."""
    for index in [int(argument) for argument in sys.argv[1:]] or range(len(TABLE)):
        mcs = measure_threshold(TABLE[index], report=lambda line: print(f"# {line}", file=sys.stderr, flush=True))
        print(f"    Mcs({mcs.bits_per_symbol}, {mcs.rate_1024:g}, {mcs.threshold_db:.1f}),  # {index}", flush=True)


if __name__ == "__main__":
    main()
