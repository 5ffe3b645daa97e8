"""Every method over every channel through the three servicers: what crosses the wire is what the library computes."""

import dataclasses
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
import torch
from google.protobuf.message import Message
from small_methods import batch, halves, small
from torch import Tensor

from jscc import channels, checkpoints, link, models
from jscc.grid import PLAIN, Grid
from jscc.serving import tensors
from jscc.serving.host import Host
from jscc.wire import codec, convert
from jscc.wire.codec import CodecError, Hop
from jscc.wire.errors import TooLargeError
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.channel.servicer import ChannelServicer
from services.decoder.servicer import DecoderServicer
from services.encoder.servicer import EncoderServicer

SIZE_PX = (40, 56)
SNR_DB = 25.0
PILOTED = Grid("fast", coherence=16, pilots=4)
MOVING = Grid("fast", 8, 1, True, 12, 0.00125, 0.003)
AIRS: dict[str, tuple[Grid, bool, dict[str, Any]]] = {
    "pilots in blocks": (PILOTED, False, {"coherence": 16}),
    "pilots in the frame": (Grid("block", pilots=32), False, {}),
    "pilots over moving gains": (Grid("fast", coherence=8, pilots=1, expected_doppler=0.01), False, {"doppler": 0.01}),
    "pilots over subcarriers": (MOVING, False, {}),
    "a genie": (Grid("fast", interleaved=False), True, {"coherence": 1}),
    "nobody": (PLAIN, False, {"k_factor_db": 60.0}),
}
"""Grid, whether the gains are told, and the options of `rayleigh`."""
CALM = {"model": "E", "subcarriers": 12, "speed_m_s": 0.1}
OF_OTHERS = {"tdl": CALM, "cdl": CALM}
"""Options of other channels that fade: a strong line of sight, so that no header is lost."""

every_channel = pytest.mark.parametrize("channel", channels.names())
every_method = pytest.mark.parametrize("method", models.names())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small checkpoint of every method, each of both halves."""
    found = tmp_path_factory.mktemp("every")
    for name in models.names():
        card = factories.card(name, config=dataclasses.asdict(small(name)))
        checkpoints.save(found, card, *halves(name))
    return found


@dataclass(frozen=True)
class Services:
    encoder: EncoderServicer
    channel: ChannelServicer
    decoder: DecoderServicer


@pytest.fixture(scope="module")
def services(folder: Path) -> Services:
    hosts = [Host(folder, half, "", "cpu", "float32") for half in ("transmitter", "receiver")]  # type: ignore[arg-type]
    return Services(EncoderServicer(hosts[0], {}), ChannelServicer({}), DecoderServicer(hosts[1], {}))


def ask(handler: Callable[[bytes, Hop], bytes], request: Message, array: codec.Array, answer_type: Any) -> Any:
    raw = codec.encode(request, array)
    return codec.decode(answer_type, handler(raw, Hop.start(time.perf_counter_ns(), len(raw))))


def pixels_of(x: Tensor) -> codec.Array:
    return np.ascontiguousarray((x[0] * 255).round().byte().permute(1, 2, 0).numpy())


@every_method
@every_channel
@pytest.mark.parametrize("name", AIRS)
def test_services_and_link_compute_the_same(
    folder: Path, services: Services, method: str, channel: str, name: str
) -> None:
    """Symbols, ledger, gains and image; what a genie tells crosses the wire, and pilots are in the frame."""
    grid, is_told, options = AIRS[name]
    fades = channels.load(channel).fades
    is_told, options = is_told and fades, options if channel == "rayleigh" else OF_OTHERS.get(channel, {})
    x = batch(*SIZE_PX, count=1).mul(255).round() / 255
    air = {"channel": channel, "snr_db": SNR_DB, "options": options, "with_gains": is_told}
    here = link.load(method, folder)
    sent = here.encode(x, SNR_DB, grid=grid)
    arrived = here.transmit(sent, seed=3, **air)
    expected = here.receive(arrived)

    card = next(card for card in checkpoints.cards(folder) if card.name == method)
    context = pb.RequestContext(method=method, checkpoint_digest=card.digest, seed=3)
    wire_grid = tensors.grid_to_wire(grid)
    encode = encoder_pb2.EncodeRequest(context=context, told_snr_db=SNR_DB, grid=wire_grid)
    told, s = ask(services.encoder.encode, encode, pixels_of(x), encoder_pb2.EncodeResponse)
    np.testing.assert_allclose(s, sent.symbols.numpy(), atol=1e-4)
    assert told.ledger.pilot_uses == grid.pilot_uses(s.shape[1])
    assert (told.ledger.pilot_uses > 0) == name.startswith("pilots")
    model = pb.ChannelModel(name=channel, snr_db=SNR_DB, options=convert.options_to_wire(options))
    transmit = channel_pb2.TransmitRequest(context=context, channel=model, with_gains=is_told)
    state, y = ask(services.channel.transmit, transmit, sent.symbols.numpy(), channel_pb2.TransmitResponse)
    assert y.shape == (2 if is_told else 1, s.shape[1])
    np.testing.assert_array_equal(y[:1], arrived.symbols.numpy())
    size = pb.ImageSize(height_px=SIZE_PX[0], width_px=SIZE_PX[1])
    decode = decoder_pb2.DecodeRequest(context=context, size=size, state=state.state, grid=wire_grid)
    answer, image = ask(services.decoder.decode, decode, y, decoder_pb2.DecodeResponse)
    assert answer.lost == expected.lost[0]
    assert answer.lost != "header" or (fades and name in ("nobody", "pilots over moving gains"))
    off = np.abs(image - (expected.x_hat[0] * 255).permute(1, 2, 0).numpy())
    assert off.max() < 0.51


@pytest.mark.parametrize("count", [1, 2, 99, 100])
def test_gains_of_any_number_of_symbols_cross_the_wire(services: Services, count: int) -> None:
    """y = h x without noise worth the name: what was sent comes out again, that of an odd last symbol too."""
    s = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (1, count))
    model = pb.ChannelModel(name="rayleigh", snr_db=60.0, options=convert.options_to_wire({"coherence": 1}))
    request = channel_pb2.TransmitRequest(context=pb.RequestContext(seed=5), channel=model, with_gains=True)
    _, rows = ask(services.channel.transmit, request, s, channel_pb2.TransmitResponse)
    assert rows.shape == (2, count)
    y, gains = tensors.received_from_wire(rows)
    assert gains is not None
    assert gains.shape == (1, -(-count // 2))
    pairs = torch.view_as_complex(torch.nn.functional.pad(y, (0, count % 2)).view(1, -1, 2))
    found = torch.view_as_real(pairs * gains.conj() / gains.abs().square()).flatten(1)[:, :count]
    # noise of 1e-3 over |h|, and of the last real alone |Re h|: sixty times that is one fade in tens of thousands
    assert np.abs(found.numpy() - s).max() < 0.06 / float(gains.abs().min())
    none = channel_pb2.TransmitRequest(context=pb.RequestContext(seed=5), channel=model)
    _, alone = ask(services.channel.transmit, none, s, channel_pb2.TransmitResponse)
    np.testing.assert_array_equal(alone, rows[:1])


@pytest.mark.parametrize("channel", ["awgn", "noiseless"])
def test_gains_that_there_are_not_are_refused(services: Services, channel: str) -> None:
    model = pb.ChannelModel(name=channel, snr_db=0.0)
    request = channel_pb2.TransmitRequest(context=pb.RequestContext(), channel=model, with_gains=True)
    with pytest.raises(ValueError, match=f"^with_gains: channel '{channel}' does not fade$"):
        ask(services.channel.transmit, request, np.ones((1, 8), np.float32), channel_pb2.TransmitResponse)


def test_a_channel_that_lacks_its_extra_is_refused_and_the_service_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    servicer = ChannelServicer({})
    servicer.warm_up()
    request = channel_pb2.TransmitRequest(context=pb.RequestContext(), channel=pb.ChannelModel(name="tdl", snr_db=0.0))
    with pytest.raises(ValueError, match=r"^channel tdl: needs the extra `radio`: pip install .*$"):
        ask(servicer.transmit, request, np.ones((1, 8), np.float32), channel_pb2.TransmitResponse)


def test_gains_that_no_message_holds_are_refused_before_any_work(services: Services) -> None:
    model = pb.ChannelModel(name="rayleigh", snr_db=0.0)
    request = channel_pb2.TransmitRequest(context=pb.RequestContext(), channel=model, with_gains=True)
    symbols = np.ones((1, 8 * 2**20 + 1), np.float32)
    with pytest.raises(TooLargeError, match=r"^with_gains: .* are 67108872 bytes, the limit is 67108864$"):
        services.channel.transmit.parse(request, symbols)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"fading": "slow"}, "grid: fading must be one of none, fast, block, got 'slow'"),
        ({"fading": "x" * 5000}, f"grid: fading must be one of none, fast, block, got '{'x' * 100}'"),
        ({"coherence": 2**24 + 1}, r"grid: coherence must be in 0\.\.16777216, got 16777217"),
        ({"pilots": 1025}, r"grid: pilots must be in 0\.\.1024, got 1025"),
        ({"coherence": 8, "pilots": 8}, "grid: pilots: 8 of a block of 8 complex symbols leave nothing"),
        ({"row_length": 4097}, r"grid: row_length must be in 1\.\.4096, got 4097"),
        ({"expected_doppler": 0.6}, r"grid: expected_doppler must be in 0\.\.0\.5, got 0\.6"),
    ],
)
def test_a_grid_that_is_none_is_refused_by_name(services: Services, grid: dict[str, Any], message: str) -> None:
    context, wrong = pb.RequestContext(method="softcast"), pb.Grid(**grid)
    encode = encoder_pb2.EncodeRequest(context=context, told_snr_db=0.0, grid=wrong)
    with pytest.raises(CodecError, match=f"^{message}$"):
        ask(services.encoder.encode, encode, np.zeros((16, 16, 3), np.uint8), encoder_pb2.EncodeResponse)
    served = services.decoder._host.find("softcast")
    context.checkpoint_digest = served.card.transmitter_digest
    size, state = pb.ImageSize(height_px=16, width_px=16), pb.ChannelState(noise_power=1.0)
    decode = decoder_pb2.DecodeRequest(context=context, size=size, state=state, grid=wrong)
    with pytest.raises(CodecError, match=f"^{message}$"):
        ask(services.decoder.decode, decode, np.zeros((1, 9), np.float32), decoder_pb2.DecodeResponse)


def test_a_frame_that_no_message_holds_is_refused_before_it_is_made(services: Services) -> None:
    """Pilots on top of a method's symbols: 1,023 of every block of 1,024."""
    grid = tensors.grid_to_wire(Grid("fast", coherence=1024, pilots=1023))
    request = encoder_pb2.EncodeRequest(context=pb.RequestContext(method="deepjscc"), told_snr_db=0.0, grid=grid)
    with pytest.raises(TooLargeError, match=r"^grid: [0-9]+ channel uses .* the limit is 67108864$"):
        services.encoder.encode.parse(request, np.zeros((4096, 4096, 3), np.uint8))


def test_faded_symbols_stay_far_below_the_decoders_limit(services: Services) -> None:
    """At -30 dB, the lowest mean SNR; gains and noise together have the variance 1 + 1000, their extremes ten times."""
    s = np.random.default_rng(0).standard_normal((1, 100_000)).astype(np.float32)
    s /= np.sqrt(np.mean(s**2))
    model = pb.ChannelModel(name="rayleigh", snr_db=-30.0, options=convert.options_to_wire({"coherence": 1}))
    request = channel_pb2.TransmitRequest(context=pb.RequestContext(seed=1), channel=model, with_gains=True)
    _, rows = ask(services.channel.transmit, request, s, channel_pb2.TransmitResponse)
    assert np.abs(rows).max() < 10 * np.sqrt(1001)


def test_a_grid_left_out_is_that_of_air_that_does_not_fade() -> None:
    assert tensors.grid_to_wire(PLAIN) == pb.Grid()
    assert tensors.grid_from_wire(encoder_pb2.EncodeRequest().grid) == PLAIN
    for grid in (
        PILOTED,
        Grid("block", pilots=32),
        Grid("none", interleaved=False),
        Grid("block", 2**24, 1024),
        MOVING,
    ):
        assert tensors.grid_from_wire(tensors.grid_to_wire(grid)) == grid
