"""What a service says of itself."""

from jscc import __version__
from jscc.limits import MAX_MESSAGE_BYTES, MAX_SIDE_PX
from jscc.wire.v1 import symbols_pb2 as pb


def description(service: str, settings: dict[str, str]) -> pb.ServiceDescription:
    """Describe a service without models: its limits and the settings in force."""
    return pb.ServiceDescription(
        service=service,
        version=__version__,
        max_message_bytes=MAX_MESSAGE_BYTES,
        max_side_px=MAX_SIDE_PX,
        settings=settings,
    )
