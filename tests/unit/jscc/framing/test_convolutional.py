"""The tail-biting convolutional code against what is known of it."""

import math

import pytest
import torch
from torch import Tensor

from jscc.framing import convolutional

SPECTRUM = {10: 11, 12: 38, 14: 193, 16: 1331, 18: 7275}
"""Paths by weight of the code (133, 171).

Source: J. Conan, "The weight spectra of some short low-rate convolutional codes", IEEE Trans. Communications, 1984.
"""


def random_words(count: int, seed: int = 0) -> Tensor:
    signs = torch.randint(2, (count, convolutional.BITS), generator=torch.Generator().manual_seed(seed))
    return 1.0 - 2 * signs


def received(words: Tensor, amplitude: float, seed: int) -> Tensor:
    noise = torch.randn(len(words), convolutional.CHIPS, generator=torch.Generator().manual_seed(seed))
    return amplitude * convolutional.encode(words) + noise


def test_the_lightest_codewords_are_those_of_the_code() -> None:
    """11 of weight 10 begin at each bit, with 36 ones among their bits; none is lighter, and none weighs 11."""
    number = torch.arange(2**15)
    words = torch.ones(len(number), convolutional.BITS)
    words[:, 0] = -1
    words[:, 1:16] = 1.0 - 2 * (number[:, None] >> torch.arange(15) & 1)
    weight = ((1 - convolutional.encode(words)) / 2).sum(1).round().long()
    assert weight.min() == 10
    light = weight == 10
    assert (int(light.sum()), int(((1 - words[light]) / 2).sum())) == (11, 36)
    assert not (weight == 11).any()


def test_the_code_is_linear_and_has_no_beginning() -> None:
    first, second = random_words(500), random_words(500, seed=1)
    chips = convolutional.encode(first)
    assert chips.unique().tolist() == [-1, 1]
    assert torch.equal(chips * convolutional.encode(second), convolutional.encode(first * second))
    turned = torch.cat([half.roll(7, 1) for half in chips.chunk(2, 1)], dim=1)
    assert torch.equal(convolutional.encode(first.roll(7, 1)), turned)


@pytest.mark.parametrize("strength", [5.0, 1e6])
def test_without_noise_the_bits_come_back(strength: float) -> None:
    words = random_words(1200).view(3, 400, -1)  # more than are decoded at once
    torch.testing.assert_close(convolutional.decode(strength * convolutional.encode(words)), words)


def test_no_words_are_no_bits() -> None:
    assert convolutional.decode(torch.zeros(2, 0, convolutional.CHIPS)).shape == (2, 0, convolutional.BITS)


def test_errors_are_as_rare_as_the_union_bound_says() -> None:
    """At high SNR about 64 sum a_d Q(sqrt(d) a): paths of the spectrum, beginning at any of the 64 bits.

    6000 words at 3 dB of E_b / N_0: 27 wrong ones are expected, with a deviation of 5; twice as many are five sigmas.
    """
    amplitude = 10 ** (3 / 20)
    words = random_words(6000)
    wrong = (convolutional.decode(received(words, amplitude, 2) * amplitude).sign() != words).any(1).sum().item()
    bound = sum(32 * count * math.erfc(amplitude * math.sqrt(d / 2)) for d, count in SPECTRUM.items()) * len(words)
    assert bound / 5 < wrong < 2 * bound


@pytest.mark.parametrize("amplitude", [0.4, 0.8, 1.0])
def test_expected_bits_know_their_own_doubt(amplitude: float) -> None:
    """A conditional mean m of a sign has the mean squared error E[1 - m^2], at any noise.

    4000 words of 64 bits with squared errors within 0..4: five sigmas are below 0.03.
    """
    words = random_words(4000, seed=3)
    expected = convolutional.decode(received(words, amplitude, 4) * amplitude)
    error, doubt = (expected - words).square().mean().item(), (1 - expected.square()).mean().item()
    assert error == pytest.approx(doubt, abs=0.03)
    assert error < 1
