"""The extended Golay code against what is known of it."""

import math

import pytest
import torch
from torch import Tensor

from jscc.models import _golay


def all_bits() -> Tensor:
    return 1.0 - 2 * ((torch.arange(4096)[:, None] >> torch.arange(12)) & 1)


def random_words(count: int, seed: int = 0) -> Tensor:
    return all_bits()[torch.randint(4096, (count,), generator=torch.Generator().manual_seed(seed))]


def test_weights_are_those_of_the_extended_golay_code() -> None:
    """1, 759, 2576, 759 and 1 codewords of weight 0, 8, 12, 16 and 24: MacWilliams and Sloane, chapter 2."""
    weights = ((1 - _golay.encode(all_bits())) / 2).sum(1).long().bincount(minlength=25)
    assert {weight: int(count) for weight, count in enumerate(weights) if count} == {
        0: 1,
        8: 759,
        12: 2576,
        16: 759,
        24: 1,
    }


def test_the_code_is_linear_and_begins_with_its_bits() -> None:
    first, second = random_words(500), random_words(500, seed=1)
    assert torch.equal(_golay.encode(first)[:, : _golay.BITS], first)
    assert torch.equal(_golay.encode(first) * _golay.encode(second), _golay.encode(first * second))


def test_without_noise_the_bits_come_back() -> None:
    words = random_words(5000).view(50, 100, 12)  # more than are decoded at once
    torch.testing.assert_close(_golay.decode(10 * _golay.encode(words)), words)


def test_no_words_are_no_bits() -> None:
    assert _golay.decode(torch.zeros(2, 0, 24)).shape == (2, 0, 12)


def test_errors_are_as_rare_as_the_union_bound_says() -> None:
    """At most 759 Q(x), x^2 = 8 a^2 / s2, for neighbours at distance 8, and at least a tenth of it at x = 4.

    20 000 words: 0.024 bounds 480 errors; the count would have to be 18 sigmas above its bound to fail without reason.
    """
    x, words = 4.0, random_words(20_000)
    amplitude = x / math.sqrt(_golay.DISTANCE)
    y = amplitude * _golay.encode(words) + torch.randn(
        len(words), _golay.CHIPS, generator=torch.Generator().manual_seed(2)
    )
    wrong = (_golay.decode(y * amplitude).sign() != words).any(1).double().mean().item()
    bound = 759 * 0.5 * math.erfc(x / math.sqrt(2))
    assert bound / 10 < wrong < bound


@pytest.mark.parametrize("amplitude", [0.3, 0.7, 1.0])
def test_expected_bits_know_their_own_doubt(amplitude: float) -> None:
    """A conditional mean m of a sign has the mean squared error E[1 - m^2], at any noise.

    20 000 words of 12 bits whose squared errors are within 0..4: five sigmas are below 0.03.
    """
    words = random_words(20_000, seed=3)
    y = amplitude * _golay.encode(words) + torch.randn(
        len(words), _golay.CHIPS, generator=torch.Generator().manual_seed(4)
    )
    expected = _golay.decode(y * amplitude)
    error, doubt = (expected - words).square().mean().item(), (1 - expected.square()).mean().item()
    assert error == pytest.approx(doubt, abs=0.03)
    assert error < 1
