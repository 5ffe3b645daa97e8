"""Every servicer called as an object with bytes: what it answers, what it refuses, and where the time went."""

import dataclasses
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
from torch import Tensor

from jscc import channels, checkpoints
from jscc.cards import UnknownCheckpointError
from jscc.framing import frame
from jscc.grid import PLAIN
from jscc.models import UnknownMethodError
from jscc.models._contract import SendOptions
from jscc.serving.host import Host
from jscc.signals import Layout, Side
from jscc.wire import codec, convert
from jscc.wire.codec import CodecError, Hop
from jscc.wire.errors import CheckpointMismatchError, TooLargeError
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.channel.servicer import ChannelServicer
from services.decoder.servicer import DecoderServicer
from services.encoder.servicer import EncoderServicer

METHOD = "deepjscc"
SYMBOLS_PER_BLOCK = 48  # of the small checkpoint, per 16x16 pixels
HEADER_USES = 128  # one word
USES = 9 * SYMBOLS_PER_BLOCK + HEADER_USES  # of 48x48 px
STRANGER = "0123456789abcdef"
SETTINGS = {"THREADS": "1"}

Array = codec.Array


@dataclass(frozen=True)
class Services:
    encoder: EncoderServicer
    channel: ChannelServicer
    decoder: DecoderServicer
    digest: str

    def encode(self, pixels: Array, snr_db: float = 10.0, **fields: Any) -> tuple[encoder_pb2.EncodeResponse, Array]:
        context = fields.pop("context", pb.RequestContext(method=METHOD))
        request = encoder_pb2.EncodeRequest(context=context, told_snr_db=snr_db, **fields)
        return codec.decode(encoder_pb2.EncodeResponse, ask(self.encoder.encode, request, pixels))

    def transmit(self, s: Array, seed: int = 7, **fields: Any) -> tuple[channel_pb2.TransmitResponse, Array]:
        context = fields.pop("context", pb.RequestContext(method=METHOD, seed=seed))
        channel = pb.ChannelModel(**{"name": "awgn", "snr_db": 10.0, **fields})
        request = channel_pb2.TransmitRequest(context=context, channel=channel)
        return codec.decode(channel_pb2.TransmitResponse, ask(self.channel.transmit, request, s))

    def decode(self, y: Array, **changes: Any) -> tuple[decoder_pb2.DecodeResponse, Array]:
        fields = {
            "context": pb.RequestContext(method=METHOD, checkpoint_digest=self.digest),
            "size": pb.ImageSize(height_px=48, width_px=48),
            "state": pb.ChannelState(noise_power=0.1),
            **changes,
        }
        request = decoder_pb2.DecodeRequest(**fields)
        return codec.decode(decoder_pb2.DecodeResponse, ask(self.decoder.decode, request, y))

    def send(self, pixels: Array, snr_db: float, seed: int = 7) -> Array:
        _, s = self.encode(pixels, snr_db)
        arrived, y = self.transmit(s, seed, snr_db=snr_db)
        received, x_hat = self.decode(y, size=size_of(pixels), state=arrived.state)
        assert received.lost == ""
        return x_hat


def ask(handler: Callable[[bytes, Hop], bytes], request: Message, array: Array) -> bytes:
    """Do what the server does with a request."""
    raw = codec.encode(request, array)
    hop = Hop.start(time.perf_counter_ns(), len(raw))
    hop.lap("queue", time.perf_counter_ns())
    return handler(raw, hop)


@pytest.fixture(scope="module")
def services(tiny_checkpoints: Path) -> Services:
    transmitters = Host(tiny_checkpoints, "transmitter", "", "cpu", "float32")
    receivers = Host(tiny_checkpoints, "receiver", METHOD, "cpu", "float32")
    return Services(
        EncoderServicer(transmitters, SETTINGS),
        ChannelServicer(SETTINGS),
        DecoderServicer(receivers, SETTINGS),
        checkpoints.cards(tiny_checkpoints)[0].digest,
    )


@pytest.fixture(scope="module")
def pixels(smooth_images: list[Tensor]) -> Array:
    """One uint8 [48, 48, 3] picture."""
    return np.ascontiguousarray(smooth_images[3].permute(1, 2, 0).numpy())


def psnr_db(first: Array, second: Array) -> float:
    return float(-10 * np.log10(np.mean((first / 255 - second / 255) ** 2)))


def size_of(pixels: Array) -> pb.ImageSize:
    return pb.ImageSize(height_px=pixels.shape[0], width_px=pixels.shape[1])


def unit_power(count: int, seed: int = 0) -> Array:
    s = np.random.default_rng(seed).standard_normal((1, count))
    return (s / np.sqrt(np.mean(s**2))).astype(np.float32)


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_an_image_arrives_and_better_at_higher_snr(services: Services, pixels: Array) -> None:
    pixels = np.tile(pixels, (4, 4, 1))  # large enough for the power of its header at -5 dB
    qualities = [psnr_db(pixels, services.send(pixels, snr_db)) for snr_db in (-5.0, 5.0, 15.0, 25.0)]
    assert qualities == sorted(qualities)
    assert qualities[-1] > qualities[0] + 10
    assert qualities[-1] > psnr_db(pixels, np.full_like(pixels, pixels.mean().round())) + 10


@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (17, 33), (48, 64)])
def test_sizes_survive_the_way(services: Services, height_px: int, width_px: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    blocks = -(-height_px // 16) * -(-width_px // 16)
    sent, s = services.encode(pixels)
    assert s.shape == (1, SYMBOLS_PER_BLOCK * blocks + HEADER_USES)
    assert s.dtype == np.float32
    power = s.astype(np.float64) ** 2
    assert np.mean(power) == pytest.approx(1, abs=1e-4)
    assert (sent.ledger.channel_uses, sent.ledger.header_uses) == (s.size, HEADER_USES)
    assert sent.ledger.header_bits == 9 + 8 + 8  # told SNR, margin, scale
    assert 0 < sent.ledger.header_share <= 0.5
    assert sent.ledger.peak_to_average_db == pytest.approx(10 * np.log10(power.max() / power.mean()), abs=1e-3)
    assert sent.checkpoint_digest == services.digest
    arrived, y = services.transmit(s)
    assert arrived.channel_uses == s.size
    received, x_hat = services.decode(y, size=size_of(pixels), state=arrived.state)
    assert received.lost == ""
    assert x_hat.shape == pixels.shape
    assert x_hat.dtype == np.uint8
    assert received.checkpoint_digest == services.digest
    assert dict(received.options) == {}


def test_the_same_request_gets_the_same_answer(services: Services, pixels: Array) -> None:
    """Apart from the times, bit for bit."""
    for _ in range(2):
        first, s = services.encode(pixels)
        again, s_again = services.encode(pixels)
        arrived, y = services.transmit(s)
        arrived_again, y_again = services.transmit(s)
        received, x_hat = services.decode(y, size=size_of(pixels), state=arrived.state)
        received_again, x_hat_again = services.decode(y, size=size_of(pixels), state=arrived.state)
        for one, other in ((first, again), (arrived, arrived_again), (received, received_again)):
            one.ClearField("timing")
            other.ClearField("timing")
            assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
        for one_array, other_array in ((s, s_again), (y, y_again), (x_hat, x_hat_again)):
            assert one_array.tobytes() == other_array.tobytes()


def test_every_hop_accounts_for_its_time(services: Services, pixels: Array) -> None:
    handlers: list[tuple[Callable[[bytes, Hop], bytes], Message, Array, type[Message]]] = [
        (
            services.encoder.encode,
            encoder_pb2.EncodeRequest(context=pb.RequestContext(method=METHOD), told_snr_db=0.0),
            pixels,
            encoder_pb2.EncodeResponse,
        ),
        (
            services.channel.transmit,
            channel_pb2.TransmitRequest(
                context=pb.RequestContext(), channel=pb.ChannelModel(name="noiseless", snr_db=0.0)
            ),
            unit_power(USES),
            channel_pb2.TransmitResponse,
        ),
        (
            services.decoder.decode,
            decoder_pb2.DecodeRequest(
                context=pb.RequestContext(method=METHOD, checkpoint_digest=services.digest),
                size=pb.ImageSize(height_px=48, width_px=48),
                state=pb.ChannelState(noise_power=0.1),
            ),
            unit_power(USES),
            decoder_pb2.DecodeResponse,
        ),
    ]
    for handler, request, array, answer_type in handlers:
        raw = codec.encode(request, array)
        begun_ns = time.perf_counter_ns()
        hop = Hop.start(begun_ns, len(raw))
        time.sleep(0.01)
        hop.lap("queue", time.perf_counter_ns())
        answer_raw = handler(raw, hop)
        elapsed_ns = time.perf_counter_ns() - begun_ns
        answer: Any = answer_type.FromString(answer_raw)
        timing = answer.timing
        assert timing.queue_ns >= 10_000_000
        parts_ns = (timing.deserialize_ns, timing.compute_ns, timing.serialize_ns)
        assert min(parts_ns) > 0
        assert timing.queue_ns + sum(parts_ns) <= elapsed_ns
        assert timing.bytes_in == len(raw)
        assert timing.bytes_out == len(answer_raw)


def test_several_requests_computed_at_once_get_what_each_gets_alone(services: Services, pixels: Array) -> None:
    """Bit for bit and in order: no request sees another's."""
    requests = [
        encoder_pb2.EncodeRequest(context=pb.RequestContext(method=METHOD), told_snr_db=snr_db)
        for snr_db in (0.0, 15.0)
    ]
    pipeline = services.encoder.encode
    images = (pixels, np.ascontiguousarray(pixels[::-1]))
    results = pipeline.compute([pipeline.parse(*each) for each in zip(requests, images, strict=True)])
    for request, image, result in zip(requests, images, results, strict=True):
        alone = codec.decode(encoder_pb2.EncodeResponse, ask(pipeline, request, image))[1]
        np.testing.assert_array_equal(pipeline.answer(result)[1], alone)


# --- encoder ---------------------------------------------------------------------------------------------------------


def test_the_encoder_listens_to_the_snr(services: Services, pixels: Array) -> None:
    assert not np.allclose(services.encode(pixels, -5.0)[1], services.encode(pixels, 20.0)[1], atol=0.01)


def test_the_encoder_takes_a_checkpoint_by_its_digest(services: Services, pixels: Array) -> None:
    context = pb.RequestContext(method=METHOD, checkpoint_digest=services.digest)
    assert services.encode(pixels, context=context)[0].checkpoint_digest == services.digest


def test_the_encoder_refuses_another_checkpoint_and_names_both(services: Services, pixels: Array) -> None:
    context = pb.RequestContext(method=METHOD, checkpoint_digest=STRANGER)
    with pytest.raises(CheckpointMismatchError, match=f"{STRANGER}.*{services.digest}"):
        services.encode(pixels, context=context)


@pytest.mark.parametrize("name", ["telepathy", ""])
def test_an_unknown_method_is_refused_with_those_that_are_served(services: Services, pixels: Array, name: str) -> None:
    context = pb.RequestContext(method=name, checkpoint_digest=services.digest)
    for call in (lambda: services.encode(pixels, context=context), lambda: services.decode(pixels, context=context)):
        with pytest.raises(UnknownMethodError, match=rf"'{name}' is not served here \(served: {METHOD}\)"):
            call()


def test_an_unknown_option_is_refused_by_its_name(services: Services, pixels: Array) -> None:
    options = {"magic": pb.OptionValue(int_value=1)}
    for call, known in (
        (lambda: services.encode(pixels, options=options), "header_margin_db"),
        (lambda: services.decode(unit_power(USES), options=options), "none"),
    ):
        with pytest.raises(ValueError, match=rf"^options: unknown key 'magic' \(known: {known}\)$"):
            call()


@pytest.mark.parametrize("snr_db", [-30.1, 60.1, float("nan"), float("inf"), -float("inf")])
def test_the_encoder_refuses_an_snr_out_of_range(services: Services, pixels: Array, snr_db: float) -> None:
    with pytest.raises(ValueError, match=r"^told_snr_db: .* is outside -30\.\.60 dB$"):
        services.encode(pixels, snr_db)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 1), np.uint8), id="one channel"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), id="with alpha"),
        pytest.param(np.zeros((3, 4, 5), np.uint8), id="channels first"),
        pytest.param(np.zeros((1, 4, 4, 3), np.uint8), id="batch"),
        pytest.param(np.zeros((4, 4, 3), np.float32), id="float32"),
    ],
)
def test_the_encoder_refuses_what_is_no_rgb_image(services: Services, image: Array) -> None:
    with pytest.raises(CodecError, match=rf"^image: {image.dtype} \[.*\], expected uint8 \[height, width, 3\]$"):
        services.encode(image)


@pytest.mark.parametrize("shape", [(4097, 1, 3), (1, 4097, 3)])
def test_the_encoder_refuses_an_image_that_is_too_large(services: Services, shape: tuple[int, ...]) -> None:
    with pytest.raises(TooLargeError, match=rf"^image: {shape[1]}x{shape[0]} px, the limit is 4096 px a side$"):
        services.encode(np.zeros(shape, np.uint8))


def test_the_longest_image_is_not_too_large(services: Services) -> None:
    assert services.encode(np.zeros((1, 4096, 3), np.uint8))[1].shape == (1, SYMBOLS_PER_BLOCK * 256 + HEADER_USES)


# --- channel ---------------------------------------------------------------------------------------------------------


def test_the_channel_adds_noise_of_the_snr(services: Services) -> None:
    """y - s has the variance 0.1; 200 000 symbols give it within 6 sqrt(2 / 200 000) = 2 % but once in 5e8 seeds."""
    s = unit_power(200_000)
    arrived, y = services.transmit(s)
    added = (y - s).astype(np.float64)
    assert np.mean(added**2) == pytest.approx(0.1, rel=0.02)
    assert arrived.noise_power == pytest.approx(np.mean(added**2), rel=1e-4)
    assert arrived.state.noise_power == pytest.approx(0.1, rel=1e-6)
    assert arrived.signal_power == pytest.approx(1, rel=1e-6)
    assert arrived.channel_uses == 200_000


@pytest.mark.parametrize("name", channels.names())
@pytest.mark.parametrize("uses", [200_000, 200_001])
def test_every_channel_measures_the_noise_alone(services: Services, name: str, uses: int) -> None:
    """Not what fading takes away: within 2 % of what the receiver is told, as above."""
    arrived, _ = services.transmit(unit_power(uses), name=name)
    assert arrived.noise_power == pytest.approx(arrived.state.noise_power, rel=0.02)
    assert arrived.signal_power == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("coherence", pb.OptionValue(int_value=-1), r"coherence must be in 0\.\.16777216, .* got -1"),
        ("coherence", pb.OptionValue(double_value=1), "coherence: expected a whole number, got 1.0"),
        ("k_factor_db", pb.OptionValue(double_value=-31), r"k_factor_db must be in -30\.\.60, .* got -31\.0"),
        ("doppler", pb.OptionValue(double_value=0.1), r"doppler excludes coherence: give one of them, got .*0\.1.* 8"),
    ],
)
def test_the_channel_refuses_fading_that_there_is_not(
    services: Services, option: str, value: pb.OptionValue, message: str
) -> None:
    options = {"coherence": pb.OptionValue(int_value=8), option: value}
    with pytest.raises(ValueError, match=f"^options: {message}$"):
        services.transmit(unit_power(8), name="rayleigh", options=options)


def test_the_channel_says_which_model_was_in_force(services: Services) -> None:
    s = unit_power(100)
    noisy, _ = services.transmit(s, snr_db=-3.25)
    assert (noisy.channel.name, noisy.channel.snr_db) == ("awgn", -3.25)
    clean, y = services.transmit(s, name="noiseless")
    assert clean.channel.name == "noiseless"
    assert clean.state.noise_power == 0
    assert clean.noise_power == 0
    np.testing.assert_array_equal(y, s)


def test_the_noise_depends_on_the_seed_and_the_number_of_symbols_alone(services: Services) -> None:
    """Another method with other symbols meets the same noise; another seed or another k does not."""
    first, second = unit_power(1000, 1), unit_power(1000, 2)
    context = pb.RequestContext(method="another", checkpoint_digest=STRANGER, request_id="x", seed=7)
    arrived, y = services.transmit(first)
    other, y_other = services.transmit(second, context=context)
    assert arrived.noise_digest == other.noise_digest
    np.testing.assert_allclose(y - first, y_other - second, atol=1e-5)
    louder, y_louder = services.transmit(first, snr_db=-10.0)
    assert louder.noise_digest == arrived.noise_digest
    np.testing.assert_allclose(y_louder - first, 10 * (y - first), rtol=1e-3, atol=1e-4)  # 20 dB louder
    reseeded, y_reseeded = services.transmit(first, seed=8)
    assert reseeded.noise_digest != arrived.noise_digest
    assert abs(np.corrcoef(y - first, y_reseeded - first)[0, 1]) < 0.2  # 6 / sqrt(1000)
    assert services.transmit(unit_power(1001))[0].noise_digest != arrived.noise_digest


def test_seeds_that_differ_in_any_bit_mean_different_noise(services: Services) -> None:
    """A sweep's seeds are 63-bit hashes; if 32 bits counted, two of 77 000 would probably share their noise."""
    seeds = [0, *(1 << bit for bit in range(63)), 2**63 - 1]
    digests = [services.transmit(unit_power(10), seed=seed)[0].noise_digest for seed in seeds]
    assert len(set(digests)) == len(seeds)


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
def test_a_seed_out_of_range_is_refused(services: Services, seed: int) -> None:
    with pytest.raises(ValueError, match=rf"^context\.seed: {seed} is outside 0\.\.2\^63 - 1$"):
        services.transmit(unit_power(10), seed=seed)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"context": None}, "context: missing in TransmitRequest"),
        ({"channel": None}, "channel: missing in TransmitRequest"),
        ({"channel": pb.ChannelModel(name="awgn")}, "snr_db: missing in ChannelModel"),
    ],
)
def test_what_the_channel_needs_is_never_taken_as_zero(
    services: Services, changes: dict[str, Any], sentence: str
) -> None:
    fields = {"context": pb.RequestContext(seed=1), "channel": pb.ChannelModel(name="awgn", snr_db=5.0), **changes}
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        ask(services.channel.transmit, channel_pb2.TransmitRequest(**fields), unit_power(10))


@pytest.mark.parametrize("field", ["context", "told_snr_db"])
def test_what_the_encoder_needs_is_never_taken_as_zero(services: Services, pixels: Array, field: str) -> None:
    request = encoder_pb2.EncodeRequest(context=pb.RequestContext(method=METHOD), told_snr_db=5.0)
    request.ClearField(field)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"^{field}: missing in EncodeRequest$"):
        ask(services.encoder.encode, request, pixels)


@pytest.mark.parametrize("field", ["context", "size", "state"])
def test_what_the_decoder_needs_is_never_taken_as_zero(services: Services, field: str) -> None:
    """Without a state softcast took 0 dB for a channel without noise: 18.7 dB instead of 21.4 dB, without a word."""
    with pytest.raises(ValueError, match=rf"^{field}: missing in DecodeRequest$"):
        services.decode(unit_power(USES), **{field: None})
    with pytest.raises(ValueError, match=r"^state\.noise_power: missing in ChannelState$"):
        services.decode(unit_power(USES), state=pb.ChannelState())


def test_an_unknown_channel_and_an_unknown_option_are_refused_by_name(services: Services) -> None:
    with pytest.raises(LookupError, match=r"^channel: unknown channel 'smoke' \(known: .*awgn.*noiseless"):
        services.transmit(unit_power(10), name="smoke")
    with pytest.raises(ValueError, match=r"unknown key 'colour'"):
        services.transmit(unit_power(10), options={"colour": pb.OptionValue(string_value="pink")})


@pytest.mark.parametrize("snr_db", [-30.5, 61.0, float("nan"), float("inf")])
def test_the_channel_refuses_an_snr_out_of_range(services: Services, snr_db: float) -> None:
    with pytest.raises(ValueError, match=r"^snr_db: .*-30\.\.60 dB$"):
        services.transmit(unit_power(10), snr_db=snr_db)


@pytest.mark.parametrize("power", [1.02, 2.0, 1e30])
def test_the_channel_refuses_symbols_of_too_much_power(services: Services, power: float) -> None:
    with pytest.raises(ValueError, match=r"^symbols: mean power .*, the limit is 1$"):
        services.transmit((unit_power(1000) * np.sqrt(power)).astype(np.float32))


def test_the_channel_takes_less_power_and_says_so(services: Services) -> None:
    arrived, _ = services.transmit((unit_power(1000) * 0.5).astype(np.float32))
    assert arrived.signal_power == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize(
    "symbols",
    [
        pytest.param(np.zeros(10, np.float32), id="one dimension"),
        pytest.param(np.zeros((3, 5), np.float32), id="three rows"),
        pytest.param(np.zeros((1, 5, 2), np.float32), id="three dimensions"),
        pytest.param(np.zeros((1, 10), np.float16), id="float16"),
        pytest.param(np.zeros((1, 10), np.uint8), id="uint8"),
    ],
)
def test_what_are_no_symbols_is_refused(services: Services, symbols: Array) -> None:
    for call, gains in ((services.transmit, ""), (services.decode, r", or \[2, k\] with gains")):
        with pytest.raises(CodecError, match=rf"^symbols: {symbols.dtype} \[.*\], expected float32 \[1, k\]{gains}$"):
            call(symbols)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_symbols_that_are_no_numbers_are_refused(services: Services, value: float) -> None:
    symbols = unit_power(USES)
    symbols[0, 77] = value
    for call in (services.transmit, services.decode):
        with pytest.raises(CodecError, match=r"^symbols: has NaN or infinite values$"):
            call(symbols)


# --- decoder ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [STRANGER, ""])
def test_the_decoder_refuses_symbols_of_another_checkpoint_and_names_both(services: Services, digest: str) -> None:
    context = pb.RequestContext(method=METHOD, checkpoint_digest=digest)
    with pytest.raises(CheckpointMismatchError, match=f"'{digest}'.*'{METHOD}' '{services.digest}'"):
        services.decode(unit_power(USES), context=context)
    context.transmitter = "telepathy"
    both = f"symbols are of 'telepathy' '{digest}', '{METHOD}' here decodes those of '{METHOD}' '{services.digest}'"
    with pytest.raises(CheckpointMismatchError, match=both):
        services.decode(unit_power(USES), context=context)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"height_px": 0}, r"^size\.height_px: 0 is outside 1\.\.4096$"),
        ({"width_px": 4097}, r"^size\.width_px: 4097 is outside 1\.\.4096$"),
        ({"width_px": 2**32 - 1}, r"^size\.width_px: 4294967295 is outside 1\.\.4096$"),
        ({"width_px": 49}, r"^symbols: 560 symbols, expected 704 for a 49x48 px image$"),
        ({"height_px": 32}, r"^symbols: 560 symbols, expected 416 for a 48x32 px image$"),
    ],
)
def test_the_decoder_refuses_a_size_that_does_not_fit(services: Services, size: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        services.decode(unit_power(USES), size=pb.ImageSize(**{"height_px": 48, "width_px": 48, **size}))


@pytest.mark.parametrize("count", [1, USES - 1, USES + 1, 2 * USES])
def test_the_decoder_refuses_any_other_number_of_symbols(services: Services, count: int) -> None:
    with pytest.raises(ValueError, match=rf"^symbols: {count} symbols, expected {USES} for a 48x48 px image$"):
        services.decode(unit_power(count))


def test_the_largest_image_with_too_few_symbols_costs_nothing(services: Services) -> None:
    """3,145,728 symbols at 48 per block, and a word that is sent eight times."""
    expected = SYMBOLS_PER_BLOCK * 256**2 + 8 * HEADER_USES
    with pytest.raises(ValueError, match=rf"^symbols: 560 symbols, expected {expected} for a 4096x4096 px image$"):
        services.decode(unit_power(USES), size=pb.ImageSize(height_px=4096, width_px=4096))


@pytest.mark.parametrize("snr_db", [-5.0, 10.0])
def test_a_lost_header_is_said_and_shows_grey(services: Services, pixels: Array, snr_db: float) -> None:
    """Symbols that are another frame's, or nobody's, and those of a channel 30 dB worse than was told."""
    _, s = services.encode(pixels, snr_db)
    for y, noise_power in (
        (services.transmit(s, snr_db=snr_db - 25)[1], 10 ** (2.5 - snr_db / 10)),
        (unit_power(USES), 0.1),
        (np.ascontiguousarray(s[:, ::-1]), 0.1),
    ):
        received, x_hat = services.decode(y, state=pb.ChannelState(noise_power=noise_power))
        assert received.lost == "header"
        assert (x_hat == 128).all()


@pytest.mark.parametrize("noise_power", [-0.1, float("nan"), float("inf")])
def test_the_decoder_refuses_a_noise_power_that_is_none(services: Services, noise_power: float) -> None:
    with pytest.raises(CodecError, match=r"^state\.noise_power: "):
        services.decode(unit_power(USES), state=pb.ChannelState(noise_power=noise_power))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_decoder_refuses_symbols_that_no_channel_makes(services: Services, sign: int) -> None:
    symbols = unit_power(USES)
    symbols[0, 5] = sign * 1.1e4
    with pytest.raises(ValueError, match=r"^symbols: a magnitude above 10000$"):
        services.decode(symbols)


@pytest.mark.parametrize("noise_power", [0.0, 1e-6, 1000.0, 1e300])
@pytest.mark.parametrize("level", [0.0, 1.0, 9e3])
def test_the_decoder_answers_whatever_is_within_the_limits(
    services: Services, noise_power: float, level: float
) -> None:
    """Symbols of one level, or as a method sends them behind a header that arrives."""
    layout = frame.around(9 * SYMBOLS_PER_BLOCK, 1, 8, PLAIN)
    bare = np.full((1, USES), level, np.float32)
    for symbols in (bare, *(framed(layout, level, code) for code in (0, 255))):
        received, x_hat = services.decode(symbols, state=pb.ChannelState(noise_power=noise_power))
        assert x_hat.shape == (48, 48, 3)
        assert received.lost == "header" or (symbols is not bare and noise_power <= 1000)


def framed(layout: Layout, level: float, code: int) -> Array:
    side = Side.told(torch.zeros(1, 3, 48, 48), torch.tensor([10.0]), 0, torch.tensor([[float(code)]]), 8)
    return frame.send(layout, torch.full((1, layout.slots), level), side).symbols.numpy()


# --- every servicer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x22\x05abc", b"\xff" * 40, bytes(1000)])
def test_garbage_is_refused(services: Services, raw: bytes) -> None:
    for handler in (services.encoder.encode, services.channel.transmit, services.decoder.decode):
        with pytest.raises(CodecError):
            handler(raw, Hop.start(0, len(raw)))


async def test_descriptions_say_what_is_served(services: Services) -> None:
    encoder = (await services.encoder.describe(b"")).description
    channel = (await services.channel.describe(b"")).description
    decoder = (await services.decoder.describe(b"")).description
    assert [item.service for item in (encoder, channel, decoder)] == ["encoder", "channel", "decoder"]
    assert [kind.name for kind in channel.channels] == channels.names()
    for item in (encoder, decoder):
        assert (item.device, item.precision) == ("cpu", "float32")
        (served,) = item.methods
        assert (served.name, served.checkpoint) == (METHOD, METHOD)
        assert (served.method, served.transmitter_method) == (METHOD, METHOD)
        sent = {"header_margin_db": SendOptions().header_margin_db} if item is encoder else {}
        assert convert.plain_options(served.send_options) == sent
        assert dict(served.receive_options) == {}
        assert served.checkpoint_digest == served.transmitter_digest == services.digest
        assert served.rho == (SYMBOLS_PER_BLOCK + HEADER_USES / (32 * 48)) / (3 * 16 * 16)  # of 512x768 px
        assert served.parameters > 0
    for item in (encoder, channel, decoder):
        assert item.max_side_px == 4096
        assert item.max_message_bytes > 4096 * 4096 * 3
        assert dict(item.settings) == SETTINGS


def test_service_names_are_those_of_the_protos(services: Services) -> None:
    """Every RPC of the .proto files has its handler, and none more."""
    for servicer, module, name in (
        (services.encoder, encoder_pb2, "EncoderService"),
        (services.channel, channel_pb2, "ChannelService"),
        (services.decoder, decoder_pb2, "DecoderService"),
    ):
        descriptor = module.DESCRIPTOR.services_by_name[name]
        service = servicer.service()
        assert service.full_name == descriptor.full_name
        handlers = [*service.compute, *service.direct, *service.streams]
        assert sorted(handlers) == sorted(method.name for method in descriptor.methods)


def test_a_service_hosts_only_what_it_was_asked_for(tiny_checkpoints: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownCheckpointError, match=f"no checkpoint of 'telepathy' .* looked in {tiny_checkpoints}"):
        Host(tiny_checkpoints, "receiver", f"{METHOD},telepathy", "cpu", "float32")
    with pytest.raises(checkpoints.CheckpointError, match="no model card"):
        Host(tmp_path, "receiver", "", "cpu", "float32")


@pytest.fixture
def two_checkpoints(tiny_checkpoints: Path, tmp_path: Path) -> tuple[Path, dict[str, checkpoints.Card]]:
    """A folder with the small checkpoint, and another of the same method whose transmitter differs."""
    first = checkpoints.cards(tiny_checkpoints)[0]
    halves = [checkpoints.load(tiny_checkpoints, first, half) for half in ("transmitter", "receiver")]
    cards = {METHOD: checkpoints.save(tmp_path, first, *halves)}
    for parameter in halves[0].parameters():
        parameter.data.mul_(0.5)
    card = factories.card("a_variant", METHOD, config=first.config)
    cards[card.name] = checkpoints.save(tmp_path, card, halves[0], halves[1])
    return tmp_path, cards


async def test_every_checkpoint_of_a_method_is_asked_for_by_its_name(
    two_checkpoints: tuple[Path, dict[str, checkpoints.Card]],
) -> None:
    folder, cards = two_checkpoints
    encoder = EncoderServicer(Host(folder, "transmitter", METHOD, "cpu", "float32"), SETTINGS)
    described = (await encoder.describe(b"")).description.methods
    assert [(item.name, item.method) for item in described] == [("a_variant", METHOD), (METHOD, METHOD)]
    assert sorted(encoder.service().health_names) == ["a_variant", METHOD]
    for name, card in cards.items():
        request = encoder_pb2.EncodeRequest(context=pb.RequestContext(method=name), told_snr_db=0.0)
        raw = ask(encoder.encode, request, np.zeros((16, 16, 3), np.uint8))
        assert encoder_pb2.EncodeResponse.FromString(raw).checkpoint_digest == card.digest
        other = next(item for item in cards.values() if item != card)
        request.context.checkpoint_digest = other.digest
        with pytest.raises(CheckpointMismatchError, match=f"'{name}' is wanted as '{other.digest}', .*{card.digest}"):
            ask(encoder.encode, request, np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", ["a_variant", METHOD]),
        ("all", ["a_variant", METHOD]),
        (METHOD, ["a_variant", METHOD]),
        ("a_variant", ["a_variant"]),
        (f" all, -{METHOD}", None),
        ("-a_variant", [METHOD]),
        (f"{METHOD},-a_variant", [METHOD]),
        ("all,-telepathy", ["a_variant", METHOD]),
    ],
)
def test_a_service_hosts_a_method_or_a_checkpoint_of_it(
    two_checkpoints: tuple[Path, dict[str, checkpoints.Card]], wanted: str, expected: list[str] | None
) -> None:
    """The name of a method stands for all its checkpoints, wanted or left out; any other name for one."""
    folder, _ = two_checkpoints
    if expected is None:
        with pytest.raises(
            UnknownCheckpointError, match=f"'{wanted}' leaves no checkpoint to serve; looked in {folder}"
        ):
            Host(folder, "receiver", wanted, "cpu", "float32")
    else:
        assert list(Host(folder, "receiver", wanted, "cpu", "float32").names) == expected


def test_an_encoder_hosts_the_transmitter_that_a_receiver_listens_to(
    two_checkpoints: tuple[Path, dict[str, checkpoints.Card]],
) -> None:
    """A checkpoint whose card names the symbols of another has no transmitter of its own to serve."""
    folder, cards = two_checkpoints
    listener = dataclasses.replace(cards["a_variant"], transmitter_digest=cards[METHOD].digest)
    checkpoints.write_card(folder, listener)
    for wanted in ("a_variant", METHOD, ""):
        assert Host(folder, "transmitter", wanted, "cpu", "float32").names == (METHOD,)
    assert Host(folder, "receiver", "a_variant", "cpu", "float32").names == ("a_variant",)
