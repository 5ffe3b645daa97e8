"""The quantiser of strong coefficients: one step for all of an image, and what photos make of it.

Steps are levels as variances are, so that the ratio of deviation and step is a whole number, and a table of counts says
how often each value occurs at each ratio: its entropy is what the value costs. A coefficient of a deviation well below
the step is not told.

Source: G. Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", IEEE Trans.
Information Theory, 1996, for the dead zone.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jscc.framing import bits
from jscc.models._klt import classes
from jscc.models._klt.classes import LEVELS_PER_OCTAVE

LEAST_RATIO = -48
"""Levels of the variance above the squared step; below, nothing is told."""
_RATIOS_PER_ROW = 8
ROWS = 20
MOST = 127
"""Values are -MOST..MOST."""
_ROUNDING = 0.42
_QUANTILES = 2000
_MOST_IMAGES = 150
_STEP_SHARES = (0.002, 0.006, 0.02, 0.05, 0.12, 0.3)
"""Shares of an image's coefficients above the steps that the tables are fitted at."""
_TOTAL = 2**20
"""Of the counts of a row, about."""


class Quantiser(nn.Module):
    """Tables over rows of the ratio of variance and squared step."""

    count: Tensor
    drop: Tensor
    shrink: Tensor

    def __init__(self) -> None:
        """Build placeholders: those of a Laplacian; `fit` puts those of photos in their place."""
        super().__init__()
        self.register_buffer("count", torch.ones(ROWS, 2 * MOST + 1, dtype=torch.int32))
        self.register_buffer("drop", torch.zeros(ROWS))
        self.register_buffer("shrink", torch.zeros(ROWS))
        uniform = (torch.arange(_QUANTILES) + 0.5) / _QUANTILES - 0.5
        laplacian = -uniform.sign() * (1 - 2 * uniform.abs()).log() / 2**0.5
        ratio = LEAST_RATIO + _RATIOS_PER_ROW * torch.arange(ROWS)
        self.fit(laplacian.repeat(ROWS), ratio.repeat_interleave(len(laplacian)))

    @torch.no_grad()
    def fit(self, values: Tensor, ratio: Tensor) -> None:
        """Fit the tables.

        Args:
            values: [n] coefficients in units of their deviations.
            ratio: int64 [n] levels of their variances above the squared step, LEAST_RATIO or more.
        """
        row = row_of(ratio)
        steps = values * torch.exp2(ratio / (2 * LEVELS_PER_OCTAVE))
        told = _round(steps)
        size = 2 * MOST + 1
        count = (row * size + told + MOST).bincount(minlength=ROWS * size).view(ROWS, size).double()
        count = count + count.flip(1)
        scaled = count * (_TOTAL / count.sum(1, keepdim=True).clamp_min(1))
        self.count.copy_(scaled.round().clamp_min(1))
        magnitude, said = steps.abs().double(), told.abs().double()
        some = (told != 0).double()
        sums = torch.zeros(4, ROWS).double()
        parts = (some * (said - magnitude), some, steps.double().square(), torch.ones_like(some))
        for total, part in zip(sums, parts, strict=True):
            total.index_add_(0, row, part)
        self.shrink.copy_((sums[0] / sums[1].clamp_min(1)).clamp(-0.1, 0.5))
        left = (steps - self._value(told, row)).double().square()
        remaining = torch.zeros(ROWS).double().index_add_(0, row, left) / sums[2].clamp_min(1e-9)
        self.drop.copy_((-LEVELS_PER_OCTAVE * remaining.clamp(1e-6, 1).log2()).round().clamp_min(0))

    def _value(self, told: Tensor, row: Tensor) -> Tensor:
        """Return what is shown for values, in steps: a little less than they say."""
        return told - told.sign() * self.shrink[row]

    def told(self, values: Tensor, ratio: Tensor) -> Tensor:
        """Return coefficients [B, k], in units of their deviations, as values int64; 0 where nothing is told."""
        step = torch.exp2(-_used(ratio) / (2 * LEVELS_PER_OCTAVE))
        return _round(values / step) * (ratio >= LEAST_RATIO)

    def shown(self, told: Tensor, ratio: Tensor) -> Tensor:
        """Return what values [B, k] stand for, in units of the coefficients' deviations."""
        return self._value(told, row_of(ratio)) * torch.exp2(-_used(ratio) / (2 * LEVELS_PER_OCTAVE))

    def drops(self, ratio: Tensor) -> Tensor:
        """Return by how many levels the variances of what is left are below those of the coefficients."""
        return self.drop.long()[row_of(ratio)] * (ratio >= LEAST_RATIO)

    def _shares(self) -> Tensor:
        """Return how likely each value is, [ROWS, values]."""
        count = self.count.double()
        return count / count.sum(1, keepdim=True)

    def price_bits(self) -> Tensor:
        """Return the entropy [ROWS] of a value."""
        share = self._shares()
        return -(share * share.log2()).sum(1)

    def sizes_bytes(self, told: Tensor, ratio: Tensor, first_row: Tensor) -> tuple[Tensor, Tensor]:
        """Return about how many bytes the values [B, k] take: from first_row [B] on, and those before, int64 [B]."""
        price = -self._shares().log2()[row_of(ratio), told + MOST] * (ratio >= LEAST_RATIO)
        base = (price * (row_of(ratio) >= first_row[:, None])).sum(1)
        return (base / 8).ceil().long(), ((price.sum(1) - base) / 8).ceil().long()

    def write(self, told: Tensor, ratio: Tensor, of_rows: range = range(ROWS)) -> bytes:
        """Return those of the values [k] of one image that are of these rows as bytes, row by row."""
        counts, rows = bits.counts_of(self.count), _rows(ratio)
        values = (told + MOST).cpu().numpy().astype(np.int32)
        return bits.encode((values[rows == row], counts[row]) for row in _present(rows, of_rows))

    def read(self, data: bytes, ratio: Tensor, of_rows: range = range(ROWS)) -> Tensor:
        """Return the values int64 [k] that bytes tell, 0 where they tell none.

        Raises:
            ValueError: no such values are written as these bytes.
        """
        counts, rows = bits.counts_of(self.count), _rows(ratio)
        decoder, values = bits.Decoder(data), np.zeros(len(rows), np.int64)
        for row in _present(rows, of_rows):
            chosen = rows == row
            values[chosen] = decoder.group(int(chosen.sum()), counts[row]) - MOST
        return torch.from_numpy(values).to(ratio.device)


def _used(ratio: Tensor) -> Tensor:
    """Return the ratio whose step is used: above the table's last row, the step grows with the deviation."""
    return ratio.clamp(max=LEAST_RATIO + _RATIOS_PER_ROW * (ROWS - 1))


def _round(steps: Tensor) -> Tensor:
    return ((steps.abs() + _ROUNDING).floor().clamp(max=MOST) * steps.sign()).long()


def row_of(ratio: Tensor) -> Tensor:
    """Return the tables' rows for ratios."""
    row = (ratio - LEAST_RATIO + _RATIOS_PER_ROW // 2).div(_RATIOS_PER_ROW, rounding_mode="floor")
    return row.clamp(0, ROWS - 1).long()


def _rows(ratio: Tensor) -> NDArray[np.int64]:
    """Return the row of every coefficient, -1 where nothing is told."""
    return torch.where(ratio >= LEAST_RATIO, row_of(ratio), -1).cpu().numpy()


def _present(rows: NDArray[np.int64], of_rows: range) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.unique(rows[(rows >= of_rows.start) & (rows < of_rows.stop)])
    return found


def sample_values(tables: classes.Tables, images: list[Tensor], rho: float) -> tuple[Tensor, Tensor]:
    """Return what `fit` wants of training images uint8 [3, H, W]: their coefficients, at steps as they occur.

    Args:
        tables: fitted.
        images: at most _MOST_IMAGES of them are used, evenly spread.
        rho: of the code.
    """
    values, ratios = [], []
    for image in images[:: max(1, -(-len(images) // _MOST_IMAGES))]:
        coefficients = tables.analyse(classes.whole_patches(image))
        of_image = tables.classify(coefficients)
        places = classes.Places(tables, of_image, max(1, round(rho * coefficients.numel())))
        value = (places.take(classes.to_spectrum(coefficients)) / places.deviation)[0]
        levels = places.levels[0]
        for share in _STEP_SHARES:
            ratio = levels - levels[int(share * (len(levels) - 1))]
            used = (ratio >= LEAST_RATIO).nonzero().flatten()
            values.append(value[used])
            ratios.append(ratio[used])
    return torch.cat(values), torch.cat(ratios)
