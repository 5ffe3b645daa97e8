"""Every exception becomes the status that it means, and a full queue refuses instead of growing."""

import asyncio
import logging
import threading
import time

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from jscc.models import UnknownMethodError
from jscc.wire.codec import CodecError, Hop
from jscc.wire.errors import CheckpointMismatchError, LinkError, OverloadedError, TooLargeError, status_of
from jscc.wire.server import ModelThread


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("the reason"), grpc.StatusCode.INVALID_ARGUMENT),
        (CodecError("the reason"), grpc.StatusCode.INVALID_ARGUMENT),
        (UnknownMethodError("the reason"), grpc.StatusCode.NOT_FOUND),
        (CheckpointMismatchError("the reason"), grpc.StatusCode.FAILED_PRECONDITION),
        (TooLargeError("the reason"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (OverloadedError("the reason"), grpc.StatusCode.UNAVAILABLE),
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


def test_overload_says_when_to_come_again() -> None:
    code, _, trailers = status_of(OverloadedError("the queue is full"))
    assert code is grpc.StatusCode.UNAVAILABLE
    found = dict(trailers)
    assert set(found) == {"grpc-retry-pushback-ms", "grpc-status-details-bin"}
    pushback_ms = int(found["grpc-retry-pushback-ms"])
    assert 1 <= pushback_ms <= 10_000
    raw = found["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    status = Status.FromString(raw)
    assert status.code == 14  # UNAVAILABLE, https://grpc.io/docs/guides/status-codes
    assert status.message == "the queue is full"
    info = RetryInfo()
    assert len(status.details) == 1
    assert status.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == pushback_ms


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


async def test_a_full_queue_refuses_and_serves_again_afterwards() -> None:
    """One request computes, two may wait, the next is refused; every waiting one is answered in order."""
    thread, release, entered = ModelThread(max_queue=2), threading.Event(), threading.Event()
    order: list[bytes] = []
    begun_ns = time.perf_counter_ns()

    def compute(raw: bytes, hop: Hop) -> bytes:
        entered.set()
        assert release.wait(30)
        order.append(raw)
        return raw + hop.timing.queue_ns.to_bytes(8, "little")

    tasks = [asyncio.create_task(thread.run(compute, raw)) for raw in (b"1", b"2", b"3")]
    try:
        await asyncio.to_thread(entered.wait, 30)
        entered_ns = time.perf_counter_ns()
        for _ in range(2):
            with pytest.raises(OverloadedError, match="2 requests wait already"):
                await thread.run(compute, b"4")
        await asyncio.sleep(0.02)
        held_ns = time.perf_counter_ns() - entered_ns
        release.set()
        answers = await asyncio.gather(*tasks)
        assert order == [b"1", b"2", b"3"]
        queues_ns = [int.from_bytes(answer[1:], "little") for answer in answers]
        assert queues_ns[0] <= entered_ns - begun_ns
        assert min(queues_ns[1:]) >= held_ns
        assert (await thread.run(compute, b"5"))[:1] == b"5"
    finally:
        release.set()
        thread.close()


async def test_an_error_in_the_model_thread_reaches_the_caller_and_frees_its_place() -> None:
    thread = ModelThread(max_queue=0)

    def refuse(raw: bytes, hop: Hop) -> bytes:
        raise CodecError("image: missing")

    try:
        for _ in range(3):
            with pytest.raises(CodecError, match="image: missing"):
                await thread.run(refuse, b"")
    finally:
        thread.close()
