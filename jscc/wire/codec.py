"""Messages with one tensor to bytes and back, without copying the tensor through protobuf.

The bytes are those of the .proto files: generated classes read what `encode` writes and `decode` reads what they write.
Protobuf itself copies a `bytes` field twice; here the tensor's memory is written once and read in place.
"""

import io
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from jscc.limits import MAX_BESIDE_BYTES
from jscc.wire.fields import LENGTH_DELIMITED, Span, cut_out, varint
from jscc.wire.fields import CodecError as CodecError
from jscc.wire.v1 import symbols_pb2 as pb

MAX_DIMENSIONS = 4
MAX_HEADER_BYTES = 1024

_DTYPES: dict[pb.ElementType.ValueType, np.dtype[Any]] = {
    pb.ELEMENT_TYPE_UINT8: np.dtype("u1"),
    pb.ELEMENT_TYPE_FLOAT16: np.dtype("<f2"),
    pb.ELEMENT_TYPE_FLOAT32: np.dtype("<f4"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_DATA_FIELD = pb.Tensor.DESCRIPTOR.fields_by_name["data"].number

Array = NDArray[Any]
M = TypeVar("M", bound=Message)


@dataclass
class Hop:
    """The time record of one request inside a service. Laps follow each other without a gap.

    Attributes:
        started_ns: monotonic arrival of the request.
        timing: the record, filled lap by lap.
    """

    started_ns: int
    timing: pb.HopTiming
    _last_ns: int

    @classmethod
    def start(cls, now_ns: int, bytes_in: int) -> "Hop":
        """Start the record of a request of bytes_in bytes that arrived at the monotonic time now_ns."""
        return cls(now_ns, pb.HopTiming(bytes_in=bytes_in), now_ns)

    def lap(self, part: str, now_ns: int) -> None:
        """Count the time since the last lap to `part`: queue, deserialize, compute or serialize."""
        field = f"{part}_ns"
        setattr(self.timing, field, getattr(self.timing, field) + now_ns - self._last_ns)
        self._last_ns = now_ns


def encode(message: Message, array: Array) -> bytes:
    """Serialise a message and its tensor.

    Args:
        message: with its tensor field empty.
        array: uint8, float16 or float32, 1 to 4 dimensions.

    Returns:
        The bytes of the message with the tensor in its field.

    Raises:
        CodecError: the array's element type or number of dimensions has no place on the wire.
    """
    return _write(message, array).getvalue()


def encode_timed(message: Message, array: Array, hop: Hop, clock: Any) -> bytes:
    """Serialise an answer, count the time of that, and append the record as the field `timing`.

    Protobuf fields may come in any order, so the record follows the tensor whose writing it has timed.

    Args:
        message: with its fields for the tensor and the timing empty.
        array: as in `encode`.
        hop: its last lap ended when serialising began.
        clock: the monotonic clock in nanoseconds.
    """
    buffer = _write(message, array)
    number = message.DESCRIPTOR.fields_by_name["timing"].number
    hop.lap("serialize", clock())
    hop.timing.bytes_out = 1  # fixed width, so the record's size is known before its value
    record_bytes = hop.timing.ByteSize()
    tag = varint(number << 3 | LENGTH_DELIMITED) + varint(record_bytes)
    hop.timing.bytes_out = buffer.tell() + len(tag) + record_bytes
    buffer.write(tag + hop.timing.SerializeToString())
    return buffer.getvalue()


def decode(message_type: type[M], raw: bytes) -> tuple[M, Array]:
    """Parse a message with a tensor.

    Sizes are checked before anything is allocated; the array is a read-only view of `raw`.

    Args:
        message_type: a generated class with exactly one field of the type Tensor.
        raw: what arrived.

    Returns:
        The message without its tensor, and the tensor as an array.

    Raises:
        CodecError: for anything but a well-formed message whose tensor is whole and finite; names the field.
    """
    name = _tensor_field(message_type.DESCRIPTOR)[0]
    rest, header, data = _take_apart(message_type, raw)
    return _parse(message_type, rest), _view(raw, _parse(pb.Tensor, header), data, name)


def decode_plain(message_type: type[M], raw: bytes) -> M:
    """Parse a message without a tensor, such as one with a file.

    Args:
        message_type: a generated class with at most one field of the type `bytes`.
        raw: what arrived.

    Raises:
        OversizeError: the message has more bytes beside its file, or more fields, than a stated limit.
        CodecError: for anything else but a well-formed message.
    """
    name, number = _file_field(message_type.DESCRIPTOR)
    cut_out(raw, (0, len(raw)), number, name, MAX_BESIDE_BYTES)
    return _parse(message_type, raw)


def check(message_type: type[Message], raw: bytes) -> pb.RequestContext:
    """Check in about a millisecond at most, whatever arrived, that bytes are worth parsing as a request with a tensor.

    Returns:
        The names of the request, themselves not checked; empty where it has none.

    Raises:
        OversizeError: the message has more bytes beside its tensor, or more fields, than a stated limit.
        CodecError: the bytes are no message, or its tensor is missing.
    """
    request: Any = _parse(message_type, _take_apart(message_type, raw)[0])
    context: pb.RequestContext = request.context
    return context


def _take_apart(message_type: type[Message], raw: bytes) -> tuple[bytes, bytes, Span]:
    """Return the message beside its tensor, the tensor beside its data, and the span of the data."""
    name, number = _tensor_field(message_type.DESCRIPTOR)
    rest, span = cut_out(raw, (0, len(raw)), number, name, MAX_BESIDE_BYTES)
    if span is None:
        raise CodecError(f"{name}: missing")
    header, data = cut_out(raw, span, _DATA_FIELD, f"{name}.data", MAX_HEADER_BYTES)
    return rest, header, data or (0, 0)


def _write(message: Message, array: Array) -> io.BytesIO:
    _, number = _tensor_field(message.DESCRIPTOR)
    code = _CODES.get(array.dtype)
    if code is None or not 1 <= array.ndim <= MAX_DIMENSIONS or array.size == 0:
        raise CodecError(f"tensor: {array.dtype} {list(array.shape)} has no place on the wire")
    array = np.ascontiguousarray(array)
    header = pb.Tensor(dtype=code, shape=array.shape).SerializeToString()
    header += varint(_DATA_FIELD << 3 | LENGTH_DELIMITED) + varint(array.nbytes)
    buffer = io.BytesIO()
    buffer.write(message.SerializeToString())
    buffer.write(varint(number << 3 | LENGTH_DELIMITED) + varint(len(header) + array.nbytes) + header)
    buffer.write(array.reshape(-1).view(np.uint8).data)
    return buffer


@cache
def _file_field(descriptor: Descriptor) -> tuple[str, int]:
    """Return name and number of the one field of bytes; where there is none, a name for errors and 0."""
    found = [field for field in descriptor.fields if field.type == FieldDescriptor.TYPE_BYTES]
    if len(found) > 1:
        raise TypeError(f"{descriptor.full_name} has {len(found)} fields of bytes, expected at most 1")
    return (found[0].name, found[0].number) if found else ("a file", 0)


@cache
def _tensor_field(descriptor: Descriptor) -> tuple[str, int]:
    fields = [field for field in descriptor.fields if field.message_type is pb.Tensor.DESCRIPTOR]
    if len(fields) != 1:
        raise TypeError(f"{descriptor.full_name} has {len(fields)} tensor fields, expected 1")
    return fields[0].name, fields[0].number


def _parse(message_type: type[M], raw: bytes) -> M:
    try:
        return message_type.FromString(raw)
    except DecodeError as error:
        raise CodecError(f"{message_type.DESCRIPTOR.name}: not a valid message: {error}") from None


def _view(raw: bytes, header: pb.Tensor, span: Span, name: str) -> Array:
    dtype = _DTYPES.get(header.dtype)
    if dtype is None:
        raise CodecError(f"{name}.dtype: unknown element type {header.dtype}")
    shape = tuple(header.shape)
    if not 1 <= len(shape) <= MAX_DIMENSIONS or min(shape) < 1:
        raise CodecError(f"{name}.shape: {list(shape)[:8]} must be 1 to {MAX_DIMENSIONS} sizes of at least 1")
    expected, actual = math.prod(shape) * dtype.itemsize, span[1] - span[0]
    if expected != actual:
        raise CodecError(f"{name}.data: {actual} bytes, expected {expected} for shape {list(shape)}")
    array: Array = np.frombuffer(raw, dtype, count=math.prod(shape), offset=span[0]).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise CodecError(f"{name}: has NaN or infinite values")
    return array
