"""The energies that `jscc.framing` takes for granted: those of its schemes, of short blocks, and of a header's word.

    python bench/code_thresholds.py                 # every scheme, every lifting size, the word: hours on one core
    python bench/code_thresholds.py 2x12@384 word   # bits per symbol x rows @ lifting size; the header's word

They are `energy_db` and `_SHORT_DB` in `blocks.py`, `NEEDED_ENERGY_DB` in `word.py`. Random blocks cross white noise in
steps of 0.25 dB until nearly all arrive. The tail of a normal distribution over dB is fitted to the counts of those
that do not, where most do, and says at which energy one in 10,000 is lost; counting that directly would take a hundred
times as long. Short codes fall a little more slowly than that: 0.1 or 0.2 dB. Energies are over the noise power: of an
information bit of a block, of a word as a whole.
"""

import math
import sys
from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

from jscc.framing import blocks, convolutional, ldpc, pam, word
from jscc.framing.base_graph import LIFTING_SIZES

FAILURES = 1e-4
STEP_DB = 0.25
BLOCKS, WORDS = 400, 20_000
MOST_LOST, FEWEST_LOST = 0.3, 0.005
"""Shares between which the tail is fitted."""
_AT_ONCE = 50
_CENTRES = torch.arange(-1.0, 1.0, 0.01, dtype=torch.float64)
_DEVIATIONS_DB = torch.arange(0.05, 1.5, 0.01, dtype=torch.float64)

Counts = dict[float, tuple[int, int]]
"""By energy in dB, how many were lost and how many were sent."""


def lost_blocks(per_symbol: int, rows: int, lifting: int, energy_db: float, count: int) -> int:
    """Return how many of `count` full blocks are lost at an energy of an information bit."""
    code, generator = ldpc.Code(lifting, rows), torch.Generator().manual_seed(round(100 * energy_db) % 2**32)
    known, lost = torch.zeros(code.info_bits, dtype=torch.bool), 0
    for _ in range(-(-count // _AT_ONCE)):
        bits = torch.randint(2, (_AT_ONCE, code.info_bits), generator=generator).bool()
        coded = ldpc.encode(code, bits)
        s = pam.modulate(coded, per_symbol)
        noise_power = torch.full_like(s, s.shape[1] / code.info_bits / 10 ** (energy_db / 10))
        y = s + noise_power.sqrt() * torch.randn(s.shape, generator=generator)
        ratios = pam.log_ratios(y, per_symbol, noise_power)[:, : coded.shape[1]]
        lost += int((ldpc.decode(code, ratios, known) != bits).any(1).sum())
    return lost


def lost_words(energy_db: float, count: int) -> int:
    """Return how many of `count` words are lost at an energy of the whole word."""
    generator = torch.Generator().manual_seed(round(100 * energy_db) % 2**32)
    bits = torch.randint(2, (count, convolutional.BITS), generator=generator) * 2.0 - 1
    amplitude = math.sqrt(10 ** (energy_db / 10) / word.USES)
    y = amplitude * convolutional.encode(bits) + torch.randn(count, word.USES, generator=generator)
    return int((convolutional.decode(amplitude * y).sign() != bits).any(1).sum())


def count(lost: Callable[[float], tuple[int, int]], start_db: float) -> Counts:
    """Count upwards from an energy at which nearly all are lost to one at which nearly none is."""
    counts: Counts = {}
    energy_db = start_db
    while not counts or counts[max(counts)][0] > FEWEST_LOST * counts[max(counts)][1]:
        counts[energy_db] = lost(energy_db)
        print(f"# {energy_db:6.2f} dB: {counts[energy_db][0]} of {counts[energy_db][1]} lost", file=sys.stderr)
        energy_db += STEP_DB
    return counts


def threshold_db(counts: Counts) -> float:
    """Return where the likeliest normal tail has FAILURES."""
    middle_db = min(counts, key=lambda energy_db: abs(counts[energy_db][0] / counts[energy_db][1] - 0.5))
    tail = {energy_db: each for energy_db, each in counts.items() if each[0] < MOST_LOST * each[1]}
    energies_db = torch.tensor([*tail], dtype=torch.float64)
    lost, sent = torch.tensor([*tail.values()], dtype=torch.float64).T
    z = (middle_db + _CENTRES[:, None, None] - energies_db) / _DEVIATIONS_DB[:, None]
    likelihood: Tensor = (lost * torch.special.log_ndtr(z) + (sent - lost) * torch.special.log_ndtr(-z)).sum(2)
    centre, deviation = divmod(int(likelihood.argmax()), len(_DEVIATIONS_DB))
    deviations = NormalDist().inv_cdf(1 - FAILURES)
    return middle_db + float(_CENTRES[centre]) + deviations * float(_DEVIATIONS_DB[deviation])


def measure(name: str) -> float:
    """Return the threshold in dB of `word` or of a scheme such as 2x12@384."""
    if name == "word":
        return threshold_db(count(lambda energy_db: (lost_words(energy_db, WORDS), WORDS), 21.0))
    scheme, _, lifting = name.partition("@")
    per_symbol, rows = map(int, scheme.split("x"))
    expected_db = next(
        (it.energy_db for it in blocks.SCHEMES if (it.bits_per_symbol, it.rows) == (per_symbol, rows)), 3
    )

    def lost(energy_db: float) -> tuple[int, int]:
        return lost_blocks(per_symbol, rows, int(lifting), energy_db, BLOCKS), BLOCKS

    return threshold_db(count(lost, expected_db - 1.5))


def main() -> None:
    """Measure what is named, or everything, and print one line for each."""
    torch.set_num_threads(1)
    largest = LIFTING_SIZES[-1]
    schemes = [f"{it.bits_per_symbol}x{it.rows}@{largest}" for it in blocks.SCHEMES]
    short = [f"1x{ldpc.MAX_ROWS}@{lifting}" for lifting in LIFTING_SIZES[:-1]]
    for name in sys.argv[1:] or [*schemes, *short, "word"]:
        print(f"{name}: {measure(name):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
