"""Frames that were encoded already: once for all draws, whoever comes first, and within the memory that is given."""

import asyncio

import factories
import numpy as np
import pytest

from jscc.wire.v1 import encoder_pb2
from services.orchestrator.link.frames import Encoded, FrameMemory


class Encoder:
    """Counts what it encodes; frames of 40 bytes that tell their number."""

    def __init__(self) -> None:
        self.calls = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> Encoded:
        self.calls += 1
        number = self.calls
        await self.go_on.wait()
        return Encoded(encoder_pb2.EncodeResponse(), np.full((1, 10), number, np.float32), factories.hop("encoder"))


def number_of(frame: Encoded) -> int:
    return int(frame.symbols[0, 0])


async def test_a_frame_is_encoded_once_and_what_is_told_of_an_old_one_is_the_wait() -> None:
    memory, encode = FrameMemory(), Encoder()
    first, was_old = await memory.frame("a", encode, False)
    assert (number_of(first), was_old, first.hop) == (1, False, factories.hop("encoder"))
    again, was_old = await memory.frame("a", encode, True)
    assert (number_of(again), was_old, encode.calls) == (1, True, 1)
    assert (again.hop.hop, again.hop.bytes_in, again.hop.compute_ns, again.hop.network_ns) == ("encoder", 0, 0, 0)
    other, was_old = await memory.frame("b", encode, True)
    assert (number_of(other), was_old) == (2, False)


async def test_what_is_timed_is_encoded_whether_it_is_there_or_not() -> None:
    memory, encode = FrameMemory(), Encoder()
    for number in (1, 2):
        frame, was_old = await memory.frame("a", encode, False)
        assert (number_of(frame), was_old) == (number, False)


async def test_those_who_come_while_it_is_encoded_wait_for_it() -> None:
    memory, encode = FrameMemory(), Encoder()
    encode.go_on.clear()
    waiting = [asyncio.create_task(memory.frame("a", encode, draw > 0)) for draw in range(4)]
    await asyncio.sleep(0)
    encode.go_on.set()
    found = await asyncio.gather(*waiting)
    assert [(number_of(frame), was_old) for frame, was_old in found] == [(1, False), (1, True), (1, True), (1, True)]
    assert encode.calls == 1


async def test_after_a_failure_the_next_one_tries() -> None:
    async def fail() -> Encoded:
        raise ConnectionError("gone")

    memory, encode = FrameMemory(), Encoder()
    with pytest.raises(ConnectionError):
        await memory.frame("a", fail, True)
    broken, waiting = (asyncio.create_task(memory.frame("a", work, True)) for work in (fail, encode))
    assert (await waiting)[1] is False
    with pytest.raises(ConnectionError):
        await broken


async def test_one_that_is_given_up_keeps_nobody_waiting() -> None:
    memory, encode = FrameMemory(), Encoder()
    encode.go_on.clear()
    given_up, waiting = (asyncio.create_task(memory.frame("a", encode, True)) for _ in range(2))
    while not encode.calls:
        await asyncio.sleep(0)
    given_up.cancel()
    encode.go_on.set()
    frame, was_old = await waiting
    assert (number_of(frame), was_old) == (2, False)


@pytest.mark.parametrize(
    ("limit_bytes", "kept"), [(120, ["b", "c", "a"]), (119, ["c", "a"]), (80, ["c", "a"]), (1, ["a"])]
)
async def test_the_longest_unasked_goes_first(limit_bytes: int, kept: list[str]) -> None:
    """Frames of 40 bytes; "a" is asked for again at the end."""
    memory, encode = FrameMemory(limit_bytes), Encoder()
    for key in ("a", "b", "c"):
        await memory.frame(key, encode, True)
    await memory.frame("a", encode, True)
    before = encode.calls
    for key in kept:
        await memory.frame(key, encode, True)
    assert encode.calls == before
    if len(kept) < 3:
        assert not (await memory.frame("b", encode, True))[1]
