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
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from jscc.wire.v1 import symbols_pb2 as pb

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message in either direction: symbols or pixels of a 4096x4096 image fit."""
MAX_DIMENSIONS = 4
MAX_HEADER_BYTES = 1024

_DTYPES: dict[pb.ElementType.ValueType, np.dtype[Any]] = {
    pb.ELEMENT_TYPE_UINT8: np.dtype("u1"),
    pb.ELEMENT_TYPE_FLOAT16: np.dtype("<f2"),
    pb.ELEMENT_TYPE_FLOAT32: np.dtype("<f4"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_DATA_FIELD = pb.Tensor.DESCRIPTOR.fields_by_name["data"].number
_LENGTH_DELIMITED = 2
_MAX_VARINT_BYTES = 10

Array = NDArray[Any]
M = TypeVar("M", bound=Message)


class CodecError(ValueError):
    """Bytes that are not the message that they should be."""


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
    tag = _varint(number << 3 | _LENGTH_DELIMITED) + _varint(record_bytes)
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
    name, number = _tensor_field(message_type.DESCRIPTOR)
    rest, span = _split(raw, 0, len(raw), number, name)
    message = _parse(message_type, rest)
    if span is None:
        raise CodecError(f"{name}: missing")
    header, data = _split(raw, *span, _DATA_FIELD, f"{name}.data")
    if len(header) > MAX_HEADER_BYTES:
        raise CodecError(f"{name}: {len(header)} bytes beside the data, the limit is {MAX_HEADER_BYTES}")
    return message, _view(raw, _parse(pb.Tensor, header), data or (0, 0), name)


def _write(message: Message, array: Array) -> io.BytesIO:
    _, number = _tensor_field(message.DESCRIPTOR)
    code = _CODES.get(array.dtype)
    if code is None or not 1 <= array.ndim <= MAX_DIMENSIONS or array.size == 0:
        raise CodecError(f"tensor: {array.dtype} {list(array.shape)} has no place on the wire")
    array = np.ascontiguousarray(array)
    header = pb.Tensor(dtype=code, shape=array.shape).SerializeToString()
    header += _varint(_DATA_FIELD << 3 | _LENGTH_DELIMITED) + _varint(array.nbytes)
    buffer = io.BytesIO()
    buffer.write(message.SerializeToString())
    buffer.write(_varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(header) + array.nbytes) + header)
    buffer.write(array.reshape(-1).view(np.uint8).data)
    return buffer


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


def _view(raw: bytes, header: pb.Tensor, span: tuple[int, int], name: str) -> Array:
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


def _split(raw: bytes, start: int, end: int, number: int, name: str) -> tuple[bytes, tuple[int, int] | None]:
    """Cut field `number` out of the message in raw[start:end]; return the rest and the field's content."""
    span, cut, position = None, (end, end), start
    while position < end:
        content, following = _skip_field(raw, position, end)
        tag, _ = _read_varint(raw, position, end)
        if tag == number << 3 | _LENGTH_DELIMITED:
            if span is not None:
                raise CodecError(f"{name}: appears twice")
            span, cut = (content, following), (position, following)
        position = following
    return raw[start : cut[0]] + raw[cut[1] : end], span


def _skip_field(raw: bytes, position: int, end: int) -> tuple[int, int]:
    """Return where the content of the field at `position` starts and ends."""
    tag, content = _read_varint(raw, position, end)
    kind = tag & 7
    if kind == 0:
        following = _read_varint(raw, content, end)[1]
    elif kind == _LENGTH_DELIMITED:
        size_bytes, content = _read_varint(raw, content, end)
        following = content + size_bytes
    elif kind in (1, 5):
        following = content + (8 if kind == 1 else 4)
    else:
        raise CodecError(f"message: unknown wire type {kind} at byte {position}")
    if following > end:
        raise CodecError(f"message: truncated, {following - end} bytes are missing at byte {position}")
    return content, following


def _read_varint(raw: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= end:
            raise CodecError(f"message: truncated at byte {position}")
        byte = raw[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise CodecError(f"message: malformed number at byte {position}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
