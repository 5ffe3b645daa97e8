"""What every channel must be. The list of channels is the folder `jscc/channels` and nothing else."""

import dataclasses

import pytest
import torch

from jscc import channels
from jscc.draws import Draws
from jscc.signals import ChannelState

SNRS_DB = torch.tensor([0.0, 20.0])

every_channel = pytest.mark.parametrize("name", channels.names())


def draws(seed: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def test_the_folder_is_the_list() -> None:
    assert {"awgn", "noiseless"} <= set(channels.names())
    assert not [name for name in channels.names() if name.startswith("_")]


@every_channel
def test_options_have_defaults_and_can_travel(name: str) -> None:
    kind = channels.load(name)
    assert kind.name == name
    assert dataclasses.is_dataclass(kind.options_type)
    assert kind.options_type.__dataclass_params__.frozen
    for field in dataclasses.fields(kind.options_type):
        assert type(getattr(kind.options_type(), field.name)) in (int, float, bool, str), field.name


@every_channel
def test_the_draws_decide_everything_random(name: str) -> None:
    s = torch.ones(2, 512)
    channel = channels.load(name).make(SNRS_DB)
    first, again = (channel.draw(s.shape, draws(1)) for _ in range(2))
    assert first.digest == again.digest
    once, twice = channel.apply(s, first), channel.apply(s, first)
    assert torch.equal(once[0], twice[0])
    assert once[0].shape == s.shape
    assert once[0].dtype == torch.float32


@every_channel
def test_the_snr_does_not_change_what_is_drawn(name: str) -> None:
    """So that methods and SNRs meet the same air up to the noise's scale."""
    shape, kind = torch.Size([2, 512]), channels.load(name)
    drawn = [kind.make(snr_db).draw(shape, draws(1)).digest for snr_db in (SNRS_DB, SNRS_DB - 5)]
    assert drawn[0] == drawn[1]


@every_channel
def test_a_share_of_a_batch_meets_the_air_that_it_meets_in_the_whole(name: str) -> None:
    s = torch.randn(6, 512, generator=torch.Generator().manual_seed(0))
    kind = channels.load(name)
    whole = kind.make(torch.full((6,), 5.0))
    y, _ = whole.apply(s, whole.draw(s.shape, draws(1)))
    for share in (1, 2, 3):
        for start in range(0, 6, share):
            rows = slice(start, start + share)
            part = kind.make(torch.full((share,), 5.0))
            mine = Draws(torch.Generator().manual_seed(1), rows, 6)
            y_part, _ = part.apply(s[rows], part.draw(s[rows].shape, mine))
            torch.testing.assert_close(y_part, y[rows])


@every_channel
def test_gradients_pass_and_a_receiver_gets_a_state(name: str) -> None:
    s = torch.ones(2, 512, requires_grad=True)
    channel = channels.load(name).make(SNRS_DB)
    y, truth = channel.apply(s, channel.draw(s.shape, draws(1)))
    y.sum().backward()
    assert s.grad is not None
    assert s.grad.abs().sum() > 0
    assert (truth.gains is not None) == channel.fades == channels.load(name).fades
    state = truth.state()
    assert isinstance(state, ChannelState)
    assert state.of_symbol(512).shape == (2, 512)
    assert (state.noise_power >= 0).all()
