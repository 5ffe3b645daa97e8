"""What the header of a classified code tells: numbers and classes as few bytes as they have information."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jscc.models._klt import told
from jscc.models._klt.told import FIRST_BYTES, FIRST_CODES, Told


def uniform(classes: int) -> Tensor:
    return torch.ones(classes + 1, classes + 1, classes, dtype=torch.int32)


def grid(rows: int, columns: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, (rows, columns), generator=torch.Generator().manual_seed(seed))


def body_of(numbers: tuple[int, ...], classes: Tensor, counts: Tensor) -> bytes:
    *first, base, rest = numbers
    numbers = (*first, base >> 16, base & 0xFFFF, rest >> 16, rest & 0xFFFF)
    return told.write_numbers(list(numbers)) + told.write_classes(classes.numpy(), counts.float().numpy())


@given(
    numbers=st.tuples(
        *(st.integers(0, most) for most in (2**15 - 1, 1023, 240, 31, 2**24 - 1, 2**24 - 1)),
    ),
    classes=st.sampled_from([2, 4, 8, 16, 32]),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_everything_comes_back(numbers: tuple[int, ...], classes: int, rows: int, columns: int, seed: int) -> None:
    """Scale, step, margin, first row of the base, sizes of both parts, and all classes."""
    counts = torch.randint(1, 1000, (classes + 1, classes + 1, classes), generator=torch.Generator().manual_seed(seed))
    of_image = grid(rows, columns, classes, seed)
    body = body_of(numbers, of_image, counts)
    codes = told.read(body, rows, columns, counts.float().numpy())
    assert max(codes) < 2**told.CODE_BITS
    found = Told.of(torch.tensor([codes]).float(), rows, columns)
    assert tuple(map(int, (found.scale, found.step, found.margin, found.first_row, *found.sizes))) == numbers
    assert torch.equal(found.classes[0], of_image)
    assert found.codes()[0].tolist() == codes


@pytest.mark.parametrize(("classes", "bits"), [(2, 1), (16, 4), (32, 5)])
def test_classes_of_which_nothing_is_known_cost_their_logarithm(classes: int, bits: int) -> None:
    of_image = grid(32, 48, classes)
    size = len(told.write_classes(of_image.numpy(), uniform(classes).float().numpy()))
    expected = 32 * 48 * bits / 8
    assert expected <= size <= expected + 5
    counted = told.size_bytes(of_image[None], uniform(classes))
    assert counted.tolist() == [FIRST_BYTES + int(expected) + 1]
    assert abs(FIRST_BYTES + size - int(counted)) <= 5


def test_classes_cost_their_entropy_given_their_neighbours() -> None:
    """Classes that are their left neighbour's nine times of ten, else any of four: 0.9 + 0.025 and 3 times 0.025."""
    draw = np.random.default_rng(0)
    of_image = torch.zeros(60, 80, dtype=torch.long)
    for row in range(60):
        for column in range(80):
            stays = column and draw.random() < 0.9
            of_image[row, column] = of_image[row, column - 1] if stays else int(draw.integers(4))
    counts = uniform(4).clone()
    counts[:4, :, :] = 25 + 900 * torch.eye(4, dtype=torch.int32)[:, None]
    size = len(told.write_classes(of_image.numpy(), counts.float().numpy()))
    entropy = -(0.925 * np.log2(0.925) + 3 * 0.025 * np.log2(0.025))
    expected = (60 * 79 * entropy + 60 * 2) / 8
    assert size == pytest.approx(expected, rel=0.08)  # 4800 draws: a deviation of 2.2 %
    assert abs(FIRST_BYTES + size - int(told.size_bytes(of_image[None], counts))) <= 5


def test_neighbours_are_counted_left_and_above() -> None:
    """A patch at the edge has the neighbour 3, which is no class of three."""
    counts = told.count_neighbours([torch.tensor([[0, 1], [2, 0]])], 3)
    assert counts.sum() == 4
    for left, above, own in ((3, 3, 0), (0, 3, 1), (3, 0, 2), (2, 1, 0)):
        assert counts[left, above, own] == 1


@pytest.mark.parametrize("size", [0, 1, FIRST_BYTES - 1])
def test_a_body_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"^a body of {size} bytes, the shortest has {FIRST_BYTES}$"):
        told.read(bytes(size), 2, 2, uniform(4).float().numpy())


@given(st.binary(min_size=FIRST_BYTES, max_size=60))
def test_any_other_body_tells_some_codes(body: bytes) -> None:
    codes = told.read(body, 3, 5, uniform(16).float().numpy())
    assert len(codes) == FIRST_CODES + 15
    assert min(codes) >= 0
    assert max(codes[FIRST_CODES:]) < 16


def test_the_scale_keeps_its_gradient() -> None:
    scale = torch.tensor([7.0], requires_grad=True)
    whole = torch.tensor([1])
    Told(scale, whole, whole, whole, (whole, whole), torch.zeros(1, 2, 2, dtype=torch.long)).codes().sum().backward()
    assert scale.grad is not None
    assert scale.grad.tolist() == [1.0]
