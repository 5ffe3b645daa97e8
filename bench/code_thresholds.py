"""What the header's codes need: the energies in `jscc.framing.blocks` and `jscc.framing.word`.

    python bench/code_thresholds.py [scheme ...]      # places in blocks.SCHEMES; all, and shorter blocks, unless given

The rate of lost blocks over the SNR in dB is close to the tail of a normal distribution. It is counted in steps of
0.1 dB until fewer than 1 % are lost; a line through the deviations of these rates gives the SNR at which one block in
10,000 is. About an hour on one core.
"""

import math
import sys
from statistics import NormalDist, linear_regression

import torch

from jscc.framing import ldpc, pam
from jscc.framing.base_graph import LIFTING_SIZES
from jscc.framing.blocks import SCHEMES

LOST = 1e-4
_STEP_DB = 0.1
_BLOCKS = 600
_GROUP = 16
_ENOUGH = 60
_NORMAL = NormalDist()


def lost_share(code: ldpc.Code, per_symbol: int, snr_db: float, blocks: int = _BLOCKS) -> float:
    """Return the share of blocks of a code that are lost at an SNR; counting ends after 60."""
    generator = torch.Generator().manual_seed(round(snr_db * 100) % 2**31)
    known, noise_power = torch.zeros(code.info_bits, dtype=torch.bool), 10 ** (-snr_db / 10)
    lost = sent = 0
    group = _GROUP * LIFTING_SIZES[-1] // code.lifting
    while sent < blocks and lost < _ENOUGH:
        bits = torch.randint(2, (group, code.info_bits), generator=generator).bool()
        coded = torch.nn.functional.pad(ldpc.encode(code, bits), (0, -code.sent_bits % per_symbol))
        s = pam.modulate(coded, per_symbol)
        y = s + noise_power**0.5 * torch.randn(s.shape, generator=generator)
        ratios = pam.log_ratios(y, per_symbol, torch.full_like(y, noise_power))[:, : code.sent_bits]
        lost += int((ldpc.decode(code, ratios, known) != bits).any(1).sum())
        sent += group
    return lost / sent


def threshold_db(code: ldpc.Code, per_symbol: int, start_db: float) -> float:
    """Return the SNR in dB at which one block in 10,000 is lost; start_db is where about none is."""
    snr_db = start_db
    while lost_share(code, per_symbol, snr_db, 2 * _GROUP) < 0.5:
        snr_db -= 3 * _STEP_DB
    points: list[tuple[float, float]] = []
    while True:
        snr_db += _STEP_DB
        share = lost_share(code, per_symbol, snr_db)
        if 0 < share < 0.6:
            points.append((snr_db, _NORMAL.inv_cdf(1 - share)))
        if share < 0.01 and len(points) > 1:
            line = linear_regression(*zip(*points, strict=True))
            return (_NORMAL.inv_cdf(1 - LOST) - line.intercept) / line.slope


def report(code: ldpc.Code, per_symbol: int, energy_db: float) -> None:
    """Print what a bit of a code needs over the noise power; energy_db is about that."""
    efficiency_db = 10 * math.log10(per_symbol * code.info_bits / code.sent_bits)
    found_db = threshold_db(code, per_symbol, energy_db + efficiency_db)
    print(
        f"{per_symbol} bits a symbol, {code.rows} rows, lifting {code.lifting}: {found_db - efficiency_db:.2f} dB",
        flush=True,
    )


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    chosen = [int(argument) for argument in sys.argv[1:]]
    for number in chosen or range(len(SCHEMES)):
        scheme = SCHEMES[number]
        report(ldpc.Code(LIFTING_SIZES[-1], scheme.rows), scheme.bits_per_symbol, scheme.energy_db)
    for lifting in () if chosen else LIFTING_SIZES[:-1]:
        report(ldpc.Code(lifting, SCHEMES[0].rows), SCHEMES[0].bits_per_symbol, SCHEMES[0].energy_db + 4)


if __name__ == "__main__":
    main()
