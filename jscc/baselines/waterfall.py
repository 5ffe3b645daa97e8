"""Measurement of the thresholds in `jscc.baselines.mcs`: `python -m jscc.baselines.waterfall [index ...]`.

The rate of lost blocks over the SNR in dB is close to the tail of a normal distribution, as it is for the best codes of
a finite length, whose deviation is known in theory. Here it is a little larger, by one factor for all schemes of a
modulation. So blocks are counted around the SNR where half of them are lost, one centre for each scheme and the common
factor are fitted to the counts, and the tail gives the SNR at which a frame of Kodak's size is lost with a probability
of FRAME_FAILURES. Counting that directly would take a million blocks for each scheme.

Source: Y. Polyanskiy, H. V. Poor and S. Verdu, "Channel Coding Rate in the Finite Blocklength Regime", 2010, eq. (1)
and theorem 54.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from jscc.baselines import phy
from jscc.baselines.mcs import TABLE, Mcs

SYMBOLS = 294912
"""Real symbols of a 768x512 px image at rho = 1/4."""
FRAME_FAILURES = 0.001
"""Share of the frames that are lost at a threshold."""
BLOCKS, TAIL_BLOCKS = 48, 96
"""Sent at each SNR around the centre and in the tail: of every scheme some four hundred in all."""

_STEP_DB, _TAIL_STEPS = 0.1, 2
_GROUP_BLOCKS = 8
_CENTRES_DB = torch.arange(-0.3, 0.3, 0.01, dtype=torch.float64)
_FACTORS = torch.arange(0.8, 2.0, 0.05, dtype=torch.float64)

Counts = dict[float, tuple[float, int]]
"""By SNR in dB, how many blocks were lost and how many were sent."""


class Fit(NamedTuple):
    """What explains the counts of several schemes best.

    Attributes:
        factor: deviations are those of theory times this.
        centres_db: SNR in dB at which half the blocks of each scheme are lost.
    """

    factor: float
    centres_db: tuple[float, ...]


@torch.no_grad()
def count_failures(mcs: Mcs, snr_db: float, blocks: int, seed: int = 0) -> int:
    """Send random blocks of a frame of SYMBOLS symbols through white noise and count those that fail.

    Args:
        mcs: modulation and code rate.
        snr_db: SNR in dB.
        blocks: how many are sent.
        seed: of bits and noise.
    """
    generator, division = torch.Generator().manual_seed(seed), phy.divide(mcs, SYMBOLS)
    deviation, failures = 10 ** (-snr_db / 20), 0
    for start in range(0, blocks, _GROUP_BLOCKS):
        shape = (min(_GROUP_BLOCKS, blocks - start), division.info_bits - phy.CRC_BITS)
        bits = torch.randint(2, shape, generator=generator).float()
        s = phy.send_blocks(division, bits)
        y = s + deviation * torch.randn(s.shape, generator=generator)
        received, _ = phy.receive_blocks(division, y, deviation**2)
        failures += int((received != bits).any(dim=1).sum())
    return failures


def deviation_db(symbols: int, snr_db: float) -> float:
    """Return the deviation in dB of the normal tail of the best code of a length, at the SNR of its rate.

    `sqrt(V / n)` in nats over the slope of the capacity in dB; the dispersion of a real Gaussian channel is
    `V = P (P + 2) / (2 (P + 1)^2)`, its capacity `1/2 ln(1 + P)`.

    Args:
        symbols: n, real symbols of a block.
        snr_db: P in dB.
    """
    power = 10 ** (snr_db / 10)
    dispersion = power * (power + 2) / (2 * (power + 1) ** 2)
    slope = power * math.log(10) / 10 / (2 * (1 + power))
    return math.sqrt(dispersion / symbols) / slope


def count(mcs: Mcs, report: Callable[[str], None]) -> Counts:
    """Count lost blocks in steps of 0.1 dB: around the centre until both sides have been seen, and in the tail above.

    Args:
        mcs: with a threshold that is not far off.
        report: gets a line for every count.
    """
    counts: Counts = {}

    def lost(step: int, blocks: int) -> float:
        snr_db = step * _STEP_DB
        if counts.get(snr_db, (0.0, 0))[1] < blocks:
            counts[snr_db] = count_failures(mcs, snr_db, blocks, seed=step % 2**32), blocks
            report(f"{mcs.name}: {snr_db:6.2f} dB: {counts[snr_db][0]} of {blocks} blocks failed")
        return counts[snr_db][0] / counts[snr_db][1]

    step = round((mcs.threshold_db - _margin_db(mcs, mcs.threshold_db, 1.0)) / _STEP_DB)
    while lost(step, BLOCKS) < 0.5:
        step -= 1
    while lost(step, BLOCKS) >= 0.5:
        step += 1
    for more in range(1, _TAIL_STEPS + 1):
        lost(step + more, TAIL_BLOCKS)
    return counts


def fit(counts: Sequence[Counts], symbols: Sequence[int]) -> Fit:
    """Return the common factor and the centres that make the counts the most likely.

    Of the factor the likelihood is that over all centres: with the likeliest alone, which a few blocks pull to
    themselves, it would come out a quarter too small.

    Args:
        counts: of each scheme.
        symbols: real symbols of a block of each scheme.
    """
    tables = [_likelihoods(own, length) for own, length in zip(counts, symbols, strict=True)]  # each [factor, centre]
    best = int(sum(table.logsumexp(dim=1) for table in tables).argmax())  # type: ignore[union-attr]
    shifts_db = [float(_CENTRES_DB[int(table[best].argmax())]) for table in tables]
    centres_db = (_middle_db(own) + shift_db for own, shift_db in zip(counts, shifts_db, strict=True))
    return Fit(float(_FACTORS[best]), tuple(centres_db))


def main() -> None:
    """Measure the schemes whose indices are given, or all, and print the rows of the table."""
    torch.set_num_threads(1)
    schemes = [TABLE[int(argument)] for argument in sys.argv[1:]] or list(TABLE)
    for _, group in groupby(schemes, lambda mcs: mcs.bits_per_symbol):
        of_a_modulation = list(group)
        counts = [count(mcs, _report) for mcs in of_a_modulation]
        for measured in thresholds(of_a_modulation, counts, _report):
            row = f"Mcs({measured.bits_per_symbol}, {measured.rate_1024:g}, {measured.threshold_db:.1f})"
            print(f"    {row},", flush=True)


def thresholds(schemes: Sequence[Mcs], counts: Sequence[Counts], report: Callable[[str], None]) -> Iterator[Mcs]:
    """Yield the schemes of one modulation with the thresholds that their counts give, to the next 0.1 dB above."""
    found = fit(counts, [phy.divide(mcs, SYMBOLS).block_symbols for mcs in schemes])
    report(f"deviations are {found.factor:.2f} times those of theory")
    for mcs, centre_db in zip(schemes, found.centres_db, strict=True):
        exact_db = centre_db + _margin_db(mcs, centre_db, found.factor)
        report(f"{mcs.name}: half fail at {centre_db:.2f} dB, threshold {exact_db:.2f} dB")
        yield replace(mcs, threshold_db=math.ceil(round(exact_db / _STEP_DB, 1)) * _STEP_DB)


def _margin_db(mcs: Mcs, snr_db: float, factor: float) -> float:
    """By how much the threshold is above the centre."""
    division = phy.divide(mcs, SYMBOLS)
    tail = NormalDist().inv_cdf(1 - FRAME_FAILURES / division.blocks)
    return tail * factor * deviation_db(division.block_symbols, snr_db)


def _middle_db(counts: Counts) -> float:
    """The SNR of the grid at which the share of lost blocks is the nearest to half."""
    return min(counts, key=lambda snr_db: abs(counts[snr_db][0] / counts[snr_db][1] - 0.5))


def _likelihoods(counts: Counts, symbols: int) -> Tensor:
    """Return the logarithms of the counts' likelihoods by factor and by centre relative to the middle."""
    middle_db = _middle_db(counts)
    snr_db = torch.tensor([*counts], dtype=torch.float64)
    failed, sent = torch.tensor([*counts.values()], dtype=torch.float64).T
    deviations_db = _FACTORS[:, None, None] * deviation_db(symbols, middle_db)
    z = (middle_db + _CENTRES_DB[:, None] - snr_db) / deviations_db
    likelihoods: Tensor = failed * torch.special.log_ndtr(z) + (sent - failed) * torch.special.log_ndtr(-z)
    return likelihoods.sum(dim=2)


def _report(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
