"""The quantiser of strong coefficients against theory: entropies, remainders, and bytes that come back."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jscc.models._klt import classes
from jscc.models._klt.quantiser import LEAST_RATIO, MOST, ROWS, Quantiser, row_of, sample_values

QUANTISER = Quantiser()
"""Its tables are those of a Laplacian of 20,000 samples."""
RATIOS = LEAST_RATIO + 8 * torch.arange(ROWS)
"""The middle of every row."""
LAST = int(RATIOS[-1])
ROUNDING = 0.42


def laplacian(count: int, seed: int) -> Tensor:
    """Of deviation 1."""
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.laplace(scale=2**-0.5, size=count)).float()


def step_of(ratio: int) -> float:
    """In deviations: 16 levels are an octave of the variance."""
    return float(2 ** (-ratio / 32))


def entropy_bits(step: float) -> float:
    """Of a Laplacian of deviation 1 whose magnitudes are rounded down above 0.58 of a step, by its distribution."""
    beyond = [math.exp(-(2**0.5) * (value - ROUNDING) * step) for value in range(1, MOST + 1)]
    shares = [1 - beyond[0]]
    for here, further in zip(beyond, [*beyond[1:], 0.0], strict=True):
        shares += [(here - further) / 2] * 2
    return -sum(share * math.log2(share) for share in shares if share > 0)


@pytest.mark.parametrize("row", range(0, ROWS, 3))
def test_the_price_of_a_value_is_its_entropy(row: int) -> None:
    """Within 2 % and 0.02 bits: counts of 20,000 samples, none below 1 of 2^20 for what never came."""
    expected = entropy_bits(step_of(int(RATIOS[row])))
    assert float(QUANTISER.price_bits()[row]) == pytest.approx(expected, rel=0.02, abs=0.02)


@pytest.mark.parametrize("ratio", RATIOS.tolist()[::3])
def test_what_is_left_has_the_variance_that_is_said(ratio: int) -> None:
    """Of 200,000 other samples: within half a level, 2.2 %, and the samples' own deviations, below 2 % each."""
    x = laplacian(200_000, seed=5)[None]
    ratios = torch.full(x.shape, ratio)
    left = x - QUANTISER.shown(QUANTISER.told(x, ratios), ratios)
    said = float(classes.variance(-QUANTISER.drops(ratios)[0, 0]))
    assert float(left.square().mean() / x.square().mean()) == pytest.approx(said, rel=0.07)


def test_small_steps_leave_a_twelfth_of_their_square() -> None:
    """Which is 16 log2(12) = 57.4 levels below the squared step; the dead zone costs a level or two."""
    drop = int(QUANTISER.drops(torch.tensor([LAST]))[0])
    assert -3 < drop - (LAST + 16 * math.log2(12)) <= 0.5


def test_below_the_least_ratio_nothing_is_told() -> None:
    x = 5 * laplacian(100, seed=1)[None]
    ratios = torch.full(x.shape, LEAST_RATIO - 1)
    assert not QUANTISER.told(x, ratios).any()
    assert not QUANTISER.drops(ratios).any()
    assert QUANTISER.sizes_bytes(QUANTISER.told(x, ratios), ratios, torch.tensor([9])) == (0, 0)
    assert QUANTISER.write(QUANTISER.told(x, ratios)[0], ratios[0]) == b""


@pytest.mark.parametrize("ratio", [LEAST_RATIO, -20, 0, 33, LAST, LAST + 100])
def test_values_are_those_of_a_uniform_quantiser_with_a_dead_zone(ratio: int) -> None:
    """Above the last row the step stays the same share of the deviation."""
    step = step_of(min(ratio, LAST))
    x = torch.linspace(-100 * step, 100 * step, 1001)
    expected = [math.copysign(math.floor(abs(value) / step + ROUNDING), value) for value in x.double().tolist()]
    told = QUANTISER.told(x[None], torch.full((1, 1001), ratio))[0]
    assert int((told != torch.tensor(expected).long()).sum()) <= 4  # on an edge, float32 rounds either way
    assert torch.equal(told, -QUANTISER.told(-x[None], torch.full((1, 1001), ratio))[0])
    error = (x - QUANTISER.shown(told[None], torch.full((1, 1001), ratio))[0]).abs().max()
    assert float(error) < 1.1 * step


def test_what_is_beyond_the_largest_value_is_cut() -> None:
    ratios = torch.full((1, 2), LAST)
    told = QUANTISER.told(torch.tensor([[1e6, -1e6]]), ratios)
    assert told.tolist() == [[MOST, -MOST]]
    assert QUANTISER.read(QUANTISER.write(told[0], ratios[0]), ratios[0]).tolist() == [MOST, -MOST]


@given(count=st.integers(0, 400), highest=st.integers(-80, 160), seed=st.integers(0, 1000))
def test_values_come_back_from_their_bytes(count: int, highest: int, seed: int) -> None:
    ratios = highest - torch.arange(count) // 3
    told = QUANTISER.told(laplacian(count, seed)[None], ratios[None])[0]
    assert torch.equal(QUANTISER.read(QUANTISER.write(told, ratios), ratios), told)


@given(first=st.integers(0, ROWS), seed=st.integers(0, 1000))
def test_rows_come_back_from_bytes_of_their_own(first: int, seed: int) -> None:
    """What two parts tell together is what one tells, and training counts the same bytes, but for their last ones."""
    ratios = 100 - torch.arange(400) // 3
    told = QUANTISER.told(laplacian(400, seed)[None], ratios[None])[0]
    base, rest = (QUANTISER.write(told, ratios, rows) for rows in (range(first, ROWS), range(first)))
    found = [QUANTISER.read(base, ratios, range(first, ROWS)), QUANTISER.read(rest, ratios, range(first))]
    assert torch.equal(found[0] + found[1], told)
    assert not (found[0] * found[1]).any()
    counted = QUANTISER.sizes_bytes(told[None], ratios[None], torch.tensor([first]))
    assert all(abs(len(data) - int(size)) <= 4 for data, size in zip((base, rest), counted, strict=True))


def test_bytes_are_as_many_as_their_information() -> None:
    """What training counts, and the entropy of a Laplacian, whose 4000 samples deviate by 1 % (one sigma)."""
    ratios = torch.full((1, 4000), 16)
    told = QUANTISER.told(laplacian(4000, seed=2)[None], ratios)
    size = len(QUANTISER.write(told[0], ratios[0]))
    assert abs(size - int(QUANTISER.sizes_bytes(told, ratios, torch.tensor([ROWS]))[1])) <= 4
    assert 8 * size / 4000 == pytest.approx(entropy_bits(step_of(16)), rel=0.05)


def test_other_bytes_are_other_values_and_no_error() -> None:
    ratios = torch.full((300,), 30)
    noise = np.random.default_rng(0).bytes(200)
    for data in (b"", noise, bytes(200)):
        values = QUANTISER.read(data, ratios)
        assert values.abs().max() <= MOST


def test_counts_are_whole_numbers_whose_sums_are_exact_in_float32() -> None:
    assert QUANTISER.count.min() >= 1
    assert QUANTISER.count.sum(1).max() < 2**24
    assert torch.equal(QUANTISER.count, QUANTISER.count.flip(1))


@pytest.mark.parametrize(("ratio", "row"), [(-99, 0), (-48, 0), (-45, 0), (-44, 1), (-40, 1), (104, 19), (500, 19)])
def test_rows_are_eight_levels_wide(ratio: int, row: int) -> None:
    assert row_of(torch.tensor([ratio])).tolist() == [row]


def test_tables_are_fitted_to_what_occurs() -> None:
    """To Gaussian samples at one ratio: their remainder is that of a Gaussian, and no other row changes its price."""
    built = Quantiser()
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(3))
    ratios = torch.zeros(100_000, dtype=torch.long)
    built.fit(x, ratios)
    other = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(4))
    left = other - built.shown(built.told(other, ratios[None]), ratios[None])
    assert float(left.square().mean()) == pytest.approx(float(classes.variance(-built.drops(ratios[:1]))), rel=0.05)


def test_samples_of_photos_are_coefficients_that_are_told_at_some_step() -> None:
    generator = torch.Generator().manual_seed(0)
    images = [(128 + 30 * torch.randn(3, 64, 64, generator=generator)).clamp(0, 255).byte() for _ in range(3)]
    tables = classes.Tables(2)
    tables.fit(images, rho=0.25)
    values, ratios = sample_values(tables, images, rho=0.25)
    assert values.shape == ratios.shape
    assert ratios.min() >= LEAST_RATIO
    assert float(values.square().mean()) == pytest.approx(1, rel=0.3)  # in units of their deviations
