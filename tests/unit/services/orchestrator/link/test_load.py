"""When images are due, how a link is loaded, and from when latency is counted."""

import asyncio
import math

import pytest

from jscc.wire.errors import LinkError
from jscc.wire.timing import HopRecord
from services.orchestrator.link.load import closed_loop, open_loop, times_s

HOPS = (HopRecord("encoder", 1, 2, 3, 4, 5, 6, 7, 8),)


class HandClock:
    """A clock that stands still but for what waits for it."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s

    async def until(self, at_s: float) -> None:
        await asyncio.sleep(0)  # what has been started gets its turn
        self.time_s = max(self.time_s, at_s)


def test_constant_arrivals_are_evenly_spread() -> None:
    assert times_s("constant", 4.0, 2.0) == [0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


def test_poisson_arrivals_have_the_mean_and_variance_of_theory() -> None:
    """Counts in 4000 windows of mean 5: both within five standard errors, a false alarm in a million."""
    rate, windows = 5.0, 4000
    times = times_s("poisson", rate, float(windows), seed=3)
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < windows
    counts = [0] * windows
    for at_s in times:
        counts[int(at_s)] += 1
    mean = sum(counts) / windows
    variance = sum((count - mean) ** 2 for count in counts) / (windows - 1)
    assert mean == pytest.approx(rate, abs=5 * math.sqrt(rate / windows))
    fourth = rate + 3 * rate**2  # central moment of a Poisson distribution
    assert variance == pytest.approx(rate, abs=5 * math.sqrt((fourth - rate**2) / windows))
    assert times == times_s("poisson", rate, float(windows), seed=3)
    assert times != times_s("poisson", rate, float(windows), seed=4)


def test_other_arrivals_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^arrivals: must be one of poisson, constant, got 'bursts'$"):
        times_s("bursts", 1.0, 1.0)


async def test_latency_counts_from_when_an_image_was_due() -> None:
    """A sender that cannot begin before 3 s makes what was due at 1 s two seconds late, which its latency has."""
    clock = HandClock()

    async def send(number: int) -> tuple[HopRecord, ...]:
        if number == 0:
            clock.time_s += 3.0
        clock.time_s += 0.5
        return HOPS

    first, second = await open_loop(send, [0.0, 1.0], clock)
    assert (first.latency_s, first.is_late) == (3.5, False)
    assert second.sent_s == 103.5
    assert (second.latency_s, second.is_late) == (3.0, True)
    assert (second.hops, second.is_done) == (HOPS, True)


async def test_what_is_due_while_too_many_are_under_way_is_shed() -> None:
    clock, free, numbers = HandClock(), asyncio.Event(), list[int]()

    async def send(number: int) -> tuple[HopRecord, ...]:
        numbers.append(number)
        await free.wait()
        return HOPS

    loading = asyncio.create_task(open_loop(send, [0.0, 1.0, 2.0, 3.0], clock, most_under_way=2))
    while clock.time_s < 103.0:
        await asyncio.sleep(0)
    free.set()
    samples = await loading
    assert [sample.sent_s for sample in samples] == [100.0, 101.0, None, None]
    assert [sample.is_done for sample in samples] == [True, True, False, False]
    assert numbers == [0, 1]


async def test_callers_send_again_when_their_image_is_back_until_time_is_over() -> None:
    clock, at_once, most, sent = HandClock(), 0, 0, list[int]()

    async def send(number: int) -> tuple[HopRecord, ...]:
        nonlocal at_once, most
        sent.append(number)
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        clock.time_s += 0.25
        at_once -= 1
        return HOPS

    samples = await closed_loop(send, 3, 2.0, clock)
    assert most == 3
    assert sorted(sent) == list(range(len(samples)))
    assert 8 <= len(samples) <= 8 + 2  # a quarter of a second each; what two others have begun is finished
    assert not any(sample.is_late for sample in samples)


async def test_a_failed_call_is_a_sample_and_not_the_end() -> None:
    clock = HandClock()

    async def send(number: int) -> tuple[HopRecord, ...]:
        if number == 1:
            raise LinkError("decoder", "127.0.0.1:1", "UNAVAILABLE", "gone", None)
        return HOPS

    samples = await open_loop(send, [0.0, 1.0, 2.0], clock)
    assert [sample.failure for sample in samples] == ["", "UNAVAILABLE", ""]
    assert [sample.is_done for sample in samples] == [True, False, True]
