"""The hybrid code: the strongest coefficients' coarse values go digitally, what they leave and all others linearly.

A linear code must spend power on a coefficient in proportion to its deviation, so at low SNR a few strong ones take
most of it while most channel uses carry next to nothing. Bits are cheaper there: a coefficient is told to a few bits,
by codewords in the places of the weakest coefficients, and its remainder, of a fraction of its variance, joins the
linear code. How strong a coefficient must be is one number, which the transmitter chooses for the least expected error
and tells. The price is a cliff: bits break down when the channel is worse than the transmitter was told.

Source: this project, after U. Mittal and N. Phamdo, "Hybrid digital-analog (HDA) joint source-channel codes for
broadcasting and robust communications", IEEE Trans. Information Theory, 2002.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from jscc.models._klt import classes, convolutional
from jscc.models._klt.classes import LEVELS, LEVELS_PER_OCTAVE

_MOST_BITS = 5
_STEPS = (0.0, 1.48, 1.06, 0.68, 0.42, 0.26)
"""Best steps of uniform quantisers of 0..5 bits for the coefficients of photos, in their deviations."""
_REMAINDERS = (1.0, 0.4315, 0.16, 0.0577, 0.0208, 0.0075)
"""Variances that they leave, likewise measured."""
_DROPS = tuple(round(-LEVELS_PER_OCTAVE * math.log2(share)) for share in _REMAINDERS)
_WORD_ENERGY = 240.0
"""Energy of a codeword over the noise power: one word in some ten thousands is decided wrongly."""
_STRENGTHS_DB = (4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0)
"""Thresholds that the transmitter tries: SNRs at which coefficients would arrive by the linear code alone."""
_USES_PER_WORD = 240
"""There is at most one codeword, of 96 uses, in so many channel uses."""
_LEAST_LINEAR_SHARE = 0.3
_NONE = LEVELS - 1
"""Code of the threshold that no coefficient reaches."""


@dataclass(frozen=True)
class HybridPlan:
    """What both ends know of an image's k channel uses, one for each coefficient by falling variance.

    The digital uses are the last ones, in the places of the weakest coefficients.

    Attributes:
        bits: [B, j] int64, how many tell each of the first j coefficients, 0..5.
        place: [B, j, 5] where these are among the image's bits; one place past the end for those that are not.
        words: [B] codewords, at most k / 240.
        amplitude: [B] of the digital uses.
        power: float32 [B, k] of the linear uses, 0 for the digital ones.
        linear_share: [B] of the power of all uses that is left to the linear ones.
        remainder: float32 [B, k], the share of its variance by which each coefficient is sent linearly.
    """

    bits: Tensor
    place: Tensor
    words: Tensor
    amplitude: Tensor
    power: Tensor
    linear_share: Tensor
    remainder: Tensor


def word_energy(noise_power: Tensor, margin_db: Tensor) -> Tensor:
    """Return the energy float64 [B] of codewords that stand a noise power [B] and margin_db [B] more of it."""
    return noise_power.double() * (_WORD_ENERGY * torch.pow(10, margin_db.double() / 10))


def plan(levels: Tensor, noise_power: Tensor, word_energy: Tensor, threshold: Tensor) -> HybridPlan:
    """Divide channel uses and power between bits and linear code, by whole numbers alone where both ends must agree.

    Args:
        levels: int64 [B, k] of the coefficients' variances, falling.
        noise_power: [B] for which the linear code is designed.
        word_energy: float64 [B] of a codeword.
        threshold: int64 [B] from `choose_threshold`.
    """
    channel_uses = levels.shape[1]
    most = channel_uses // _USES_PER_WORD
    bits = _bits(levels[:, : most * convolutional.BITS], threshold[:, None])
    begin = bits.cumsum(1) - bits
    words = (bits.sum(1) // convolutional.BITS).clamp(max=most)
    bits = torch.minimum(bits, (words[:, None] * convolutional.BITS - begin).clamp_min(0))
    number = torch.arange(_MOST_BITS, device=levels.device)
    place = torch.where(number < bits[:, :, None], begin[:, :, None] + number, most * convolutional.BITS)

    total = channel_uses - words * word_energy
    everyones_bits = F.pad(bits, (0, channel_uses - bits.shape[1]))
    left = levels - _table(_DROPS, levels.device)[everyones_bits]
    linear = torch.arange(channel_uses, device=levels.device) < channel_uses - words[:, None] * convolutional.CHIPS
    count = classes.histogram(left, linear.double())
    power = classes.water_fill(count, noise_power.double()[:, None], total[:, None])
    return HybridPlan(
        bits=bits,
        place=place,
        words=words,
        amplitude=(word_energy / convolutional.CHIPS).sqrt().float(),
        power=power.gather(1, classes.bin_of(left)).float() * linear,
        linear_share=(total / channel_uses).float(),
        remainder=_table(_REMAINDERS, levels.device)[everyones_bits],
    )


def choose_threshold(levels: Tensor, noise_power: Tensor, word_energy: Tensor) -> Tensor:
    """Return the threshold int64 [B], 0..1023, of the least expected error; arguments as for `plan`."""
    channel_uses = levels.shape[1]
    noise = noise_power.double()[:, None]
    count = classes.histogram(levels, torch.ones_like(levels, dtype=torch.float64))
    linear = classes.water_fill(count, noise, torch.full_like(noise, channel_uses))
    strengths = torch.tensor(_STRENGTHS_DB, dtype=torch.float64, device=levels.device)
    reached = linear[:, None] >= noise[:, None] * torch.pow(10, strengths / 10)[:, None]
    candidates = torch.where(reached.any(2), reached.long().argmax(2), _NONE)
    candidates = F.pad(candidates, (0, 1), value=_NONE)
    error = _expected_error(count[:, None], noise[:, None], word_energy[:, None, None], candidates)
    return candidates.gather(1, error.argmin(1, keepdim=True))[:, 0]


def _expected_error(count: Tensor, noise: Tensor, word_energy: Tensor, thresholds: Tensor) -> Tensor:
    """Return the squared error [B, n] for thresholds [B, n]; of each level there are count [B, 1, LEVELS]."""
    channel_uses = count.sum(2, keepdim=True)
    bin_levels = classes.bin_levels(count.device)
    variance = classes.variance(bin_levels).double()
    bits = _bits(bin_levels, thresholds[:, :, None])
    words = (bits * count).sum(2, keepdim=True).div(convolutional.BITS).floor()
    displaced = (words * convolutional.CHIPS - (count.cumsum(2) - count)).clamp_min(0).minimum(count)
    left = classes.bin_of(bin_levels - _table(_DROPS, count.device)[bits])
    linear = torch.zeros_like(displaced).scatter_add(2, left, count - displaced)
    total = channel_uses - words * word_energy
    power = classes.water_fill(linear, noise, total)
    error = (linear * variance * noise / (power + noise) + displaced * variance).sum(2)
    possible = (words <= (channel_uses / _USES_PER_WORD).floor()) & (total >= _LEAST_LINEAR_SHARE * channel_uses)
    return torch.where(possible[:, :, 0], error, torch.inf)


def _bits(levels: Tensor, threshold: Tensor) -> Tensor:
    """Return how many bits coefficients get: another one as long as what the last left reaches the threshold."""
    drops = _table(_DROPS[:_MOST_BITS], levels.device)
    bits: Tensor = (classes.bin_of(levels)[..., None] - drops >= threshold[..., None]).sum(-1)
    return bits


def quantise(code: HybridPlan, values: Tensor) -> tuple[Tensor, Tensor]:
    """Tell coefficients by bits.

    Args:
        code: how.
        values: [B, k] coefficients in units of their deviations.

    Returns:
        The bits as signs [B, 48 k / 240], and what they leave of the values [B, k].
    """
    weights = _weights(code)
    left = values[:, : code.bits.shape[1]]
    signs = torch.ones(len(values), code.bits.shape[1] + 1, device=values.device)
    for number, weight in enumerate(weights.unbind(2)):
        sign = torch.where(left < 0, -1.0, 1.0)
        signs.scatter_(1, code.place[:, :, number], sign)
        left = left - weight * sign
    return signs[:, :-1], torch.cat([left, values[:, code.bits.shape[1] :]], dim=1)


def dequantise(code: HybridPlan, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return values and their variances [B, k] in units of the coefficients' deviations from expected signs [B, n]."""
    weights = _weights(code)
    expected = F.pad(signs, (0, 1)).gather(1, code.place.flatten(1)).view_as(weights)
    values = (weights * expected).sum(2)
    doubt = (weights.square() * (1 - expected.square())).sum(2)
    missing = code.power.shape[1] - values.shape[1]
    return F.pad(values, (0, missing)), F.pad(doubt, (0, missing))


def _weights(code: HybridPlan) -> Tensor:
    """Return what each bit adds or takes away, [B, j, 5]: a uniform quantiser's value is a sum of signed halves."""
    number = torch.arange(_MOST_BITS, device=code.bits.device)
    half = torch.exp2((code.bits[:, :, None] - 2 - number).float())
    return torch.where(number < code.bits[:, :, None], _table(_STEPS, half.device)[code.bits][:, :, None] * half, 0)


def send(code: HybridPlan, signs: Tensor) -> Tensor:
    """Return the symbols [B, k] of the bits; 0 in the linear uses."""
    words = signs.view(len(signs), -1, convolutional.BITS)
    used = torch.arange(words.shape[1], device=signs.device) < code.words[:, None]
    chips = convolutional.encode(words) * (used * code.amplitude[:, None])[:, :, None]
    return F.pad(chips.flatten(1).flip(1), (code.power.shape[1] - chips[0].numel(), 0))


def receive(code: HybridPlan, y: Tensor, noise_power: Tensor, words: int | None = None) -> Tensor:
    """Return the bits as expected signs.

    Args:
        code: how they were sent.
        y: [B, k] received symbols.
        noise_power: [B, k] of every symbol.
        words: as many as any image of the batch has, for not decoding more; None when that would mean to wait.

    Returns:
        [B, 48 k / 240], 0 beyond the words.
    """
    most = code.bits.shape[1] // convolutional.BITS if words is None else words
    chips, noise = (
        part.flip(1)[:, : most * convolutional.CHIPS].reshape(len(y), most, convolutional.CHIPS)
        for part in (y.detach(), noise_power)
    )
    gain = code.amplitude[:, None, None] / noise.clamp_min(1e-9)
    signs = convolutional.decode(chips * gain).flatten(1)
    return F.pad(signs, (0, code.bits.shape[1] - signs.shape[1]))


def _table(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)
