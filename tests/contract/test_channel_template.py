"""The channel in CONTRIBUTING.md keeps the contract, as it stands there, and the channel service serves it."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import test_every_channel as contract
import torch

from jscc import channels
from jscc.draws import Draws
from jscc.wire import codec
from jscc.wire.v1 import channel_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.channel.servicer import ChannelServicer

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def impulsive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> channels.ChannelType:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Add a channel\n")[2]
    block = re.search(r"^   ```python\n(.*?)^   ```$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    (tmp_path / "impulsive.py").write_text(textwrap.dedent(block[1]))
    monkeypatch.setattr(channels, "__path__", [*channels.__path__, str(tmp_path)])
    assert "impulsive" in channels.names()
    return channels.load("impulsive")


def test_the_template_in_contributing_is_a_channel(impulsive: channels.ChannelType) -> None:
    for check in (
        contract.test_options_have_defaults_and_can_travel,
        contract.test_the_draws_decide_everything_random,
        contract.test_the_snr_does_not_change_what_is_drawn,
        contract.test_a_share_of_a_batch_meets_the_air_that_it_meets_in_the_whole,
        contract.test_gradients_pass_and_a_receiver_gets_a_state,
    ):
        check(impulsive.name)


@pytest.mark.parametrize(("snr_db", "options"), [(60.1, {}), (float("nan"), {}), (0.0, {"share": 1.1})])
def test_it_refuses_what_is_out_of_range(
    impulsive: channels.ChannelType, snr_db: float, options: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=r"snr_db: .* is outside -30..60 dB|share must be in 0..1"):
        channels.make(impulsive.name, torch.tensor([snr_db]), options)


def test_its_noise_has_the_power_of_the_snr_and_a_few_strong_symbols(impulsive: channels.ChannelType) -> None:
    """Of 1 % impulses of 20 dB: half of the energy, and a kurtosis of 3 (0.99 + 0.01 100^2) / 1.99^2 = 76.5.

    The mean square of n = 4e5 symbols has a deviation of sqrt((76.5 - 1) / n) = 0.014: five of them are the bound, with
    a false alarm below 1e-5 even for so heavy a tail.
    """
    channel = impulsive.make(torch.tensor([0.0]))
    noise = channel.draw(torch.Size([1, 400_000]), Draws(torch.Generator().manual_seed(0))).noise.double()
    assert abs(float(noise.square().mean()) - 1) < 5 * 0.014
    kurtosis = float((noise**4).mean() / noise.square().mean() ** 2)
    assert 50 < kurtosis < 110


def test_the_channel_service_serves_it_with_its_options(impulsive: channels.ChannelType) -> None:
    request = channel_pb2.TransmitRequest(
        context=pb.RequestContext(request_id="x"),
        channel=pb.ChannelModel(name=impulsive.name, snr_db=20.0, options={"share": pb.OptionValue(double_value=0.5)}),
    )
    raw = codec.encode(request, np.ones((1, 1000), np.float32))
    servicer = ChannelServicer({})
    answer, y = codec.decode(channel_pb2.TransmitResponse, servicer.transmit(raw, codec.Hop.start(0, len(raw))))
    assert answer.channel.options["share"].double_value == 0.5
    assert answer.channel.options["strength"].double_value == 100.0
    assert 0 < float(np.square(y - 1).mean()) < 0.1
