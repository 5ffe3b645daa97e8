"""The hybrid code: the strong coefficients' coarse values go digitally, what they leave and all others linearly.

A linear code must spend power on a coefficient in proportion to its deviation, so at low SNR a few strong ones take
most of it while most channel uses carry next to nothing. Bits are cheaper there: coefficients are told to one step, by
a long code in the places of the weakest ones, and what is left of them joins the linear code. The step is one number,
which the transmitter chooses for the least expected error and tells. The price is a cliff: bits break down when the
channel is worse than the transmitter was told. So they are in two parts: the strongest coefficients', without which
there is no picture, stand a worse channel than the rest.

Source: this project, after U. Mittal and N. Phamdo, "Hybrid digital-analog (HDA) joint source-channel codes for
broadcasting and robust communications", IEEE Trans. Information Theory, 2002.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from jscc import signals
from jscc.framing import blocks
from jscc.framing.frame import Air
from jscc.models._klt import classes
from jscc.models._klt.classes import LEVELS
from jscc.models._klt.quantiser import LEAST_RATIO, ROWS, Quantiser, row_of
from jscc.signals import Reach


class Protection(NamedTuple):
    """By how much the two parts are made for a worse channel than told, margins apart."""

    base: Reach
    rest: Reach


PROTECTION = {
    "none": Protection(Reach(1), Reach(0)),
    "fast": Protection(Reach(4), Reach(3)),
    "block": Protection(Reach(7, 0.6), Reach(6, 0.5)),
}
"""By `Grid.fading`."""
BASE_SHARE = 0.25
"""Of the bits, at most, are in the base."""
NO_STEP = LEVELS - 1
"""Code of the step that no coefficient reaches."""
_STRENGTHS_DB = tuple(range(37))
"""Steps that the transmitter tries: SNRs at which a coefficient of the step's deviation would arrive linearly."""
_SLACK = 1.1
"""A code stands this much more noise than its energy is chosen for, before it fails more often than not."""
_MOST_OF_USES = 0.9
_MOST_OF_POWER = 0.8
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class HybridPlan:
    """What both ends know of an image's k slots, one for each coefficient by falling variance.

    First the linear uses, then the digital ones, the base last, then those that the header takes.

    Attributes:
        ratio: int64 [B, k] levels of the variances above the squared step.
        linear_uses: int64 [B].
        power: float32 [B, k] of the linear uses, 0 for the others.
        linear_share: float32 [B] of the power that is left to the linear uses.
        remainder: float32 [B, k], the share of its variance by which each coefficient is sent linearly.
    """

    ratio: Tensor
    linear_uses: Tensor
    power: Tensor
    linear_share: Tensor
    remainder: Tensor


class Digital(NamedTuple):
    """What the bits of images are sent with, for either part.

    Attributes:
        sizes: int64 [B] in bytes.
        targets: the channels that they are made for.
        costs: channel uses and energy, in the method's measure of power.
    """

    sizes: tuple[Tensor, Tensor]
    targets: tuple[blocks.Target, blocks.Target]
    costs: tuple[blocks.Cost, blocks.Cost]

    @property
    def uses(self) -> Tensor:
        """Channel uses int64 [B] of both."""
        return self.costs[0].uses + self.costs[1].uses

    @property
    def energy(self) -> Tensor:
        """Energy float64 [B] of both."""
        return self.costs[0].energy + self.costs[1].energy


def digital_of(air: Air, sizes: tuple[Tensor, Tensor], margin_code: Tensor) -> Digital:
    """Return how bits are sent: of the base and of the rest, so many bytes [B] each."""
    targets = [blocks.target(air.snr_code, margin_code, air.fading, reach) for reach in PROTECTION[air.fading]]
    costs = [blocks.cost(size, *target) for size, target in zip(sizes, targets, strict=True)]
    base, rest = (blocks.Cost(it.uses, it.energy / air.gain.square()) for it in costs)
    return Digital(sizes, (targets[0], targets[1]), (base, rest))


def ratio_to(step: Tensor, levels: Tensor) -> Tensor:
    """Return the levels [B, k] of variances above the squared step of code [B]."""
    return levels + LEVELS // 2 - step[:, None]


def plan(levels: Tensor, step: Tensor, quantiser: Quantiser, air: Air, digital: Digital) -> HybridPlan:
    """Divide channel uses and power between bits and linear code, by whole numbers where both ends must agree.

    Args:
        levels: int64 [B, k] of the coefficients' variances, falling.
        step: int64 [B] code of the step, a level above -LEVELS/2.
        quantiser: the tables.
        air: the frame.
        digital: what the values cost.
    """
    ratio = ratio_to(step, levels)
    drops = quantiser.drops(ratio)
    left = levels - drops
    linear_uses = (air.uses - digital.uses).clamp_min(0)
    linear = torch.arange(levels.shape[1], device=levels.device) < linear_uses[:, None]
    total = (air.uses - digital.energy).clamp_min(_LEAST_SHARE * air.uses)
    count = classes.histogram(left, linear.double())
    power = classes.water_fill(count, air.noise_power[:, None], total[:, None])
    return HybridPlan(
        ratio=ratio,
        linear_uses=linear_uses,
        power=power.gather(1, classes.bin_of(left)).float().where(linear, 0.0),
        linear_share=(total / air.uses).float(),
        remainder=classes.variance(-drops),
    )


def choose_step(levels: Tensor, quantiser: Quantiser, air: Air, margin_code: Tensor) -> tuple[Tensor, Tensor]:
    """Return the code int64 [B] of the step of the least expected error, and the base's first row; as for `plan`."""
    present = torch.arange(levels.shape[1], device=levels.device) < air.uses[:, None]
    noise = air.noise_power[:, None]
    count = classes.histogram(levels, present.double())
    linear = classes.water_fill(count, noise, air.uses.double()[:, None])
    strengths = torch.tensor(_STRENGTHS_DB, dtype=torch.float64, device=levels.device)
    reached = linear[:, None] >= noise[:, None] * torch.pow(10, strengths / 10)[:, None]
    candidates = torch.where(reached.any(2), reached.long().argmax(2), NO_STEP)
    candidates = torch.nn.functional.pad(candidates, (0, 1), value=NO_STEP)
    error, first_row = _expected_error(count, candidates, quantiser, air, margin_code)
    best = error.argmin(1, keepdim=True)
    return candidates.gather(1, best)[:, 0], first_row.gather(1, best)[:, 0]


def _first_row(price: Tensor) -> Tensor:
    """Return the first row [...] of the base where the rows' values take so many bits [..., ROWS]."""
    above = price.flip(-1).cumsum(-1)
    return ROWS - (above <= BASE_SHARE * above[..., -1:]).sum(-1)


def _expected_error(
    count: Tensor, steps: Tensor, quantiser: Quantiser, air: Air, margin_code: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the squared error [B, n] for steps [B, n], and the base's first row; count [B, LEVELS] of each level."""
    bin_levels = classes.bin_levels(count.device)
    ratio = bin_levels + LEVELS // 2 - steps[:, :, None]
    told = ratio >= LEAST_RATIO
    row = row_of(ratio)
    price = quantiser.price_bits()[row] * told * count[:, None]
    of_row = price.new_zeros(*steps.shape, ROWS).scatter_add(2, row, price)
    first_row = _first_row(of_row)
    base = (of_row * (torch.arange(ROWS, device=row.device) >= first_row[:, :, None])).sum(2)
    sizes = base.div(8).ceil().long(), (of_row.sum(2) - base).div(8).ceil().long()
    tensors = (air.snr_code, air.noise_power, air.gain, air.uses)
    spread = [part[:, None].expand_as(steps) for part in tensors]
    tried = Air(spread[0], spread[1], spread[2], spread[3], air.fading)
    digital = digital_of(tried, sizes, margin_code[:, None].expand_as(steps))
    uses, energy = digital.uses, digital.energy
    count = count[:, None].expand(ratio.shape)
    displaced = (uses[:, :, None] - (count.cumsum(2) - count)).clamp_min(0).minimum(count)
    left = classes.bin_of(bin_levels - quantiser.drops(ratio))
    linear = torch.zeros_like(displaced).scatter_add(2, left, count - displaced)
    total = tried.uses - energy
    power = classes.water_fill(linear, tried.noise_power[:, :, None], total.clamp_min(1)[:, :, None])
    variance, noise = classes.variance(bin_levels).double(), tried.noise_power[:, :, None]
    error = (linear * variance * noise / (power + noise) + displaced * variance).sum(2)
    return torch.where(fits(tried, digital), error, torch.inf), first_row


def fits(air: Air, digital: Digital) -> Tensor:
    """Return whether values of this cost may be told: something must be left for the linear code."""
    return (digital.uses <= _MOST_OF_USES * air.uses) & (digital.energy <= _MOST_OF_POWER * air.uses)


def send(code: HybridPlan, digital: Digital, values: list[tuple[bytes, bytes]]) -> Tensor:
    """Return the symbols [B, k] of the values' bytes, base and rest, in their places; 0 in all others."""
    symbols = torch.zeros_like(code.power)
    for row, data in enumerate(values):
        for part, places in enumerate(_places(code, digital, row)):
            if places.stop > places.start:
                snr_code, energy = int(digital.targets[part].snr_code[row]), float(digital.costs[part].energy[row])
                symbols[row, places] = blocks.send(data[part], snr_code, energy).to(symbols.device)
    return symbols


def linear_share(code: HybridPlan, air: Air, digital: Tensor) -> Tensor:
    """Return the share [B] of the power that digital symbols [B, k] leave; in training there are none, and a plan."""
    left = (1 - digital.square().sum(1) / air.uses).clamp_min(_LEAST_SHARE)
    return torch.where(digital.any(1), left, code.linear_share)


def _places(code: HybridPlan, digital: Digital, row: int) -> tuple[slice, slice]:
    """Return the places of base and rest of one image."""
    base, rest = (int(cost.uses[row]) for cost in digital.costs)
    first = int(code.linear_uses[row])
    return slice(first + rest, first + rest + base), slice(first, first + rest)


Found = tuple[bytes | None, bytes | None]


def receive(code: HybridPlan, air: Air, digital: Digital, y: Tensor, noise_power: Tensor) -> list[Found]:
    """Return base and rest of each image's bytes, None where one is lost or was too large to be sent.

    Args:
        code: how they were sent.
        air: the frame.
        digital: the parts.
        y: [B, k] received symbols.
        noise_power: [B, k] of every symbol.
    """
    fitting = (digital.uses <= air.uses).tolist()
    return [
        _receive(_places(code, digital, row), digital, row, y[row], noise_power[row]) if fits else (None, None)
        for row, fits in enumerate(fitting)
    ]


def _receive(places: tuple[slice, slice], digital: Digital, row: int, y: Tensor, noise_power: Tensor) -> Found:
    found: list[bytes | None] = []
    for part, place in enumerate(places):
        shape = (
            int(digital.sizes[part][row]),
            int(digital.targets[part].snr_code[row]),
            float(digital.costs[part].energy[row]),
        )
        found.append(blocks.receive(*shape, y[place], noise_power[place]) if place.stop > place.start else b"")
    return found[0], found[1]


def lost_in_training(air: Air, margin_code: Tensor, noise_power: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether base and rest, [B] each, are lost to symbols of noise power [B, k], whose mean SNR decides."""
    noise_power = 1 / (1 / noise_power).mean(1)
    steps = (margin_code + reach.steps(air.snr_code) for reach in PROTECTION[air.fading])
    base, rest = (
        noise_power > air.noise_power * torch.pow(10, step / signals.MARGIN_STEPS_PER_DB / 10) * _SLACK
        for step in steps
    )
    return base, rest
