"""Between the messages' small parts and plain values. Both ends check what arrives here."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from jscc import config
from jscc.limits import MAX_SEED
from jscc.wire.codec import CodecError
from jscc.wire.v1 import symbols_pb2 as pb

MAX_REQUEST_ID = 200

T = TypeVar("T")


def check_context(context: pb.RequestContext) -> None:
    """Check what every request carries.

    Raises:
        CodecError: the name is too long or the seed out of its range; names the field.
    """
    if len(context.request_id) > MAX_REQUEST_ID:
        raise CodecError(f"context.request_id: {len(context.request_id)} characters, the limit is {MAX_REQUEST_ID}")
    if context.seed > MAX_SEED:
        raise CodecError(f"context.seed: {context.seed} is outside 0..2^63 - 1")


def require(message: Message, *fields: str) -> None:
    """Check that fields are set: what is missing is refused by name, never taken as zero.

    Raises:
        CodecError: one is not; names it.
    """
    for field in fields:
        if not message.HasField(field):
            raise CodecError(f"{field}: missing in {message.DESCRIPTOR.name}")


def options_to_wire(options: Mapping[str, Any]) -> dict[str, pb.OptionValue]:
    """Write a method's options by the kind of each value.

    Raises:
        ValueError: a value of a kind that does not travel, see `config.check_option`; names the option.
    """
    for name, value in options.items():
        config.check_option(name, value)
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    return {name: pb.OptionValue(**{kinds[type(value)]: value}) for name, value in options.items()}


def plain_options(values: Mapping[str, pb.OptionValue]) -> dict[str, Any]:
    """Read options by the kind of each value; None where no kind is set."""
    kinds = {name: value.WhichOneof("kind") for name, value in values.items()}
    return {name: getattr(values[name], kind) if kind else None for name, kind in kinds.items()}


def options_from_wire(options_type: type[T], values: Mapping[str, pb.OptionValue]) -> T:
    """Read and check a method's options.

    Raises:
        ValueError: an unknown option, a wrong kind or a value out of range; names the option.
    """
    return config.from_mapping(options_type, plain_options(values), "options")


def options_in_force(options: Any) -> dict[str, pb.OptionValue]:
    """Write all options of a method, defaults included."""
    return options_to_wire(dataclasses.asdict(options))
