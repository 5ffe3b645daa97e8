"""The method in CONTRIBUTING.md keeps the contract, as it stands there."""

import re
import textwrap
from pathlib import Path

import pytest
import test_methods as contract
import torch
from small_methods import batch, halves, layout_of, receive_options, send_options, small

from jscc import models
from jscc.signals import ChannelState


def test_the_template_in_contributing_is_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (contract.REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"^   ```python\n(.*?)^   ```$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    (tmp_path / "zonal.py").write_text(textwrap.dedent(block[1]))
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert "zonal" in models.names()
    for check in (
        contract.test_a_method_is_its_five_classes,
        contract.test_options_can_travel_and_belong_to_one_end,
        contract.test_the_same_input_gives_the_same_output,
        contract.test_images_of_a_batch_do_not_mix,
        contract.test_the_received_symbols_matter,
        contract.test_wrong_symbols_and_codes_are_refused,
        contract.test_codes_of_nothing_but_zeros_can_be_received,
        contract.test_noise_of_one_power_may_be_told_symbol_by_symbol,
        contract.test_gradients_reach_the_transmitter_through_the_channel,
        contract.test_what_arrives_is_what_the_method_sent,
        contract.test_a_lost_header_is_a_lost_image_that_is_counted,
    ):
        check("zonal")
    for height_px, width_px in contract.SIZES_PX:
        contract.test_images_of_any_size_cross_the_link("zonal", height_px, width_px)
        contract.test_side_information_is_what_was_declared("zonal", height_px, width_px)
        contract.test_symbols_and_image_size_are_all_that_a_receiver_needs("zonal", height_px, width_px)
    for share in (1, 2, 3):
        contract.test_processes_that_share_a_batch_do_what_one_does("zonal", share)
    contract.test_each_half_loads_alone_and_does_the_same("zonal", tmp_path / "checkpoint")
    fewer, _ = models.load("zonal").options({"left_out": 1}, "zonal")
    x, layout = batch(64, 48), small("zonal").layout(64, 48, fewer)
    assert layout == layout_of("zonal", 64, 48)
    with torch.no_grad():
        transmitter, receiver = halves("zonal")
        sent = [
            transmitter.send(x, torch.full((2,), 20.0), options).symbols for options in (fewer, send_options("zonal"))
        ]
        state = ChannelState(torch.full((2,), 1e-3))
        shown = [receiver.receive(y, state, layout, (64, 48), receive_options("zonal")) for y in sent]
    assert [each.lost for each in shown] == [("", "")] * 2
    assert (shown[0].x_hat - x).square().mean() > (shown[1].x_hat - x).square().mean()  # what is left out is missing
