"""The codec against bytes written by hand, the generated protobuf classes, and garbage."""

import itertools
import math
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jscc import limits
from jscc.wire import codec
from jscc.wire.codec import CodecError, Hop
from jscc.wire.fields import OversizeError
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2, orchestrator_pb2
from jscc.wire.v1 import symbols_pb2 as pb

TYPES: list[type[Message]] = [
    encoder_pb2.EncodeRequest,
    encoder_pb2.EncodeResponse,
    channel_pb2.TransmitRequest,
    channel_pb2.TransmitResponse,
    decoder_pb2.DecodeRequest,
    decoder_pb2.DecodeResponse,
]
PIXELS = np.array([[[1, 2, 3]]], dtype=np.uint8)
SYMBOLS = np.array([[1.0, -0.5]], dtype=np.float32)
SIZE = pb.ImageSize(height_px=1, width_px=200)
LEDGER = pb.Ledger(
    channel_uses=300, header_uses=128, header_bits=25, header_share=0.25, peak_to_average_db=10.0, pilot_uses=4
)
GRID = pb.Grid(fading="fast", coherence=128, pilots=4, in_order=True)


def field_of(message_type: type[Message]) -> str:
    """Return the name of the tensor field."""
    return "image" if "image" in message_type.DESCRIPTOR.fields_by_name else "symbols"


# --- golden bytes ----------------------------------------------------------------------------------------------------
#
# Derived by hand from https://protobuf.dev/programming-guides/encoding: a field is a tag (number << 3 | wire type) and
# its content; wire type 0 is a varint, 1 eight bytes, 2 a length and that many bytes; numbers are little-endian.
# Doubles: 0.25 = 3fd0..., 0.5 = 3fe0..., 1.0 = 3ff0..., 10.0 = 4024... Floats: 1.0 = 3f800000, -0.5 = bf000000.

# Tensor: dtype (1) = 1, shape (2, packed) = 1 1 3, data (3) = 3 bytes. 2 + 5 + 5 = 12 = 0x0c bytes.
PIXELS_HEX = "0801 1203010103 1a03010203"
# Tensor: dtype (1) = 3, shape (2, packed) = 1 2, data (3) = 8 bytes. 2 + 4 + 10 = 16 = 0x10 bytes.
SYMBOLS_HEX = "0803 12020102 1a080000803f000000bf"
# ImageSize: height (1) = 1, width (2) = 200 = c801. 2 + 3 = 5 bytes.
SIZE_HEX = "0801 10c801"
# Ledger: uses (1) = 300 = ac02, of the header (2) = 128 = 8001, bits (3) = 25, share (4) = 0.25, peak (5) = 10.0,
# of pilots (6) = 4. 3 + 3 + 2 + 9 + 9 + 2 = 28 = 0x1c bytes.
LEDGER_HEX = "08ac02 108001 1819 21 000000000000d03f 29 0000000000002440 3004"
# Grid: fading (1) = "fast", coherence (2) = 128 = 8001, pilots (3) = 4, in_order (4) = 1. 6 + 3 + 2 + 2 = 13 = 0x0d.
GRID_HEX = "0a0466617374 108001 1804 2001"
# HopTiming: six fixed64 (1..6) of 9 bytes = 54 = 0x36; the last, bytes_out, is left to the message.
TIMING_HEX = "090100000000000000 110200000000000000 190300000000000000 210400000000000000 290500000000000000 31"


@dataclass(frozen=True)
class Golden:
    message: Message
    array: codec.Array
    hex: str
    timing_hex: str = ""
    later_hex: str = ""
    """A field that the generated classes write after the tensor, whose number is smaller."""

    @property
    def body(self) -> bytes:
        """The message up to its tensor, which in a request is all of it."""
        return bytes.fromhex(self.hex)

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.hex + self.timing_hex)


GOLDEN = [
    Golden(
        encoder_pb2.EncodeRequest(
            context=pb.RequestContext(request_id="r", method="m", checkpoint_digest="d", seed=300),
            told_snr_db=1.0,
            options={"k": pb.OptionValue(int_value=7)},
        ),
        PIXELS,
        # context (1): "r" (1), "m" (2), "d" (3), 300 = ac02 (4): 12 bytes
        "0a0c 0a0172 12016d 1a0164 20ac02"
        # told_snr_db (2): double 1.0
        "11 000000000000f03f"
        # options (3): a map entry of 7 bytes: key (1) "k", value (2) of 2 bytes: int_value (1) 7
        "1a07 0a016b 1202 0807"
        # image (4)
        f"220c {PIXELS_HEX}",
    ),
    Golden(
        encoder_pb2.EncodeResponse(
            checkpoint_digest="d", ledger=LEDGER, options={"b": pb.OptionValue(bool_value=True)}
        ),
        SYMBOLS,
        # checkpoint_digest (1), ledger (2), options (3): key (1) "b", value (2): bool_value (3) 1; symbols (4):
        # 3 + 30 + 9 + 18 = 60 bytes
        f"0a0164 121c {LEDGER_HEX} 1a07 0a0162 1202 1801 2210 {SYMBOLS_HEX}",
        # timing (5): 2 + 54 bytes, so bytes_out = 116 = 0x74
        f"2a36 {TIMING_HEX} 7400000000000000",
    ),
    Golden(
        channel_pb2.TransmitRequest(
            context=pb.RequestContext(seed=300), channel=pb.ChannelModel(name="awgn", snr_db=10.0)
        ),
        SYMBOLS,
        # context (1); channel (2) of 15 bytes: name (1) "awgn", snr_db (2) double 10.0
        "0a0320ac02 120f 0a046177676e 11 0000000000002440"
        # symbols (15): tag 15 << 3 | 2 = 0x7a
        f"7a10 {SYMBOLS_HEX}",
    ),
    Golden(
        encoder_pb2.EncodeRequest(told_snr_db=1.0, grid=GRID),
        PIXELS,
        # told_snr_db (2), grid (5), image (4)
        f"11 000000000000f03f 2a0d {GRID_HEX} 220c {PIXELS_HEX}",
        later_hex=f"2a0d {GRID_HEX}",
    ),
    Golden(
        channel_pb2.TransmitRequest(channel=pb.ChannelModel(name="x"), with_gains=True),
        SYMBOLS,
        # channel (2) of 3 bytes, with_gains (3), symbols (15)
        f"1203 0a0178 1801 7a10 {SYMBOLS_HEX}",
    ),
    Golden(
        decoder_pb2.DecodeRequest(size=SIZE, grid=GRID),
        SYMBOLS,
        # size (2), grid (6), symbols (5)
        f"1205 {SIZE_HEX} 320d {GRID_HEX} 2a10 {SYMBOLS_HEX}",
        later_hex=f"320d {GRID_HEX}",
    ),
    Golden(
        channel_pb2.TransmitRequest(
            channel=pb.ChannelModel(name="x", snr_db=0.0, options={"k": pb.OptionValue(int_value=7)})
        ),
        SYMBOLS,
        # channel (2) of 21 bytes: name (1) "x", snr_db (2) 0.0 that is present, options (3): a map entry of 7 bytes
        f"1215 0a0178 11 0000000000000000 1a07 0a016b 1202 0807 7a10 {SYMBOLS_HEX}",
    ),
    Golden(
        channel_pb2.TransmitResponse(
            channel=pb.ChannelModel(name="awgn", snr_db=10.0),
            state=pb.ChannelState(noise_power=0.5),
            noise_digest="ab",
            signal_power=1.0,
            noise_power=0.25,
            channel_uses=2,
        ),
        SYMBOLS,
        # channel (2), state (4), noise_digest (5): 17 + 11 + 4 bytes
        "120f 0a046177676e 11 0000000000002440 2209 09 000000000000e03f 2a026162"
        # signal_power (6), noise_power (7), channel_uses (8): 9 + 9 + 2 bytes
        "31 000000000000f03f 39 000000000000d03f 4002"
        # symbols (15): 18 bytes
        f"7a10 {SYMBOLS_HEX}",
        # timing (16): tag 16 << 3 | 2 = 130 = 8201; 3 + 54 bytes, so bytes_out = 70 + 57 = 127 = 0x7f
        f"820136 {TIMING_HEX} 7f00000000000000",
    ),
    Golden(
        decoder_pb2.DecodeRequest(
            context=pb.RequestContext(method="m", checkpoint_digest="d", transmitter="t"),
            size=SIZE,
            state=pb.ChannelState(noise_power=0.5),
            options={"k": pb.OptionValue(double_value=0.5)},
        ),
        SYMBOLS,
        # context (1): "m" (2), "d" (3), "t" (5): 9 bytes; size (2), state (3)
        f"0a0912016d1a01642a0174 1205 {SIZE_HEX} 1a09 09 000000000000e03f"
        # options (4): key (1) "k", value (2) of 9 bytes: double_value (2) 0.5; symbols (5)
        f"220e 0a016b 1209 11 000000000000e03f 2a10 {SYMBOLS_HEX}",
    ),
    Golden(
        decoder_pb2.DecodeResponse(checkpoint_digest="d", options={"b": pb.OptionValue(bool_value=True)}, lost="h"),
        PIXELS,
        # checkpoint_digest (1), options (2): key (1) "b", value (2): bool_value (3) 1; lost (3) "h"; image (4):
        # 3 + 9 + 3 + 14 = 29 bytes
        f"0a0164 1207 0a0162 1202 1801 1a0168 220c {PIXELS_HEX}",
        # timing (5): 2 + 54 bytes, so bytes_out = 85 = 0x55
        f"2a36 {TIMING_HEX} 5500000000000000",
    ),
]
names = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: type(golden.message).__name__)


def timed(message: Message, array: codec.Array) -> bytes:
    """Encode with the laps 1, 2, 3, 4 ns of a request of 5 bytes."""
    hop = Hop.start(1000, 5)
    for part, now_ns in (("queue", 1001), ("deserialize", 1003), ("compute", 1006)):
        hop.lap(part, now_ns)
    return codec.encode_timed(message, array, hop, lambda: 1010)


@names
def test_what_is_written_is_what_the_specification_says(golden: Golden) -> None:
    assert codec.encode(golden.message, golden.array).hex() == golden.body.hex()
    if golden.timing_hex:
        assert timed(golden.message, golden.array).hex() == golden.raw.hex()


@names
def test_what_the_specification_says_is_read(golden: Golden) -> None:
    expected = type(golden.message)()
    expected.CopyFrom(golden.message)
    if golden.timing_hex:
        record = pb.HopTiming(queue_ns=1, deserialize_ns=2, compute_ns=3, serialize_ns=4, bytes_in=5)
        record.bytes_out = len(golden.raw)
        expected.timing.CopyFrom(record)  # type: ignore[attr-defined]
    message, array = codec.decode(type(golden.message), golden.raw)
    assert message == expected
    assert array.dtype == golden.array.dtype
    np.testing.assert_array_equal(array, golden.array, strict=True)


@names
def test_the_generated_classes_read_and_write_the_same_bytes(golden: Golden) -> None:
    """Protobuf itself is the second reference: it shows that the bytes above are those of the .proto files."""
    message = type(golden.message).FromString(golden.body)
    tensor = getattr(message, field_of(type(message)))
    assert list(tensor.shape) == list(golden.array.shape)
    assert tensor.data == golden.array.tobytes()
    later = bytes.fromhex(golden.later_hex)
    assert message.SerializeToString(deterministic=True) == golden.body.replace(later, b"") + later


def test_every_message_with_a_tensor_has_golden_bytes() -> None:
    files = [module.DESCRIPTOR for module in (encoder_pb2, channel_pb2, decoder_pb2)]
    found = {
        message.name
        for file in files
        for message in file.message_types_by_name.values()
        if any(field.message_type is pb.Tensor.DESCRIPTOR for field in message.fields)
    }
    assert found == {type(golden.message).__name__ for golden in GOLDEN} == {kind.__name__ for kind in TYPES}


# --- against the generated classes -----------------------------------------------------------------------------------

words = st.text(max_size=5)
uint32s, uint64s = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
doubles = st.floats(allow_nan=False)
contexts = st.builds(pb.RequestContext, request_id=words, method=words, checkpoint_digest=words, seed=uint64s)
options = st.dictionaries(
    words,
    st.builds(pb.OptionValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(pb.OptionValue, double_value=doubles)
    | st.builds(pb.OptionValue, bool_value=st.booleans())
    | st.builds(pb.OptionValue, string_value=words),
    max_size=3,
)
sizes = st.builds(pb.ImageSize, height_px=uint32s, width_px=uint32s)
ledgers = st.builds(pb.Ledger, channel_uses=uint64s, header_uses=uint64s, header_bits=uint64s, header_share=doubles)
states = st.builds(pb.ChannelState, noise_power=doubles)
models = st.builds(pb.ChannelModel, name=words, snr_db=doubles, options=options)
timings = st.builds(pb.HopTiming, queue_ns=uint64s, compute_ns=uint64s, bytes_in=uint64s)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(encoder_pb2.EncodeRequest, context=contexts, told_snr_db=doubles, options=options),
    st.builds(encoder_pb2.EncodeResponse, checkpoint_digest=words, ledger=ledgers, timing=timings),
    st.builds(channel_pb2.TransmitRequest, context=contexts, channel=models),
    st.builds(
        channel_pb2.TransmitResponse,
        channel=models,
        state=states,
        noise_digest=words,
        noise_power=doubles,
        channel_uses=uint64s,
        timing=timings,
    ),
    st.builds(decoder_pb2.DecodeRequest, context=contexts, size=sizes, state=states, options=options),
    st.builds(decoder_pb2.DecodeResponse, checkpoint_digest=words, options=options, timing=timings),
)
ELEMENTS: dict[str, Any] = {
    "u1": st.integers(0, 255),
    "<f2": st.floats(width=16, allow_nan=False, allow_infinity=False),
    "<f4": st.floats(width=32, allow_nan=False, allow_infinity=False),
}
DTYPE_CODES = {"u1": pb.ELEMENT_TYPE_UINT8, "<f2": pb.ELEMENT_TYPE_FLOAT16, "<f4": pb.ELEMENT_TYPE_FLOAT32}
arrays = st.sampled_from(sorted(ELEMENTS)).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4), elements=ELEMENTS[dtype]
    )
)


def tensor_of(array: codec.Array) -> pb.Tensor:
    code = DTYPE_CODES[array.dtype.str.replace("|", "")]
    return pb.Tensor(dtype=code, shape=array.shape, data=array.tobytes())


def with_tensor(message: Message, array: codec.Array) -> Message:
    whole = type(message)()
    whole.CopyFrom(message)
    getattr(whole, field_of(type(message))).CopyFrom(tensor_of(array))
    return whole


@given(message=messages, array=arrays)
def test_protobuf_reads_what_the_codec_writes(message: Message, array: codec.Array) -> None:
    assert type(message).FromString(codec.encode(message, array)) == with_tensor(message, array)


@given(message=messages, array=arrays)
def test_the_codec_reads_what_protobuf_writes(message: Message, array: codec.Array) -> None:
    raw = with_tensor(message, array).SerializeToString()
    got, view = codec.decode(type(message), raw)
    assert got == message
    np.testing.assert_array_equal(view, array, strict=True)


def varint(value: int) -> bytes:
    """Write a varint in a way of its own: seven bits a byte, least first, the high bit on all but the last."""
    digits = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def block(number: int, content: bytes) -> bytes:
    """Write a field of wire type 2."""
    return varint(number << 3 | 2) + varint(len(content)) + content


UNKNOWN = [
    bytes.fromhex("c03e 07"),  # field 1000, varint
    bytes.fromhex("ca3e 02 0102"),  # field 1001, two bytes
    bytes.fromhex("d53e 01020304"),  # field 1002, four bytes
    bytes.fromhex("d93e 0102030405060708"),  # field 1003, eight bytes
]


@given(message=messages, array=arrays, data=st.data())
def test_fields_come_in_any_order_with_an_unpacked_shape_among_unknown_ones(
    message: Message, array: codec.Array, data: st.DataObject
) -> None:
    tensor = tensor_of(array)
    shape = b"".join(b"\x10" + varint(size) for size in array.shape)  # field 2, one varint each
    parts = data.draw(st.permutations([b"\x08" + varint(tensor.dtype), shape, block(3, tensor.data), *UNKNOWN]))
    number = message.DESCRIPTOR.fields_by_name[field_of(type(message))].number
    pieces = [block(number, b"".join(parts)), *UNKNOWN]
    for descriptor, _ in message.ListFields():
        alone = type(message)()
        alone.CopyFrom(message)
        for other, _ in message.ListFields():
            if other.name != descriptor.name:
                alone.ClearField(other.name)
        pieces.append(alone.SerializeToString())
    got, view = codec.decode(type(message), b"".join(data.draw(st.permutations(pieces))))
    got.DiscardUnknownFields()
    assert got == message
    np.testing.assert_array_equal(view, array, strict=True)


# --- the array itself ------------------------------------------------------------------------------------------------


def test_the_array_is_a_read_only_view_of_what_arrived() -> None:
    raw = codec.encode(encoder_pb2.EncodeRequest(), np.arange(3000, dtype=np.uint8).reshape(10, 100, 3))
    _, array = codec.decode(encoder_pb2.EncodeRequest, raw)
    assert np.shares_memory(array, np.frombuffer(raw, np.uint8))
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "array", [np.arange(12, dtype="<f4").reshape(3, 4).T, np.arange(24, dtype="<f4").reshape(4, 6)[::2, ::-3]]
)
def test_arrays_of_any_memory_layout_are_written_row_by_row(array: codec.Array) -> None:
    assert not array.flags.c_contiguous
    _, got = codec.decode(encoder_pb2.EncodeResponse, codec.encode(encoder_pb2.EncodeResponse(), array))
    np.testing.assert_array_equal(got, array, strict=True)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((1, 2)), id="float64"),
        pytest.param(np.zeros((1, 2), np.int64), id="int64"),
        pytest.param(np.zeros((1, 2), np.bool_), id="bool"),
        pytest.param(np.zeros((1, 2), np.complex64), id="complex64"),
        pytest.param(np.zeros((1, 2), ">f4"), id="big-endian"),
        pytest.param(np.zeros((1, 1, 1, 1, 1), np.uint8), id="5 dimensions"),
        pytest.param(np.array(3, np.uint8), id="0 dimensions"),
        pytest.param(np.zeros((0, 3), np.uint8), id="no elements"),
    ],
)
def test_an_array_without_a_place_on_the_wire_is_refused(array: codec.Array) -> None:
    with pytest.raises(CodecError, match=rf"tensor: {array.dtype} .*no place on the wire"):
        codec.encode(encoder_pb2.EncodeRequest(), array)


def test_the_largest_image_fits_a_message() -> None:
    assert limits.MAX_MESSAGE_BYTES > 4096 * 4096 * 3


def test_a_message_without_a_tensor_is_the_programmers_mistake() -> None:
    with pytest.raises(TypeError, match=r"^jscc\.wire\.v1\.RequestContext has 0 tensor fields, expected 1"):
        codec.decode(pb.RequestContext, b"")


# --- the time record -------------------------------------------------------------------------------------------------


def test_the_laps_add_up_to_the_time_in_the_service() -> None:
    now = itertools.count(10_000, 250)
    hop = Hop.start(next(now), 77)
    for part in ("queue", "deserialize", "compute", "compute"):
        hop.lap(part, next(now))
    ended = []
    raw = codec.encode_timed(encoder_pb2.EncodeResponse(), SYMBOLS, hop, lambda: ended.append(next(now)) or ended[-1])
    message, _ = codec.decode(encoder_pb2.EncodeResponse, raw)
    timing = message.timing
    assert (timing.queue_ns, timing.deserialize_ns, timing.compute_ns, timing.serialize_ns) == (250, 250, 500, 250)
    assert timing.queue_ns + timing.deserialize_ns + timing.compute_ns + timing.serialize_ns == ended[-1] - 10_000
    assert timing.bytes_in == 77
    assert timing.bytes_out == len(raw)


@pytest.mark.parametrize("symbols", [1, 20, 24, 29, 30, 100, 4000, 5000])
@pytest.mark.parametrize("response", [channel_pb2.TransmitResponse, encoder_pb2.EncodeResponse])
def test_the_record_knows_the_size_of_the_message_that_it_is_part_of(response: Any, symbols: int) -> None:
    """Also with laps of zero, which protobuf leaves out, and around the sizes where a length takes another byte."""
    hop = Hop.start(5, 0)
    hop.lap("queue", 5)
    raw = codec.encode_timed(response(), np.zeros((1, symbols), np.float32), hop, lambda: 5)
    assert response.FromString(raw).timing == pb.HopTiming(bytes_out=len(raw))


# --- what is not a message -------------------------------------------------------------------------------------------


@names
def test_a_message_cut_off_anywhere_is_refused(golden: Golden) -> None:
    for size in range(len(golden.raw)):
        if size == len(golden.body):
            continue  # whole but for the timing, which may be absent
        with pytest.raises(CodecError):
            codec.decode(type(golden.message), golden.raw[:size])


@pytest.mark.parametrize("array", [PIXELS, SYMBOLS])
def test_a_tensor_cut_off_anywhere_inside_a_whole_message_is_refused(array: codec.Array) -> None:
    content = tensor_of(array).SerializeToString()
    codec.decode(encoder_pb2.EncodeRequest, block(4, content))
    for size in range(len(content)):
        with pytest.raises(CodecError):
            codec.decode(encoder_pb2.EncodeRequest, block(4, content[:size]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
@pytest.mark.parametrize("position", [0, 3, 6])
def test_numbers_that_are_none_are_refused(value: float, dtype: str, position: int) -> None:
    array = np.zeros(7, dtype)
    array[position] = value
    with pytest.raises(CodecError, match=r"^symbols: has NaN or infinite values$"):
        codec.decode(decoder_pb2.DecodeRequest, codec.encode(decoder_pb2.DecodeRequest(), array))


def decode_tensor(**fields: Any) -> None:
    raw = encoder_pb2.EncodeRequest(image=pb.Tensor(**fields)).SerializeToString()
    codec.decode(encoder_pb2.EncodeRequest, raw)


@pytest.mark.parametrize(
    ("dtype", "shape", "size_bytes", "expected"),
    [(1, [3], 2, 3), (1, [3], 4, 3), (1, [2, 3], 0, 6), (3, [2], 7, 8), (3, [2], 2, 8), (2, [2], 8, 4)],
)
def test_a_size_that_differs_from_the_shape_is_refused(
    dtype: int, shape: list[int], size_bytes: int, expected: int
) -> None:
    with pytest.raises(CodecError, match=rf"^image\.data: {size_bytes} bytes, expected {expected} for shape"):
        decode_tensor(dtype=dtype, shape=shape, data=bytes(size_bytes))


@pytest.mark.parametrize("shape", [[], [0], [3, 0], [0, 0], [-1, -3], [3, -1], [-3], [1, 1, 1, 1, 3]])
def test_a_shape_that_is_none_is_refused(shape: list[int]) -> None:
    elements = math.prod(shape)  # so that the number of bytes is no reason to refuse
    with pytest.raises(CodecError, match=r"^image\.shape: ") as refusal:
        decode_tensor(dtype=1, shape=shape, data=bytes(max(elements, 0)))
    assert len(str(refusal.value)) < 200


def test_a_header_of_many_dimensions_is_refused_before_it_is_read() -> None:
    with pytest.raises(OversizeError, match=r"^message: more than the limit of 1024 bytes beside image\.data$"):
        decode_tensor(dtype=1, shape=[1] * 100_000, data=b"1")


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2**40], b"abc"),
        ([2**40, 1, 1, 1], b""),
        ([2**31, 2**31], b"abc"),
        ([2**62, 4], b""),  # 2^64 elements are none in 64 bits
        ([2**32, 2**32 + 3], b"abc"),
        ([2**63 - 1] * 4, b"abc"),
    ],
)
def test_a_huge_shape_is_refused_before_anything_is_allocated(shape: list[int], data: bytes) -> None:
    for dtype in (1, 2, 3):
        raw = encoder_pb2.EncodeRequest(image=pb.Tensor(dtype=dtype, shape=shape, data=data)).SerializeToString()
        tracemalloc.start()  # numpy reports its memory here
        try:
            with pytest.raises(CodecError, match=rf"^image\.data: {len(data)} bytes, expected \d+ for shape"):
                codec.decode(encoder_pb2.EncodeRequest, raw)
            assert tracemalloc.get_traced_memory()[1] < 100_000
        finally:
            tracemalloc.stop()


class Counted(bytes):
    """Bytes that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        self.looks += isinstance(key, int)
        return super().__getitem__(key)


FIELDS_LIMIT = r"^message: more than the limit of 256 fields beside image(\.data)?$"
BYTES_LIMIT = r"^message: more than the limit of {} bytes beside image(\.data)?$"
ZERO = r"^message: field number 0 at byte \d+$"
MANY = 1_000_000


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(bytes(MANY), ZERO, id="zeros"),
        pytest.param(block(4, bytes(MANY)), ZERO, id="zeros in the tensor"),
        pytest.param(bytes.fromhex("c80100") * (MANY // 3), FIELDS_LIMIT, id="unknown fields"),
        pytest.param(block(4, bytes.fromhex("c80100") * (MANY // 3)), FIELDS_LIMIT, id="unknown fields in the tensor"),
        pytest.param(block(1, b"\x0a\x00") * (MANY // 4), FIELDS_LIMIT, id="a known field again and again"),
        pytest.param(block(2, bytes(MANY)), BYTES_LIMIT.format(512 * 1024), id="one large field"),
        pytest.param(block(9, bytes(3000)) * 200, BYTES_LIMIT.format(512 * 1024), id="many large fields"),
        pytest.param(block(4, block(2, b"\x01" * 2000)), BYTES_LIMIT.format(1024), id="a large shape"),
        pytest.param(b"\x23" * MANY, "unknown wire type 3", id="groups"),
        pytest.param(b"\x24" * MANY, "unknown wire type 4", id="ends of groups"),
        pytest.param(b"\xff" * MANY, "malformed number", id="a number without an end"),
        pytest.param(block(4, b"")[:1] + b"\xff" * 9 + b"\x01" + bytes(MANY), "truncated", id="a length of 2^70"),
    ],
)
def test_garbage_of_any_size_costs_some_thousand_looks(raw: bytes, message: str) -> None:
    """The walk ends at the first limit, so that the event loop can afford it before anything is queued."""
    counted = Counted(raw)
    with pytest.raises(CodecError, match=message):
        codec.check(encoder_pb2.EncodeRequest, counted)
    assert counted.looks <= 2 * 256 * 10  # two levels, the fields, the longest number
    with pytest.raises(CodecError, match=message):
        codec.decode(encoder_pb2.EncodeRequest, raw)


def test_what_is_too_large_is_told_from_what_is_no_message() -> None:
    for raw, kind in ((bytes.fromhex("c80100") * 300, OversizeError), (bytes(9), CodecError)):
        with pytest.raises(CodecError) as refusal:
            codec.check(encoder_pb2.EncodeRequest, raw)
        assert type(refusal.value) is kind


def test_what_stands_beside_the_symbols_of_the_largest_image_is_small() -> None:
    """Everything but size, state and options is in the symbols: no image makes a request larger."""
    largest = pb.ImageSize(height_px=4096, width_px=4096)
    raw = codec.encode(decoder_pb2.DecodeRequest(size=largest, state=pb.ChannelState(noise_power=0.5)), SYMBOLS)
    codec.check(decoder_pb2.DecodeRequest, raw)
    assert len(raw) < 64


def test_a_message_with_a_file_is_read_whatever_the_size_of_the_file() -> None:
    request = orchestrator_pb2.SendImageRequest(image_id="x", image_file=bytes(3 * limits.MAX_BESIDE_BYTES))
    assert codec.decode_plain(orchestrator_pb2.SendImageRequest, request.SerializeToString()) == request


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (bytes(MANY), ZERO),
        (bytes.fromhex("c80100") * 300, "^message: more than the limit of 256 fields beside "),
        (block(7, bytes(MANY)), "^message: more than the limit of 524288 bytes beside "),
        (b"\x0a\x01\xff", "not a valid message"),  # field 1 is text, and not UTF-8
        (b"\x0a", "truncated"),
    ],
)
@pytest.mark.parametrize("message_type", [orchestrator_pb2.SendImageRequest, orchestrator_pb2.RunSweepRequest])
def test_a_message_without_a_tensor_has_the_same_limits(message_type: type[Message], raw: bytes, message: str) -> None:
    counted = Counted(raw)
    with pytest.raises(CodecError, match=message):
        codec.decode_plain(message_type, counted)
    assert counted.looks <= 256 * 10


@pytest.mark.parametrize("dtype", [0, 4, 99, -1])
def test_an_unknown_element_type_is_refused(dtype: int) -> None:
    with pytest.raises(CodecError, match=rf"^image\.dtype: unknown element type {dtype}$"):
        decode_tensor(dtype=dtype, shape=[3], data=b"abc")


@names
def test_a_message_without_its_tensor_is_refused(golden: Golden) -> None:
    with pytest.raises(CodecError, match=rf"^{field_of(type(golden.message))}: missing$"):
        codec.decode(type(golden.message), golden.message.SerializeToString())


@names
def test_a_second_tensor_is_refused(golden: Golden) -> None:
    name = field_of(type(golden.message))
    second = with_tensor(type(golden.message)(), golden.array).SerializeToString()
    with pytest.raises(CodecError, match=rf"^{name}: appears twice$"):
        codec.decode(type(golden.message), golden.raw + second)


def test_second_data_in_one_tensor_are_refused() -> None:
    content = tensor_of(PIXELS).SerializeToString()
    with pytest.raises(CodecError, match=r"^image\.data: appears twice$"):
        codec.decode(encoder_pb2.EncodeRequest, block(4, content + block(3, b"abc")))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("2001", "image: missing"),  # the tensor's number as a varint
        ("25 01020304", "image: missing"),  # as four bytes
        ("21 0102030405060708", "image: missing"),  # as eight bytes
        ("2207 0801 120103 1801", "image.data: 0 bytes, expected 3"),  # data as a varint
        ("23 24", "unknown wire type 3"),  # groups, which proto3 does not have
        ("24", "unknown wire type 4"),
        ("26", "unknown wire type 6"),
        ("27", "unknown wire type 7"),
        ("ffffffffffffffffffff01", "malformed number"),  # eleven bytes of varint
        ("22 ffffffffffffffffff01", "truncated"),  # a length of 2^64 - 1
        ("22", "truncated"),
        ("80", "truncated"),
        (f"0a03 0a01ff 220c {PIXELS_HEX}", "not a valid message"),  # request_id is not UTF-8
        (f"0000 220c {PIXELS_HEX}", "field number 0"),
        ("", "image: missing"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_the_reason(raw: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        codec.decode(encoder_pb2.EncodeRequest, bytes.fromhex(raw))


@given(raw=st.binary(max_size=120), message_type=st.sampled_from(TYPES))
@settings(max_examples=500)
def test_garbage_is_refused_and_nothing_else_happens(raw: bytes, message_type: type[Message]) -> None:
    check_against_protobuf(message_type, raw)


@given(raw=st.binary(max_size=80), message_type=st.sampled_from(TYPES))
@settings(max_examples=300)
def test_garbage_in_the_place_of_the_tensor_is_refused(raw: bytes, message_type: type[Message]) -> None:
    number = message_type.DESCRIPTOR.fields_by_name[field_of(message_type)].number
    check_against_protobuf(message_type, block(number, raw))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[type[Message], bytes]:
    """Draw golden bytes with up to four of them changed, cut, doubled or put elsewhere."""
    golden = draw(st.sampled_from(GOLDEN))
    raw = bytearray(golden.raw)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(start + 6, len(raw))))
        raw[start:end] = draw(st.sampled_from([b"", bytes(raw[start:end]) * 2]) | st.binary(max_size=6))
    return draw(st.sampled_from([type(golden.message), *TYPES])), bytes(raw)


@pytest.mark.slow
@given(case=mutated())
@settings(max_examples=1500)
def test_damaged_messages_are_refused_or_read_as_protobuf_reads_them(case: tuple[type[Message], bytes]) -> None:
    check_against_protobuf(*case)


def check_against_protobuf(message_type: type[Message], raw: bytes) -> None:
    """Decode; a refusal must be a CodecError, an acceptance must agree with protobuf's own reading."""
    try:
        message, array = codec.decode(message_type, raw)
    except CodecError:
        return
    try:
        expected = message_type.FromString(raw)
    except DecodeError as error:
        raise AssertionError(f"the codec accepted what protobuf refuses: {raw.hex()}") from error
    tensor = getattr(expected, field_of(message_type))
    assert tuple(tensor.shape) == array.shape
    assert tensor.data == array.tobytes()
    expected.ClearField(field_of(message_type))
    assert message.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
