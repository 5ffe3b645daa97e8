"""What an exception means on the wire, in one place."""

import logging
import traceback
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from jscc.cancel import AbandonedError
from jscc.wire.fields import OversizeError

MAX_DETAILS = 600
"""Most characters of a message to a caller. gRPC carries 8 KiB of metadata, and a character may take 12 bytes of it."""
STATUS_DETAILS = "grpc-status-details-bin"
"""Name of the trailer with more than a status and a message; gRPC's own."""
_MAX_TRACE_LINE = 1000

_log = logging.getLogger(__name__)

Trailers = tuple[tuple[str, str | bytes], ...]


class TooLargeError(ValueError):
    """Something larger than a stated limit."""


class CheckpointMismatchError(RuntimeError):
    """Symbols of one checkpoint met the receiver of another."""


class OverloadedError(RuntimeError):
    """A queue is full; the caller may come again.

    Attributes:
        retry_after_s: when, in seconds from now.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        """Say what is full, and when to come again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(eq=False)
class LinkError(Exception):
    """A call that failed, as its caller sees it.

    Attributes:
        hop: name of the service.
        address: where it should be.
        code: name of the gRPC status.
        details: what the service said.
        retry_after_s: when the service asked to come again, in seconds; None where it did not.
    """

    hop: str
    address: str
    code: str
    details: str
    retry_after_s: float | None = None

    def __str__(self) -> str:
        """Name the service, the status and the reason."""
        return f"{self.hop} at {self.address}: {self.code}: {self.details}"

    @property
    def is_outage(self) -> bool:
        """Whether the service is away, silent or too busy, so that the same call may succeed later."""
        return self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


def status_of(error: Exception) -> tuple[grpc.StatusCode, str, Trailers]:
    """Return status, message and trailers of an exception; one line, never a stack trace.

    Order matters: the specific before the general.
    """
    if isinstance(error, OverloadedError):
        return _come_again(str(error), error.retry_after_s)
    if isinstance(error, AbandonedError):
        code = grpc.StatusCode.DEADLINE_EXCEEDED if error.is_late else grpc.StatusCode.CANCELLED
        return code, str(error), ()
    if isinstance(error, KeyError | IndexError):  # a mistake in the code, not a name that nobody serves
        return _unexpected(error)
    for kind, code in (
        (TooLargeError | OversizeError, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (CheckpointMismatchError, grpc.StatusCode.FAILED_PRECONDITION),
        (LookupError, grpc.StatusCode.NOT_FOUND),
        (ValueError, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        if isinstance(error, kind):
            return code, _one_line(str(error.args[0] if error.args else error)), ()
    if isinstance(error, LinkError):
        return _of_hop(error)
    return _unexpected(error)


def retry_after_s(status_details: bytes) -> float | None:
    """Return the time to come again that the details of a status tell, in seconds; None where they tell none."""
    info = RetryInfo()
    try:
        told = any(detail.Unpack(info) for detail in Status.FromString(status_details).details)
    except DecodeError:  # some other server's
        return None
    return info.retry_delay.ToNanoseconds() / 1e9 if told else None


def _of_hop(error: LinkError) -> tuple[grpc.StatusCode, str, Trailers]:
    if error.retry_after_s is not None:
        return _come_again(_one_line(str(error)), error.retry_after_s)
    return getattr(grpc.StatusCode, error.code), _one_line(str(error)), ()


def _come_again(message: str, after_s: float) -> tuple[grpc.StatusCode, str, Trailers]:
    after_ms = max(1, round(after_s * 1000))
    status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=message)
    delay = Duration()
    delay.FromMilliseconds(after_ms)
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    trailers = (("grpc-retry-pushback-ms", str(after_ms)), (STATUS_DETAILS, status.SerializeToString()))
    return grpc.StatusCode.UNAVAILABLE, message, trailers


def _one_line(text: str) -> str:
    line = "".join(character if character.isprintable() else "?" for character in text[:MAX_DETAILS])
    return line if len(text) <= MAX_DETAILS else f"{line}..."


def _unexpected(error: Exception) -> tuple[grpc.StatusCode, str, Trailers]:
    lines = (line[:_MAX_TRACE_LINE] for line in traceback.format_exception(error))
    _log.error("unexpected error\n%s", "".join(lines))
    details = f"internal error ({type(error).__name__}); the service's log has more"
    return grpc.StatusCode.INTERNAL, details, ()
