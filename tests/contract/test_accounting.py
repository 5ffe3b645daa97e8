"""What both ends must agree on: no float, thread, precision or instruction set of either end decides it.

And what is sent is what is counted: at any size and any told SNR, header and all.
"""

import copy
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_methods import add_noise, halves, layout_of, receive_options, rows_of, send_options
from torch import Tensor

from jscc import models
from jscc.data import open_dataset
from jscc.framing import blocks, frame, word
from jscc.framing.frame import Arrived
from jscc.grid import PLAIN, Grid
from jscc.images import read_image
from jscc.link import networks_in
from jscc.models import softcast
from jscc.models._contract import Decoded, SomeReceiver, SomeTransmitter
from jscc.models._klt import classes, told
from jscc.signals import ChannelState, Side

every_method = pytest.mark.parametrize("name", models.names())
SIZE_PX = (96, 80)
TOLD_DB = (5.0, 15.0)
FADED = (Grid("block", pilots=64), Grid("fast", coherence=32, pilots=4))
CAPABILITIES = ("default", "avx2", "")
"""Of torch's kernels: plain, AVX2, and the best that the machine has."""


@cache
def photo(height_px: int, width_px: int) -> Tensor:
    """Return a piece of a photograph [1, 3, H, W]."""
    pixels = read_image(open_dataset("samples").images[0].path)[100 : 100 + height_px, 150 : 150 + width_px]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def images() -> Tensor:
    """Return two pictures [2, 3, 96, 80]."""
    return torch.cat([photo(*SIZE_PX), photo(*SIZE_PX).flip(3)])


@cache
def ends(name: str) -> tuple[SomeTransmitter, SomeReceiver]:
    """Return both halves; of a method with tables of photographs, with such tables, since others tell no values."""
    transmitter, receiver = copy.deepcopy(halves(name))
    if name == "kltjscc":
        photos = [read_image(image.path)[:256, :256].copy() for image in open_dataset("samples").images]
        receiver.initialise(transmitter, [torch.from_numpy(pixels).permute(2, 0, 1) for pixels in photos])
    return transmitter, receiver


def options_of(name: str) -> Any:
    """Return the send options of these tests: the quickest codec."""
    options = send_options(name)
    return dataclasses.replace(options, codec="jpeg") if name == "digital" else options  # type: ignore[call-arg]


@torch.no_grad()
def sent_by(name: str, grid: Grid = PLAIN) -> tuple[Tensor, ChannelState]:
    """Return what arrives of two pictures at the SNRs that are told, where every gain is 1."""
    snr_db = torch.tensor(TOLD_DB)
    return add_noise(ends(name)[0].send(images(), snr_db, options_of(name), grid).symbols, snr_db)


@torch.no_grad()
def received_by(
    name: str, y: Tensor, state: ChannelState, size_px: tuple[int, int] = SIZE_PX, grid: Grid = PLAIN
) -> Decoded:
    return ends(name)[1].receive(y, state, layout_of(name, *size_px, grid), size_px, receive_options(name))


def opened(name: str, y: Tensor, state: ChannelState, size_px: tuple[int, int] = SIZE_PX) -> Arrived:
    """Return what a frame [1, k] says."""
    receiver = ends(name)[1]
    return frame.receive(layout_of(name, *size_px), y, state, size_px, lambda body: receiver.read(body, size_px))


def codes_in(name: str, y: Tensor, state: ChannelState) -> list[list[float]]:
    rows = range(len(y))
    alone = [(y[row : row + 1], ChannelState(state.noise_power[row : row + 1])) for row in rows]
    return [opened(name, *each).side.codes[0].tolist() for each in alone]


# --- equal plans -----------------------------------------------------------------------------------------------------


def nudged(value: Any, towards: float) -> Any:
    """Return a float tensor, or the float tensors of a tuple, moved by one ulp; whole numbers stay."""
    if isinstance(value, tuple):
        parts = [nudged(part, towards) for part in value]
        return tuple(parts) if type(value) is tuple else type(value)(*parts)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return torch.nextafter(value, torch.full_like(value, towards))


def nudge_everywhere(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], towards: float) -> None:
    """Let a function return something else by one ulp, wherever it has been imported."""
    for module in [each for name, each in sys.modules.items() if name.startswith("jscc.")]:
        for attribute, value in list(vars(module).items()):
            if value is function:
                monkeypatch.setattr(module, attribute, lambda *it, **more: nudged(function(*it, **more), towards))


def shared_floats() -> dict[str, Callable[..., Any]]:
    """Return the functions that give floats from which both ends go on to a plan."""
    from jscc import signals

    functions = (
        signals.told_noise_power,
        signals.dequantise_log2,
        blocks.cost,
        word.energy,
        frame.left_to_method,
        classes.water_fill,
        classes.variance,
        softcast._water_fill,
    )
    return {f"{function.__module__}.{function.__name__}": function for function in functions}


@every_method
@pytest.mark.parametrize("towards", [-torch.inf, torch.inf])
@pytest.mark.parametrize("of", shared_floats())
def test_a_receiver_that_is_one_ulp_off_makes_the_same_picture(
    name: str, of: str, towards: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A float that moved the places of uses would leave noise: errors of the size of a pixel's range."""
    y, state = sent_by(name)
    expected, codes = received_by(name, y, state), codes_in(name, y, state)
    nudge_everywhere(monkeypatch, shared_floats()[of], towards)
    found = received_by(name, y, state)
    assert found.lost == expected.lost
    assert "header" not in found.lost
    assert codes_in(name, y, state) == codes
    torch.testing.assert_close(found.x_hat, expected.x_hat, atol=1e-3, rtol=0)


@every_method
@pytest.mark.parametrize("towards", [-torch.inf, torch.inf])
def test_a_transmitter_that_is_one_ulp_off_is_understood(
    name: str, towards: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of these functions at once, at the other end: its codes may be others, and are those that arrive."""
    expected = received_by(name, *sent_by(name))
    with monkeypatch.context() as patched:
        for function in shared_floats().values():
            nudge_everywhere(patched, function, towards)
        y, state = sent_by(name)
    found = received_by(name, y, state)
    assert found.lost == expected.lost
    torch.testing.assert_close(found.x_hat, expected.x_hat, atol=0.02, rtol=0)


@every_method
@pytest.mark.parametrize("grid", FADED, ids=["block", "fast"])
def test_ends_that_are_one_ulp_apart_agree_where_the_air_fades(
    name: str, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers and bits reach further there: other whole numbers, made of the same functions."""
    y, state = sent_by(name, grid)
    expected = received_by(name, y, state, grid=grid)
    assert "header" not in expected.lost
    for function in shared_floats().values():
        nudge_everywhere(monkeypatch, function, torch.inf)
    found = received_by(name, y, state, grid=grid)
    assert found.lost == expected.lost
    torch.testing.assert_close(found.x_hat, expected.x_hat, atol=1e-3, rtol=0)


@every_method
def test_symbols_and_noise_powers_that_are_one_ulp_off_make_the_same_picture(name: str) -> None:
    y, state = sent_by(name)
    expected, codes = received_by(name, y, state), codes_in(name, y, state)
    for towards in (-torch.inf, torch.inf):
        moved, told_state = nudged(y, towards), ChannelState(nudged(state.noise_power, towards))
        found = received_by(name, moved, told_state)
        assert found.lost == expected.lost
        assert codes_in(name, moved, told_state) == codes
        torch.testing.assert_close(found.x_hat, expected.x_hat, atol=1e-3, rtol=0)


def test_the_pictures_of_these_tests_have_a_digital_part() -> None:
    """Else nothing would be asked of kltjscc."""
    y, state = sent_by("kltjscc")
    for codes in codes_in("kltjscc", y, state):
        assert int(told.Told.of(torch.tensor([codes]), 6, 5).sizes[1]) > 20


@every_method
@pytest.mark.parametrize(
    ("transmitter", "receiver"), [((1, "float32"), (2, "bfloat16")), ((2, "bfloat16"), (1, "float32"))]
)
def test_threads_and_precision_of_the_ends_need_not_agree(
    name: str, transmitter: tuple[int, str], receiver: tuple[int, str]
) -> None:
    """Networks in bfloat16 move a picture by their own rounding; the codes are those that were sent."""

    def at(end: tuple[int, str], do: Callable[[], Any]) -> Any:
        torch.set_num_threads(end[0])
        with networks_in(end[1], torch.device("cpu")), torch.no_grad():
            return do()

    snr_db, options = torch.tensor(TOLD_DB), options_of(name)
    _, side = at(transmitter, lambda: ends(name)[0](images(), snr_db, options))
    y, state = at(transmitter, lambda: sent_by(name))
    found = at(receiver, lambda: received_by(name, y, state))
    assert found.lost == at((1, "float32"), lambda: received_by(name, y, state)).lost
    assert "header" not in found.lost
    assert name == "digital" or found.lost == ("", "")
    assert at(receiver, lambda: codes_in(name, y, state)) == side.codes.tolist()


ONE_END = """
import sys, torch
import test_accounting as accounting
from jscc import models
folder, sends, whose = sys.argv[1:4]
torch.set_num_threads(1)
if sends == "sends":
    torch.save({name: accounting.sent_by(name) for name in models.names()}, f"{folder}/{whose}")
else:
    for sender in whose.split(","):
        for name, sent in torch.load(f"{folder}/{sender}", weights_only=False).items():
            found = accounting.received_by(name, *sent)
            torch.save((found.x_hat, found.lost), f"{folder}/{name}-{sender}-{sys.argv[4]}")
"""


@pytest.mark.slow
def test_instruction_sets_of_the_ends_need_not_agree(tmp_path: Path) -> None:
    """Every pair of torch's kernels for plain code, AVX2 and this machine's best: nothing lost, the same picture."""

    def run(capability: str, *words: str) -> None:
        paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
        environment = os.environ | {"PYTHONPATH": paths}
        if capability:
            environment["ATEN_CPU_CAPABILITY"] = capability
        command = [sys.executable, "-c", ONE_END, str(tmp_path), *words]
        subprocess.run(command, env=environment, check=True)

    for capability in CAPABILITIES:
        run(capability, "sends", f"by-{capability}")
    for capability in CAPABILITIES:
        run(capability, "receives", ",".join(f"by-{sender}" for sender in CAPABILITIES), capability)
    for name in models.names():
        for sender in CAPABILITIES:
            pictures = [torch.load(tmp_path / f"{name}-by-{sender}-{receiver}") for receiver in CAPABILITIES]
            for x_hat, lost in pictures:
                assert lost == pictures[0][1]
                assert "header" not in lost
                assert name == "digital" or lost == ("", "")
                torch.testing.assert_close(x_hat, pictures[0][0], atol=2e-3, rtol=0)


# --- headers that fail -----------------------------------------------------------------------------------------------


def header_places(name: str, side: Side) -> list[tuple[str, Tensor]]:
    """Return the places of the words, and of the body where there is one, in the frame of one image."""
    layout = layout_of(name, *SIZE_PX)
    silent = torch.zeros(1, layout.slots)
    whole = frame.send(layout, silent, side).symbols[0] != 0
    words = frame.send(layout, silent, dataclasses.replace(side, body=())).symbols[0] != 0
    return [("words", words), *([("body", whole & ~words)] if side.body else [])]


@every_method
def test_a_header_that_fails_is_a_picture_of_one_colour_and_counted(name: str) -> None:
    """The symbols of its words, or of its body, in another order: a checksum fails, and nothing else is tried.

    Without the words, that is grey; they tell the mean colour, for a body that is lost.
    """
    snr_db, options = torch.tensor([12.0]), options_of(name)
    with torch.no_grad():
        _, side = ends(name)[0](photo(*SIZE_PX), snr_db, options)
        symbols = ends(name)[0].send(photo(*SIZE_PX), snr_db, options).symbols
    state = ChannelState(torch.tensor([1e-3]))
    assert "header" not in received_by(name, symbols, state).lost
    for part, places in header_places(name, side):
        assert int(places.sum()) > 50
        wrong = symbols.clone()
        order = torch.randperm(int(places.sum()), generator=torch.Generator().manual_seed(0))
        wrong[0, places] = symbols[0, places][order]
        x_hat, lost = received_by(name, wrong, state)
        assert lost == ("header",), part
        colour = photo(*SIZE_PX).mean((2, 3)) if part == "body" else torch.full((1, 3), 0.5)
        assert float((x_hat - colour[:, :, None, None]).abs().max()) <= 1 / 30 + 1e-6, part
        assert len(x_hat[0].flatten(1).unique(dim=1)[0]) == 1, part


@every_method
def test_one_image_that_is_lost_leaves_the_others(name: str) -> None:
    y, state = sent_by(name)
    expected = received_by(name, y, state)
    x_hat, lost = received_by(name, torch.stack([y[0], y[1].flip(0)]), state)
    assert lost == (expected.lost[0], "header")
    assert torch.equal(x_hat[0], expected.x_hat[0])
    assert torch.equal(x_hat[1], torch.full_like(x_hat[1], 0.5))


@every_method
@settings(max_examples=30)
@given(data=st.data())
def test_a_header_of_anything_whose_checksums_hold_is_a_picture_or_lost(name: str, data: st.DataObject) -> None:
    """As one error in 65,536 to 2^32 does, or somebody who makes it up: never an exception, and never much work."""
    layout = layout_of(name, *SIZE_PX)
    snr_code, margin_code = data.draw(st.integers(0, 511)), data.draw(st.integers(0, 255))
    body = data.draw(st.binary(min_size=0, max_size=40)) if layout.has_body else b""
    rest = len(body) if layout.has_body else data.draw(st.integers(0, 2 ** (48 * layout.words - 17) - 1))
    value = (rest << 8 | margin_code) << 9 | snr_code
    values = [value >> 48 * number & 2**48 - 1 for number in range(layout.words)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(frame.header, "write", lambda *_: values)
        codes = torch.zeros(1, layout.code_count)
        side = Side.told(torch.zeros(1, 3, *SIZE_PX), torch.zeros(1), 0, codes, layout.code_bits)
        whole = torch.tensor([[min(snr_code, 478)], [min(margin_code, 240)], [len(body)]])
        side = dataclasses.replace(
            side, snr_code=whole[0], margin_code=whole[1], body_bytes=whole[2], body=(body,) if body else ()
        )
        s = torch.randn(1, layout.slots, generator=torch.Generator().manual_seed(0))
        symbols = frame.send(layout, s, side).symbols
    decoded = received_by(name, symbols, ChannelState(torch.tensor([1e-4])))
    assert decoded.lost[0] in ("", "header", "payload")
    assert torch.isfinite(decoded.x_hat).all()


PICTURES: dict[str, Callable[[Tensor], Tensor]] = {
    "a photograph": lambda x: x,
    "noise": lambda x: torch.rand(x.shape, generator=torch.Generator().manual_seed(3)),
    "one colour": lambda x: torch.full_like(x, 0.2),
    "checks": lambda x: (torch.arange(70)[:, None] // 3 + torch.arange(70) // 5).remainder(2).expand_as(x).float(),
    "one pixel": lambda x: torch.nn.functional.pad(x.new_ones(1, 3, 1, 1), (0, 69, 0, 69)),
}


# --- what is counted -------------------------------------------------------------------------------------------------


@every_method
@settings(max_examples=60)
@given(
    kind=st.sampled_from(sorted(PICTURES)),
    height_px=st.integers(1, 70),
    width_px=st.integers(1, 70),
    told_db=st.floats(-30, 60),
    better_db=st.floats(3, 20),
)
def test_any_size_at_any_told_snr_costs_what_is_said(
    name: str, kind: str, height_px: int, width_px: int, told_db: float, better_db: float
) -> None:
    """Channel uses as the layout says, mean power 1, at most half of it the header's; and all of it arrives.

    An image of a few patches has no power for its header at low SNRs, so arrival is asked from 32x32 px and 5 dB on, on
    a channel that is 3 dB better than was told: nothing fails but once in far more than 10,000.
    """
    layout, size_px = layout_of(name, height_px, width_px), (height_px, width_px)
    snr_db = torch.tensor([told_db])
    with torch.no_grad():
        x = PICTURES[kind](photo(70, 70))[..., :height_px, :width_px]
        sent = ends(name)[0].send(x, snr_db, options_of(name))
    assert sent.symbols.shape == (1, layout.channel_uses)
    assert float(sent.symbols.double().square().mean()) == pytest.approx(1, abs=0.01)
    assert layout.channel_uses - layout.slots <= int(sent.header_uses) < layout.channel_uses
    assert 0 < float(sent.header_share) <= 0.5 + 1e-9
    decoded = received_by(name, *add_noise(sent.symbols, (snr_db + better_db).clamp(max=60.0)), size_px)
    assert decoded.x_hat.shape == (1, 3, *size_px)
    assert torch.isfinite(decoded.x_hat).all()
    if told_db >= 5 and min(size_px) >= 32 and told_db + better_db <= 60:
        assert decoded.lost == ("",) or (name == "digital" and decoded.lost == ("payload",))


@every_method
def test_the_ledger_is_that_of_the_symbols(name: str) -> None:
    """Uses and power of the header, counted from a frame whose method sends nothing."""
    snr_db, options = torch.tensor(TOLD_DB), options_of(name)
    with torch.no_grad():
        s, side = ends(name)[0](images(), snr_db, options)
        sent = ends(name)[0].send(images(), snr_db, options)
    layout = layout_of(name, *SIZE_PX)
    for row in range(2):
        alone = rows_of(side, [row])
        header = frame.send(layout, torch.zeros_like(s[:1]), alone).symbols[0].double()
        assert int((header != 0).sum()) == int(sent.header_uses[row])
        share = float(header.square().sum()) / layout.channel_uses
        assert share == pytest.approx(float(sent.header_share[row]), rel=1e-4)
        told_bits = 9 + 8 + (31 + 8 * len(alone.body[0]) if layout.has_body else layout.code_count * layout.code_bits)
        assert int(sent.header_bits[row]) == told_bits
