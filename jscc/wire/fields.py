"""Protobuf's bytes, field by field, without parsing them.

Source: https://protobuf.dev/programming-guides/encoding
"""

from jscc.limits import MAX_FIELDS

LENGTH_DELIMITED = 2
_MAX_VARINT_BYTES = 10
_FIXED_BYTES = {1: 8, 5: 4}

Span = tuple[int, int]


class CodecError(ValueError):
    """Bytes that are not the message that they should be."""


class OversizeError(CodecError):
    """A message with more bytes or fields than a stated limit."""


def cut_out(raw: bytes, span: Span, number: int, name: str, limit_bytes: int) -> tuple[bytes, Span | None]:
    """Cut one field out of a message.

    The walk ends as soon as a limit is passed, so it takes about a millisecond at most, whatever arrives.

    Args:
        raw: the bytes.
        span: where the message starts and ends in them.
        number: of the field, which holds bytes; 0 to cut nothing.
        name: of the field, for errors.
        limit_bytes: how large the rest may be; it may have MAX_FIELDS fields.

    Returns:
        The rest, and the span of the field's content, None when it is not there.

    Raises:
        OversizeError: the rest is too large.
        CodecError: the bytes are no message, or the field appears twice.
    """
    position, end = span
    found, cut, rest_bytes, rest_fields = None, (end, end), 0, 0
    while position < end:
        tag, content, following = _field(raw, position, end)
        if tag == number << 3 | LENGTH_DELIMITED:
            if found is not None:
                raise CodecError(f"{name}: appears twice")
            found, cut = (content, following), (position, following)
        else:
            rest_bytes, rest_fields = rest_bytes + following - position, rest_fields + 1
        if rest_bytes > limit_bytes or rest_fields > MAX_FIELDS:
            limit = f"{limit_bytes} bytes" if rest_bytes > limit_bytes else f"{MAX_FIELDS} fields"
            raise OversizeError(f"message: more than the limit of {limit} beside {name}")
        position = following
    return raw[span[0] : cut[0]] + raw[cut[1] : end], found


def varint(value: int) -> bytes:
    """Return a whole number of at least 0 as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(raw: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Return the tag of the field at `position`, and where its content starts and ends."""
    tag, content = _read_varint(raw, position, end)
    kind = tag & 7
    if tag >> 3 == 0:
        raise CodecError(f"message: field number 0 at byte {position}")
    if kind == 0:
        following = _read_varint(raw, content, end)[1]
    elif kind == LENGTH_DELIMITED:
        size_bytes, content = _read_varint(raw, content, end)
        following = content + size_bytes
    elif kind in _FIXED_BYTES:
        following = content + _FIXED_BYTES[kind]
    else:
        raise CodecError(f"message: unknown wire type {kind} at byte {position}")
    if following > end:
        raise CodecError(f"message: truncated, {following - end} bytes are missing at byte {position}")
    return tag, content, following


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
