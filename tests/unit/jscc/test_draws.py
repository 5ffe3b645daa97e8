"""Draws: any number of processes draws what one draws."""

import torch

from jscc.draws import Draws


def draws(rows: slice | None = None, batch_size: int | None = None) -> Draws:
    return Draws(torch.Generator().manual_seed(3), rows, batch_size)


def test_shares_of_a_batch_are_the_rows_of_the_whole() -> None:
    """Also shares of 1 and 2 beside sizes of 1 and 2, and one draw after another."""
    whole = draws()
    expected = (whole.rand(6, 2), whole.shared_int(5), whole.randn(6, 3, 1), whole.rand(6))
    for share in (1, 2, 3):
        for start in range(0, 6, share):
            rows = slice(start, start + share)
            part = draws(rows, 6)
            assert torch.equal(part.rand(share, 2), expected[0][rows])
            assert torch.equal(part.shared_int(5), expected[1])
            assert torch.equal(part.randn(share, 3, 1), expected[2][rows])
            assert torch.equal(part.rand(share), expected[3][rows])


def test_a_shared_number_is_one_of_the_numbers_below_its_bound() -> None:
    source = draws()
    assert {int(source.shared_int(3)) for _ in range(100)} == {0, 1, 2}
