"""The hybrid code: the strong coefficients' coarse values go digitally, what they leave and all others linearly.

A linear code must spend power on a coefficient in proportion to its deviation, so at low SNR a few strong ones take
most of it while most channel uses carry next to nothing. Bits are cheaper there: coefficients are told to one step, by
a long code in the places of the weakest ones, and what is left of them joins the linear code. The step is one number,
which the transmitter chooses for the least expected error and tells. The price is a cliff: bits break down when the
channel is worse than the transmitter was told.

Source: this project, after U. Mittal and N. Phamdo, "Hybrid digital-analog (HDA) joint source-channel codes for
broadcasting and robust communications", IEEE Trans. Information Theory, 2002.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from jscc.framing import blocks
from jscc.framing.frame import Air
from jscc.models._klt import classes
from jscc.models._klt.classes import LEVELS
from jscc.models._klt.quantiser import LEAST_RATIO, Quantiser, row_of

NO_STEP = LEVELS - 1
"""Code of the step that no coefficient reaches."""
_STRENGTHS_DB = tuple(range(37))
"""Steps that the transmitter tries: SNRs at which a coefficient of the step's deviation would arrive linearly."""
_MOST_OF_USES = 0.9
_MOST_OF_POWER = 0.8


@dataclass(frozen=True)
class HybridPlan:
    """What both ends know of an image's k slots, one for each coefficient by falling variance.

    First the linear uses, then the digital ones, then those that the header takes.

    Attributes:
        ratio: int64 [B, k] levels of the variances above the squared step.
        linear_uses: int64 [B].
        digital_uses: int64 [B].
        digital_energy: float64 [B] of all of them together.
        power: float32 [B, k] of the linear uses, 0 for the others.
        linear_share: float32 [B] of the power that is left to the linear uses.
        remainder: float32 [B, k], the share of its variance by which each coefficient is sent linearly.
    """

    ratio: Tensor
    linear_uses: Tensor
    digital_uses: Tensor
    digital_energy: Tensor
    power: Tensor
    linear_share: Tensor
    remainder: Tensor


def cost(air: Air, size_bytes: Tensor, margin_code: Tensor) -> blocks.Cost:
    """Return what values of so many bytes [B] cost, in the method's measure of power."""
    uses, energy = blocks.cost(size_bytes, air.snr_code, margin_code)
    return blocks.Cost(uses, energy / air.gain.square())


def ratio_to(step: Tensor, levels: Tensor) -> Tensor:
    """Return the levels [B, k] of variances above the squared step of code [B]."""
    return levels + LEVELS // 2 - step[:, None]


def plan(levels: Tensor, step: Tensor, quantiser: Quantiser, air: Air, digital: blocks.Cost) -> HybridPlan:
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
    total = (air.uses - digital.energy).clamp_min(1e-3 * air.uses)
    count = classes.histogram(left, linear.double())
    power = classes.water_fill(count, air.noise_power[:, None], total[:, None])
    return HybridPlan(
        ratio=ratio,
        linear_uses=linear_uses,
        digital_uses=digital.uses,
        digital_energy=digital.energy,
        power=power.gather(1, classes.bin_of(left)).float().where(linear, 0.0),
        linear_share=(total / air.uses).float(),
        remainder=classes.variance(-drops),
    )


def choose_step(levels: Tensor, quantiser: Quantiser, air: Air, margin_code: Tensor) -> Tensor:
    """Return the code int64 [B] of the step of the least expected error; arguments as for `plan`."""
    present = torch.arange(levels.shape[1], device=levels.device) < air.uses[:, None]
    noise = air.noise_power[:, None]
    count = classes.histogram(levels, present.double())
    linear = classes.water_fill(count, noise, air.uses.double()[:, None])
    strengths = torch.tensor(_STRENGTHS_DB, dtype=torch.float64, device=levels.device)
    reached = linear[:, None] >= noise[:, None] * torch.pow(10, strengths / 10)[:, None]
    candidates = torch.where(reached.any(2), reached.long().argmax(2), NO_STEP)
    candidates = torch.nn.functional.pad(candidates, (0, 1), value=NO_STEP)
    error = _expected_error(count, candidates, quantiser, air, margin_code)
    return candidates.gather(1, error.argmin(1, keepdim=True))[:, 0]


def _expected_error(count: Tensor, steps: Tensor, quantiser: Quantiser, air: Air, margin_code: Tensor) -> Tensor:
    """Return the squared error [B, n] for steps [B, n]; of each level there are count [B, LEVELS]."""
    bin_levels = classes.bin_levels(count.device)
    ratio = bin_levels + LEVELS // 2 - steps[:, :, None]
    told = ratio >= LEAST_RATIO
    price = quantiser.price_bits()[row_of(ratio)] * told
    size_bytes = (price * count[:, None]).sum(2).div(8).ceil().long()
    tried = Air(*(part[:, None].expand_as(steps) for part in air))
    uses, energy = cost(tried, size_bytes, margin_code[:, None].expand_as(steps))
    count = count[:, None].expand(ratio.shape)
    displaced = (uses[:, :, None] - (count.cumsum(2) - count)).clamp_min(0).minimum(count)
    left = classes.bin_of(bin_levels - quantiser.drops(ratio))
    linear = torch.zeros_like(displaced).scatter_add(2, left, count - displaced)
    total = tried.uses - energy
    power = classes.water_fill(linear, tried.noise_power[:, :, None], total.clamp_min(1)[:, :, None])
    variance, noise = classes.variance(bin_levels).double(), tried.noise_power[:, :, None]
    error = (linear * variance * noise / (power + noise) + displaced * variance).sum(2)
    return torch.where(fits(tried, blocks.Cost(uses, energy)), error, torch.inf)


def fits(air: Air, digital: blocks.Cost) -> Tensor:
    """Return whether values of this cost may be told: something must be left for the linear code."""
    return (digital.uses <= _MOST_OF_USES * air.uses) & (digital.energy <= _MOST_OF_POWER * air.uses)


def send(code: HybridPlan, air: Air, values: tuple[bytes, ...]) -> Tensor:
    """Return the symbols [B, k] of the values' bytes in their places; 0 in all others."""
    symbols = torch.zeros_like(code.power)
    for row, data in enumerate(values):
        uses, first = int(code.digital_uses[row]), int(code.linear_uses[row])
        if uses:
            sent = blocks.send(data, int(air.snr_code[row]), float(code.digital_energy[row]))
            symbols[row, first : first + uses] = sent.to(symbols.device)
    return symbols


def receive(code: HybridPlan, air: Air, size_bytes: Tensor, y: Tensor, noise_power: Tensor) -> list[bytes | None]:
    """Return the values' bytes of each image, None where they are lost or so many that they were never sent.

    Args:
        code: how they were sent.
        air: the frame.
        size_bytes: int64 [B].
        y: [B, k] received symbols.
        noise_power: [B, k] of every symbol.
    """
    found: list[bytes | None] = []
    for row, (uses, first) in enumerate(zip(code.digital_uses.tolist(), code.linear_uses.tolist(), strict=True)):
        places = slice(first, first + uses)
        if not uses or uses > int(air.uses[row]):
            found.append(None if uses else b"")
            continue
        shape = int(size_bytes[row]), int(air.snr_code[row]), float(code.digital_energy[row])
        found.append(blocks.receive(*shape, y[row, places], noise_power[row, places]))
    return found
