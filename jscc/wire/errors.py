"""What an exception means on the wire, in one place."""

import logging
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

RETRY_AFTER_MS = 250

_log = logging.getLogger(__name__)

Trailers = tuple[tuple[str, str | bytes], ...]


class TooLargeError(ValueError):
    """Something larger than a stated limit."""


class CheckpointMismatchError(RuntimeError):
    """Symbols of one checkpoint met the receiver of another."""


class OverloadedError(RuntimeError):
    """The queue is full; the caller may come again."""


@dataclass(eq=False)
class LinkError(Exception):
    """A call that failed, as its caller sees it.

    Attributes:
        hop: name of the service.
        address: where it should be.
        code: name of the gRPC status.
        details: what the service said.
    """

    hop: str
    address: str
    code: str
    details: str

    def __str__(self) -> str:
        """Name the service, the status and the reason."""
        return f"{self.hop} at {self.address}: {self.code}: {self.details}"

    @property
    def is_outage(self) -> bool:
        """Whether the service is away or too busy, so that the same call may succeed later."""
        return self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


def status_of(error: Exception) -> tuple[grpc.StatusCode, str, Trailers]:
    """Return status, message and trailers of an exception; never a stack trace.

    Order matters: the specific before the general.
    """
    if isinstance(error, OverloadedError):
        return grpc.StatusCode.UNAVAILABLE, str(error), _retry_trailers(str(error))
    if isinstance(error, KeyError | IndexError):  # a mistake in the code, not a name that nobody serves
        return _unexpected(error)
    for kind, code in (
        (TooLargeError, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (CheckpointMismatchError, grpc.StatusCode.FAILED_PRECONDITION),
        (LookupError, grpc.StatusCode.NOT_FOUND),
        (ValueError, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        if isinstance(error, kind):
            return code, str(error.args[0] if error.args else error), ()
    if isinstance(error, LinkError):
        return getattr(grpc.StatusCode, error.code), str(error), ()
    return _unexpected(error)


def _unexpected(error: Exception) -> tuple[grpc.StatusCode, str, Trailers]:
    _log.error("unexpected error", exc_info=error)
    return (
        grpc.StatusCode.INTERNAL,
        f"internal error ({type(error).__name__}); the service's log has more",
        (),
    )


def _retry_trailers(message: str) -> Trailers:
    status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=message)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(nanos=RETRY_AFTER_MS * 1_000_000)))
    return (
        ("grpc-retry-pushback-ms", str(RETRY_AFTER_MS)),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
