"""Small messages to the library's types and back; what is out of range is refused by its field."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jscc.framing.frame import Frame
from jscc.serving import tensors
from jscc.wire import convert
from jscc.wire.codec import CodecError
from jscc.wire.v1 import symbols_pb2 as pb


@dataclass(frozen=True)
class Options:
    """What a receiver could let a request choose."""

    steps: int = 4
    strength: float = 0.5
    fast: bool = False
    kind: str = "ddim"

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 100:
            raise ValueError(f"steps must be in 1..100, got {self.steps}")


@given(height_px=st.integers(1, 4096), width_px=st.integers(1, 4096))
def test_a_size_comes_back(height_px: int, width_px: int) -> None:
    wire = pb.ImageSize.FromString(pb.ImageSize(height_px=height_px, width_px=width_px).SerializeToString())
    assert tensors.size_from_wire(wire) == (height_px, width_px)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height_px": 0}, r"^size\.height_px: 0 is outside 1\.\.4096$"),
        ({"height_px": 4097}, r"^size\.height_px: 4097 is outside 1\.\.4096$"),
        ({"width_px": 0}, r"^size\.width_px: 0 is outside 1\.\.4096$"),
        ({"width_px": 2**32 - 1}, r"^size\.width_px: 4294967295 is outside 1\.\.4096$"),
    ],
)
def test_a_size_out_of_range_is_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        tensors.size_from_wire(pb.ImageSize(**{"height_px": 4, "width_px": 4096, **fields}))


def test_the_ledger_says_what_the_symbols_are_spent_on() -> None:
    """Mean power (4 + 1 + 0 + 0 + 0) / 5 = 1, peak 4: 10 log10(4) = 6.02 dB."""
    symbols = torch.tensor([[2.0, -1.0, 0.0, 0.0, 0.0]])
    frame = Frame(symbols, torch.tensor([25]), torch.tensor([3]), torch.tensor([0.2]).double(), 4)
    ledger = pb.Ledger.FromString(tensors.ledger_to_wire(frame).SerializeToString())
    assert (ledger.channel_uses, ledger.header_uses, ledger.header_bits, ledger.pilot_uses) == (5, 3, 25, 4)
    assert ledger.header_share == pytest.approx(0.2)
    assert ledger.peak_to_average_db == pytest.approx(10 * math.log10(4))


def test_symbols_are_copied_out_of_the_message() -> None:
    arrived = np.frombuffer(np.array([1.0, -0.5], "<f4").tobytes(), "<f4").reshape(1, 2)
    s = tensors.symbols_from_wire(arrived)
    assert s.tolist() == [[1.0, -0.5]]
    s.zero_()
    assert arrived.tolist() == [[1.0, -0.5]]


@pytest.mark.parametrize("noise_power", [0.0, 1e-6, 0.1, 1000.0])
def test_the_channel_state_is_read(noise_power: float) -> None:
    state = tensors.state_from_wire(pb.ChannelState(noise_power=noise_power), "cpu")
    assert state.noise_power.dtype == torch.float32
    torch.testing.assert_close(state.noise_power, torch.tensor([noise_power]))


@pytest.mark.parametrize("noise_power", [-1e-9, -1.0, math.nan, math.inf, -math.inf])
def test_a_noise_power_that_is_none_is_refused(noise_power: float) -> None:
    with pytest.raises(CodecError, match=r"^state\.noise_power: .* must be a number of at least 0$"):
        tensors.state_from_wire(pb.ChannelState(noise_power=noise_power), "cpu")


def test_options_travel_by_their_kind() -> None:
    wire = convert.options_to_wire({"steps": 7, "strength": 1.0, "fast": True, "kind": "x"})
    kinds = {name: value.WhichOneof("kind") for name, value in wire.items()}
    assert kinds == {"steps": "int_value", "strength": "double_value", "fast": "bool_value", "kind": "string_value"}
    assert convert.options_from_wire(Options, wire) == Options(7, 1.0, True, "x")


def test_options_left_out_keep_their_defaults() -> None:
    assert convert.options_from_wire(Options, {}) == Options()
    assert convert.options_from_wire(Options, convert.options_to_wire({"fast": True})) == Options(fast=True)


def test_options_in_force_are_all_of_them() -> None:
    in_force = convert.options_in_force(Options(steps=9))
    assert set(in_force) == {"steps", "strength", "fast", "kind"}
    assert convert.options_from_wire(Options, in_force) == Options(steps=9)


@pytest.mark.parametrize("value", [0, 0.0, False, ""])
def test_a_value_that_protobuf_would_leave_out_still_counts(value: object) -> None:
    """Zero, false and empty are the defaults of proto3; inside a oneof they are told apart from nothing."""

    @dataclass(frozen=True)
    class Truthy:
        value: Any = "default"

    wire = pb.OptionValue.FromString(convert.options_to_wire({"value": value})["value"].SerializeToString())
    got = convert.options_from_wire(Truthy, {"value": wire}).value
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"step": pb.OptionValue(int_value=1)},
            r"^options: unknown key 'step' \(known: fast, kind, steps, strength\)$",
        ),
        ({"steps": pb.OptionValue(double_value=1)}, r"^options: steps: expected a whole number, got 1\.0$"),
        ({"steps": pb.OptionValue(bool_value=True)}, r"^options: steps: expected a whole number, got true$"),
        ({"steps": pb.OptionValue(int_value=0)}, r"^options: steps must be in 1\.\.100, got 0$"),
        (
            {"steps": pb.OptionValue(int_value=2**63 - 1)},
            r"^options: steps must be in 1\.\.100, got 9223372036854775807$",
        ),
        ({"fast": pb.OptionValue(int_value=1)}, r"^options: fast: expected true or false, got 1$"),
        ({"kind": pb.OptionValue(int_value=1)}, r"^options: kind: expected text, got 1$"),
        ({"strength": pb.OptionValue(string_value="much")}, r"^options: strength: expected a number, got 'much'$"),
        ({"steps": pb.OptionValue()}, r"^options: steps: expected a whole number, got nothing$"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, pb.OptionValue], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert.options_from_wire(Options, options)


def test_a_whole_number_may_stand_for_a_real_one() -> None:
    assert convert.options_from_wire(Options, {"strength": pb.OptionValue(int_value=1)}) == Options(strength=1.0)
