"""The hybrid code: how channel uses and power are divided between bits and the linear code, and what the bits tell."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jscc import signals
from jscc.framing import blocks
from jscc.models._klt import classes, hybrid
from jscc.models._klt.hybrid import BASE_SHARE, NO_STEP, PROTECTION, Air, Digital, HybridPlan
from jscc.models._klt.quantiser import LEAST_RATIO, ROWS, Quantiser, row_of

USES = 12_000
SLOTS = 12_500
"""The last ones are the header's."""
QUANTISER = Quantiser()


def falling_levels(count: int = 1, octaves: float = 1.5) -> Tensor:
    """Variances that fall by as many octaves with each octave of rank, as those of photos do."""
    rank = torch.arange(1, SLOTS + 1).float()
    levels = (classes.LEVELS_PER_OCTAVE * (6 - octaves * rank.log2())).round().long()
    return levels.expand(count, -1)


def air_of(snr_db: float, gain: float = 0.9, uses: int = USES, fading: str = "none") -> Air:
    snr_code = signals.snr_code(torch.tensor([snr_db]))
    noise_power = signals.told_noise_power(snr_code).double() / gain**2
    return Air(snr_code, noise_power, torch.tensor([gain]).double(), torch.tensor([uses]), fading)


def margin(margin_db: float) -> Tensor:
    return torch.tensor([round(margin_db * signals.MARGIN_STEPS_PER_DB)])


def laplacian(count: int = 1, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).laplace(scale=2**-0.5, size=(count, SLOTS))).float()


def reaches_db(fading: str, snr_db: float) -> list[float]:
    """By how much base and rest are made for a worse channel than told."""
    told = signals.snr_code(torch.tensor([snr_db]))
    return [int(reach.steps(told)) / signals.MARGIN_STEPS_PER_DB for reach in PROTECTION[fading]]


Data = tuple[bytes, bytes]


def told_at(
    step: Tensor, first_row: int, levels: Tensor, air: Air, margin_code: Tensor
) -> tuple[HybridPlan, Digital, Data]:
    """Return the plan for values of a Laplacian, and the bytes of base and rest."""
    ratio = hybrid.ratio_to(step, levels)
    told = QUANTISER.told(laplacian(), ratio)[0]
    data = (
        QUANTISER.write(told, ratio[0], range(first_row, ROWS)),
        QUANTISER.write(told, ratio[0], range(first_row)),
    )
    digital = hybrid.digital_of(air, (torch.tensor([len(data[0])]), torch.tensor([len(data[1])])), margin_code)
    return hybrid.plan(levels, step, QUANTISER, air, digital), digital, data


def design(snr_db: float, margin_db: float = 0.0, fading: str = "none") -> tuple[HybridPlan, Digital, Air, Data]:
    levels, air = falling_levels(), air_of(snr_db, fading=fading)
    step, first_row = hybrid.choose_step(levels, QUANTISER, air, margin(margin_db))
    code, digital, data = told_at(step, int(first_row), levels, air, margin(margin_db))
    return code, digital, air, data


@pytest.mark.parametrize("margin_db", [0.0, 3.0])
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 5.0, 10.0, 20.0])
def test_all_uses_and_all_power_are_spent(snr_db: float, margin_db: float) -> None:
    code, digital, air, data = design(snr_db, margin_db)
    assert int(code.linear_uses + digital.uses) == USES
    (uses, energy), (more, stronger) = (
        blocks.cost(torch.tensor([len(part)]), air.snr_code, margin(above_db + margin_db))
        for part, above_db in zip(data, reaches_db("none", snr_db), strict=True)
    )
    assert torch.equal(digital.uses, uses + more)
    torch.testing.assert_close(digital.energy, (energy + stronger) / 0.9**2)  # in the method's measure
    total = code.power.double().sum(1) + digital.energy
    torch.testing.assert_close(total, torch.full((1,), float(USES)).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(code.linear_share * USES, code.power.sum(1), rtol=1e-4, atol=0)
    assert not code.power[:, int(code.linear_uses) :].any()


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 5.0, 10.0])
def test_the_base_holds_the_strongest_values_in_at_most_its_share(snr_db: float) -> None:
    """By the entropy; what values really take may be a tenth more. A row of the quantiser is never divided."""
    levels = falling_levels()
    _, _, _, (base, rest) = design(snr_db)
    assert 0 < len(base) < 1.1 * BASE_SHARE * (len(base) + len(rest)) + 8
    step, first_row = hybrid.choose_step(levels, QUANTISER, air_of(snr_db), margin(0.0))
    rows = row_of(hybrid.ratio_to(step, levels))[0]
    assert (rows[:-1] >= rows[1:]).all()
    assert rows[0] >= int(first_row)


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 15.0])
def test_what_is_left_is_water_filled(snr_db: float) -> None:
    """(p + s2)^2 / variance is one constant wherever there is power, and larger where there is none."""
    code, _, air, _ = design(snr_db)
    linear = slice(0, int(code.linear_uses))
    left = classes.variance(falling_levels()).double() * code.remainder
    level = ((code.power.double() + air.noise_power) ** 2 / left)[0, linear]
    spent = code.power[0, linear] > 0
    torch.testing.assert_close(level[spent], level[spent].mean().expand(int(spent.sum())), rtol=1e-3, atol=0)
    assert (level[~spent] >= level[spent].mean() * 0.999).all()


@pytest.mark.parametrize("snr_db", [-5.0, 5.0])
def test_remainders_are_those_of_the_quantiser(snr_db: float) -> None:
    """What is told is a coefficient of a step well below its deviation; all others are left as they are."""
    code, _, _, data = design(snr_db)
    assert all(data)
    x = laplacian()
    left = x - QUANTISER.shown(QUANTISER.told(x, code.ratio), code.ratio)
    some = code.remainder < 1
    assert 10 < int(some.sum()) < USES
    measured = (left.square() / code.remainder)[some].mean()
    assert float(measured) == pytest.approx(1, rel=0.25)  # at least 10 ratios of chi-square kind
    assert torch.equal(left[~some], x[~some])


@settings(max_examples=25)
@given(snr_db=st.floats(-20, 30), octaves=st.floats(0.1, 3), margin_db=st.sampled_from([0.0, 3.0, 60.0]))
def test_the_step_is_never_worse_than_the_linear_code(snr_db: float, octaves: float, margin_db: float) -> None:
    """Its expected error, counted here from the plan, is at most that of lambda s2 / (p + s2) without bits.

    The choice expects an entropy of bits; what values really take may be a few bytes more.
    """
    levels, air = falling_levels(octaves=octaves), air_of(snr_db)

    def error(step: Tensor, first_row: int) -> float:
        code, _, _ = told_at(step, first_row, levels, air, margin(margin_db))
        left = classes.variance(levels).double() * code.remainder
        return float((left * air.noise_power / (code.power.double() + air.noise_power))[:, :USES].sum())

    chosen, first_row = hybrid.choose_step(levels, QUANTISER, air, margin(margin_db))
    assert error(chosen, int(first_row)) <= error(torch.tensor([NO_STEP]), 0) * 1.01


def test_much_margin_makes_everything_linear() -> None:
    assert int(design(5.0, margin_db=60.0)[1].uses) == 0
    assert int(design(5.0, margin_db=3.0)[1].uses) > 0


def test_a_code_with_no_room_for_bits_is_linear() -> None:
    """40 uses are less than the shortest block."""
    levels, air = falling_levels()[:, :40], air_of(0.0, uses=40)
    step, _ = hybrid.choose_step(levels, QUANTISER, air, margin(0.0))
    assert (hybrid.ratio_to(step, levels) < LEAST_RATIO).all()
    digital = hybrid.digital_of(air, (torch.tensor([0]), torch.tensor([0])), margin(0.0))
    code = hybrid.plan(levels, step, QUANTISER, air, digital)
    assert code.linear_uses.tolist() == [40]
    assert not hybrid.send(code, digital, [(b"", b"")]).any()
    assert hybrid.receive(code, air, digital, torch.zeros(1, 40), torch.ones(1, 40)) == [(b"", b"")]


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 10.0])
def test_bytes_are_in_the_uses_after_the_linear_ones_and_come_back(snr_db: float) -> None:
    """Both as far as they are protected; with 3.5 dB less power they are lost, and margins keep them."""
    for margin_db in (0.0, 3.0):
        code, digital, air, data = design(snr_db, margin_db)
        symbols = hybrid.send(code, digital, [data])
        first, last = int(code.linear_uses), USES
        assert not symbols[:, :first].any()
        assert not symbols[:, last:].any()
        assert float(symbols.double().square().sum()) == pytest.approx(float(digital.energy), rel=0.05)
        for part, above_db in enumerate(reaches_db("none", snr_db)):
            for worse_db, expected in ((margin_db + above_db, data[part]), (margin_db + above_db + 3.5, None)):
                found = hybrid.receive(code, air, digital, *arrived(symbols, air, worse_db))
                assert found[0][part] == expected


def arrived(symbols: Tensor, air: Air, worse_db: float) -> tuple[Tensor, Tensor]:
    """Return the symbols in noise that is so much stronger than told, and its power."""
    noise_power = (air.noise_power * 10 ** (worse_db / 10)).float()[:, None].expand(1, SLOTS)
    noise = torch.randn(1, SLOTS, generator=torch.Generator().manual_seed(1))
    return symbols + noise_power.sqrt() * noise, noise_power


@pytest.mark.parametrize("fading", ["fast", "block"])
def test_where_the_channel_fades_bits_stand_a_worse_one(fading: str) -> None:
    code, digital, air, data = design(10.0, fading=fading)
    symbols = hybrid.send(code, digital, [data])
    base_db, rest_db = reaches_db(fading, 10.0)
    assert hybrid.receive(code, air, digital, *arrived(symbols, air, rest_db)) == [data]
    assert hybrid.receive(code, air, digital, *arrived(symbols, air, base_db))[0][0] == data[0]
    assert hybrid.receive(code, air, digital, *arrived(symbols, air, base_db + 3.5)) == [(None, None)]


def test_training_loses_what_the_air_would_lose() -> None:
    _, _, air, _ = design(5.0, margin_db=1.0)
    for worse_db, expected in ((0.9, (False, False)), (1.6, (False, True)), (3.6, (True, True))):
        noise_power = (air.noise_power * 10 ** (worse_db / 10)).float()[:, None].expand(1, 50)
        assert hybrid.lost_in_training(air, margin(1.0), noise_power) == expected


def test_symbols_that_are_told_to_be_noise_do_not_count() -> None:
    """A tenth of the symbols is lost; with 6 dB of margin the code bears their loss, and not their weight."""
    code, digital, air, data = design(5.0, margin_db=6.0)
    symbols = hybrid.send(code, digital, [data])
    lost = torch.rand(symbols.shape, generator=torch.Generator().manual_seed(6)) < 0.1
    received = torch.where(lost, -3 * symbols, symbols)
    noise_power = air.noise_power.float()[:, None].expand(1, SLOTS)
    assert hybrid.receive(code, air, digital, received, torch.where(lost, 1e6, noise_power)) == [data]
    assert hybrid.receive(code, air, digital, received, noise_power)[0][1] is None


def test_images_of_a_batch_have_plans_of_their_own() -> None:
    levels = torch.cat([falling_levels(octaves=1.5), falling_levels(octaves=0.7)])
    apart = air_of(0.0), air_of(10.0, uses=11_000)
    snr_code, noise_power, gain, uses = (torch.cat(parts) for parts in zip(*(air[:4] for air in apart), strict=True))
    both = Air(snr_code, noise_power, gain, uses, "none")
    steps, first_rows = hybrid.choose_step(levels, QUANTISER, both, margin(0.0).expand(2))
    for row, air in enumerate(apart):
        alone = hybrid.choose_step(levels[row : row + 1], QUANTISER, air, margin(0.0))
        assert (steps[row], first_rows[row]) == alone
