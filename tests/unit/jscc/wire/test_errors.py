"""Every exception becomes the status that it means, in one short line."""

import logging
from urllib.parse import quote

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from jscc.cancel import AbandonedError
from jscc.models import UnknownMethodError
from jscc.wire.codec import CodecError
from jscc.wire.errors import (
    STATUS_DETAILS,
    CheckpointMismatchError,
    LinkError,
    OverloadedError,
    TooLargeError,
    retry_after_s,
    status_of,
)
from jscc.wire.fields import OversizeError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("the reason"), grpc.StatusCode.INVALID_ARGUMENT),
        (CodecError("the reason"), grpc.StatusCode.INVALID_ARGUMENT),
        (UnknownMethodError("the reason"), grpc.StatusCode.NOT_FOUND),
        (CheckpointMismatchError("the reason"), grpc.StatusCode.FAILED_PRECONDITION),
        (TooLargeError("the reason"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (OversizeError("the reason"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (OverloadedError("the reason", 1.0), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_an_expected_error_keeps_its_words(error: Exception, code: grpc.StatusCode) -> None:
    got, details, _ = status_of(error)
    assert got is code
    assert details == "the reason"


@pytest.mark.parametrize(
    "error",
    [RuntimeError, TypeError, KeyError, IndexError, OSError, AssertionError, MemoryError],
)
def test_an_unexpected_error_keeps_its_text_to_the_log(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """A KeyError or an IndexError is a mistake in the code, not a method that does not exist."""
    with caplog.at_level(logging.ERROR):
        code, details, trailers = status_of(error("secret"))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details
    assert error.__name__ in details
    assert trailers == ()
    assert "secret" in caplog.text


@pytest.mark.parametrize("after_s", [0.05, 1.5, 60.0])
def test_overload_says_when_to_come_again(after_s: float) -> None:
    code, _, trailers = status_of(OverloadedError("the queue is full", after_s))
    assert code is grpc.StatusCode.UNAVAILABLE
    found = dict(trailers)
    assert set(found) == {"grpc-retry-pushback-ms", STATUS_DETAILS}
    assert int(found["grpc-retry-pushback-ms"]) == 1000 * after_s
    raw = found[STATUS_DETAILS]
    assert isinstance(raw, bytes)
    status = Status.FromString(raw)
    assert status.code == 14  # UNAVAILABLE, https://grpc.io/docs/guides/status-codes
    assert status.message == "the queue is full"
    info = RetryInfo()
    assert len(status.details) == 1
    assert status.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 1000 * after_s
    assert retry_after_s(raw) == after_s


def test_a_time_to_come_again_is_passed_on_by_who_asked() -> None:
    """The orchestrator's caller learns what its encoder said."""
    error = LinkError("encoder", "127.0.0.1:9", "UNAVAILABLE", "queue", 2.5)
    code, details, trailers = status_of(error)
    assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "encoder at 127.0.0.1:9: UNAVAILABLE: queue")
    assert dict(trailers)["grpc-retry-pushback-ms"] == "2500"


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", Status(code=14, message="x").SerializeToString()])
def test_what_tells_no_time_tells_none(raw: bytes) -> None:
    assert retry_after_s(raw) is None


@pytest.mark.parametrize(("is_late", "name"), [(True, "DEADLINE_EXCEEDED"), (False, "CANCELLED")])
def test_work_that_nobody_waits_for_is_no_internal_error(
    caplog: pytest.LogCaptureFixture, is_late: bool, name: str
) -> None:
    assert status_of(AbandonedError(is_late))[0].name == name
    assert caplog.text == ""


@pytest.mark.parametrize("kind", [ValueError, CodecError, UnknownMethodError, RuntimeError])
def test_four_megabytes_of_text_make_neither_a_long_status_nor_a_long_log(
    kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """gRPC carries 8 KiB of metadata, percent-encoded, and a log line is for people."""
    text = "name: '" + "\u20ac\n" * 2_000_000 + "'"
    with caplog.at_level(logging.DEBUG):
        details = status_of(kind(text))[1]
    assert len(details) < 700
    assert details.isprintable()
    assert len(quote(details)) < 8192
    assert len(caplog.text) < 10_000


def test_only_overload_asks_for_a_retry() -> None:
    for error in (ValueError("x"), UnknownMethodError("x"), CheckpointMismatchError("x"), TooLargeError("x")):
        assert status_of(error)[2] == ()


@pytest.mark.parametrize("name", ["UNAVAILABLE", "INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED", "INTERNAL"])
def test_the_status_of_a_hop_is_passed_on_with_its_name(name: str) -> None:
    code, details, _ = status_of(LinkError("decoder", "127.0.0.1:9", name, "because"))
    assert code is getattr(grpc.StatusCode, name)
    assert details == f"decoder at 127.0.0.1:9: {name}: because"


def test_an_outage_is_what_may_pass() -> None:
    outages = {code.name for code in grpc.StatusCode if LinkError("encoder", "x:1", code.name, "").is_outage}
    assert outages == {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
