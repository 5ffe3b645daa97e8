"""A full queue refuses instead of growing, says when to come again, and forgets whoever has left."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jscc import cancel
from jscc.cancel import AbandonedError, Cancellation
from jscc.wire.codec import CodecError, Hop
from jscc.wire.errors import OverloadedError
from jscc.wire.queue import FIRST_RETRY_S, Gate, ModelThread, Pace


class Work:
    """A computation that waits until it is released."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()
        self.order: list[bytes] = []

    def __call__(self, raw: bytes, hop: Hop) -> bytes:
        self.entered.set()
        assert self.release.wait(60)
        self.order.append(raw)
        return raw + hop.timing.queue_ns.to_bytes(8, "little")


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.release.set()


def run(
    thread: ModelThread, work: Callable[[bytes, Hop], bytes], raw: bytes, caller: Cancellation | None = None
) -> "asyncio.Task[bytes]":
    hop = Hop.start(time.perf_counter_ns(), len(raw))
    return asyncio.create_task(thread.run(work, raw, hop, caller or Cancellation()))


async def test_a_full_queue_refuses_and_serves_again_afterwards(work: Work) -> None:
    """One request computes, two may wait, the next is refused; every waiting one is answered in order."""
    thread = ModelThread(max_queue=2)
    begun_ns = time.perf_counter_ns()
    tasks = [run(thread, work, raw) for raw in (b"1", b"2", b"3")]
    try:
        await asyncio.to_thread(work.entered.wait, 60)
        entered_ns = time.perf_counter_ns()
        for _ in range(2):
            with pytest.raises(OverloadedError, match="2 requests wait already"):
                await run(thread, work, b"4")
        await asyncio.sleep(0.02)
        held_ns = time.perf_counter_ns() - entered_ns
        work.release.set()
        answers = await asyncio.gather(*tasks)
        assert work.order == [b"1", b"2", b"3"]
        queues_ns = [int.from_bytes(answer[1:], "little") for answer in answers]
        assert queues_ns[0] <= entered_ns - begun_ns
        assert min(queues_ns[1:]) >= held_ns
        assert (await run(thread, work, b"5"))[:1] == b"5"
    finally:
        work.release.set()
        thread.close()


async def test_an_error_in_the_model_thread_reaches_the_caller_and_frees_its_place() -> None:
    thread = ModelThread(max_queue=0)

    def refuse(raw: bytes, hop: Hop) -> bytes:
        raise CodecError("image: missing")

    try:
        for _ in range(20):
            with pytest.raises(CodecError, match="image: missing"):
                await run(thread, refuse, b"")
    finally:
        thread.close()


class Request(list[bytes]):
    """Stands for bytes, which no weak reference can watch."""


async def test_who_has_left_is_forgotten_at_once_and_never_computed(work: Work) -> None:
    """Its place is free and its memory given back while another request still computes."""
    thread = ModelThread(max_queue=1)
    first = run(thread, work, b"1")
    try:
        await asyncio.to_thread(work.entered.wait, 60)
        for _ in range(3):
            raw: Any = Request([b"2"])
            gone = weakref.ref(raw)
            task = run(thread, work, raw)
            await asyncio.sleep(0)  # the task begins to wait
            task.cancel()
            await asyncio.wait({task})
            del raw, task
            gc.collect()
            assert gone() is None
        last = run(thread, work, b"3")
        await asyncio.sleep(0)
        work.release.set()
        await asyncio.gather(first, last)
        assert work.order == [b"1", b"3"]
    finally:
        work.release.set()
        thread.close()


async def test_a_request_whose_deadline_passed_in_the_queue_is_not_computed(work: Work) -> None:
    thread = ModelThread(max_queue=1)
    work.release.set()
    try:
        with pytest.raises(AbandonedError, match="deadline"):
            await run(thread, work, b"1", Cancellation(timeout_s=0))
        assert work.order == []
    finally:
        thread.close()


async def test_work_under_way_ends_at_its_next_step_and_keeps_its_place_until_then() -> None:
    """Otherwise callers that leave at once could make any number of requests compute one after the other."""
    thread = ModelThread(max_queue=0)
    entered, go_on, ended = (threading.Event() for _ in range(3))

    def steps(raw: bytes, hop: Hop) -> bytes:
        entered.set()
        try:
            for _ in range(1000):
                assert go_on.wait(60)
                cancel.check()
        finally:
            ended.set()
        return b"finished"

    task = run(thread, steps, b"1")
    try:
        await asyncio.to_thread(entered.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OverloadedError, match="0 requests wait already"):
            await run(thread, steps, b"2")
        go_on.set()
        assert await asyncio.to_thread(ended.wait, 60)
    finally:
        go_on.set()
        thread.close()


async def test_requests_hold_so_many_bytes_and_no_more(work: Work) -> None:
    """Of 10 bytes, 4 compute and 4 wait; 3 more are refused and 2 are not, and what has left or ended makes room."""
    thread = ModelThread(max_queue=10, max_bytes=10)
    tasks = [run(thread, work, b"1111"), run(thread, work, b"2222")]
    try:
        await asyncio.to_thread(work.entered.wait, 60)
        with pytest.raises(OverloadedError, match=r"^queue: .* MiB are held already; come again in 0\.25 s$") as full:
            await run(thread, work, b"333")
        assert full.value.retry_after_s == FIRST_RETRY_S
        tasks.append(run(thread, work, b"44"))
        await asyncio.sleep(0)
        tasks.pop(1).cancel()
        await asyncio.sleep(0)
        tasks.append(run(thread, work, b"555"))
        await asyncio.sleep(0)
        work.release.set()
        await asyncio.gather(*tasks)
        assert work.order == [b"1111", b"44", b"555"]
        for raw in (b"6" * 10, b"7" * 11):  # alone it has room, however large
            await run(thread, work, raw)
    finally:
        work.release.set()
        thread.close()


async def test_an_error_gives_the_bytes_back() -> None:
    thread = ModelThread(max_queue=10, max_bytes=10)

    def refuse(raw: bytes, hop: Hop) -> bytes:
        raise CodecError("image: missing")

    try:
        for _ in range(20):
            with pytest.raises(CodecError):
                await run(thread, refuse, b"123456789")
    finally:
        thread.close()


def test_the_bytes_are_told_and_the_time_is_that_of_the_requests() -> None:
    pace = Pace(1)
    pace.add(0.5)
    error = pace.overload(6, held_bytes=448 * 1024 * 1024)
    assert str(error) == "queue: 448.0 MiB are held already; come again in 3.5 s"
    assert error.retry_after_s == pace.overload(6).retry_after_s == pytest.approx(7 * 0.5)


def test_the_time_to_come_again_is_queue_length_times_mean_time() -> None:
    pace = Pace(1)
    assert pace.overload(64).retry_after_s == FIRST_RETRY_S  # nothing is known yet
    for _ in range(50):
        pace.add(0.3)
    error = pace.overload(64)
    assert error.retry_after_s == pytest.approx(65 * 0.3)
    assert str(error) == "queue: 64 requests wait already; come again in 20 s"
    assert Pace(1).overload(0).retry_after_s == FIRST_RETRY_S
    for _ in range(50):
        pace.add(0.1)
    assert pace.overload(64).retry_after_s == pytest.approx(65 * 0.1, rel=1e-3)


def test_several_places_are_free_sooner_and_times_have_bounds() -> None:
    wide = Pace(4)
    wide.add(2.0)
    assert wide.overload(7).retry_after_s == pytest.approx(8 * 2.0 / 4)
    for duration_s, expected_s in ((0.0, 0.02), (3600.0, 60.0)):
        pace = Pace(1)
        pace.add(duration_s)
        assert pace.overload(10).retry_after_s == expected_s


async def test_a_gate_lets_so_many_through_and_refuses_beyond_its_line() -> None:
    gate, release, inside, most = Gate(2, max_queue=3), asyncio.Event(), 0, 0

    async def call() -> None:
        nonlocal inside, most
        async with gate.passage():
            inside += 1
            most = max(most, inside)
            await release.wait()
            inside -= 1

    tasks = [asyncio.create_task(call()) for _ in range(5)]
    await asyncio.sleep(0)
    assert inside == 2
    with pytest.raises(OverloadedError, match="3 requests wait already"):
        await call()
    tasks.pop().cancel()  # one leaves the line, and another may wait
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(call()))
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*tasks)
    assert (most, inside) == (2, 0)
    await call()


async def test_a_gate_without_a_line_serves_whoever_comes_to_a_free_place() -> None:
    gate = Gate(1, max_queue=0)
    for _ in range(3):
        async with gate.passage():
            with pytest.raises(OverloadedError):
                async with gate.passage():
                    raise AssertionError("two at once")


async def test_calls_of_a_gate_hold_so_many_bytes_and_no_more() -> None:
    gate, release = Gate(1, max_queue=10, max_bytes=10), asyncio.Event()

    async def call(size_bytes: int) -> None:
        async with gate.passage(size_bytes):
            await release.wait()

    tasks = [asyncio.create_task(call(size_bytes)) for size_bytes in (4, 4)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match=r"^queue: .* MiB are held already; come again in 0\.25 s$"):
        await call(3)
    tasks.pop().cancel()
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(call(6)))
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*tasks)
    for size_bytes in (10, 11):  # alone it has room, however large
        await call(size_bytes)
