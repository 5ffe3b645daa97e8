"""Frames that were encoded already: the draws of an image differ in the air alone, and need it encoded once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from jscc.limits import MAX_MESSAGE_BYTES
from jscc.wire import codec
from jscc.wire.timing import HopRecord
from jscc.wire.v1 import encoder_pb2


class Encoded(NamedTuple):
    """One image as the encoder answered it.

    Attributes:
        answer: without its tensor.
        symbols: float32 [1, k].
        hop: where the time went.
    """

    answer: encoder_pb2.EncodeResponse
    symbols: codec.Array
    hop: HopRecord


@dataclass(eq=False)
class _Place:
    """Where a frame is, or is about to be; one caller at a time encodes it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    frame: Encoded | None = None


class FrameMemory:
    """The last frames, as many as `limit_bytes` hold, at least one."""

    def __init__(self, limit_bytes: int = MAX_MESSAGE_BYTES) -> None:
        """Remember nothing yet."""
        self._limit_bytes = limit_bytes
        self._places: dict[Hashable, _Place] = {}

    async def frame(
        self, key: Hashable, encode: Callable[[], Awaitable[Encoded]], may_be_old: bool
    ) -> tuple[Encoded, bool]:
        """Return a frame, and whether it is one that was there.

        Args:
            key: everything that its symbols depend on.
            encode: makes it; what it raises is passed on, and the next caller tries again.
            may_be_old: False to encode it whether it is there or not, as for what is timed.

        Returns:
            Of a frame that was there, the encoder's record is that of the wait for it: no other time, no bytes.
        """
        begun_ns = time.perf_counter_ns()
        place = self._places.pop(key, None) or _Place()
        self._places[key] = place  # the last one asked for is the last to go
        async with place.lock:
            if place.frame is not None and may_be_old:
                waited = HopRecord(place.frame.hop.hop, 0, time.perf_counter_ns() - begun_ns, 0, 0, 0, 0, 0, 0)
                return place.frame._replace(hop=waited), True
            place.frame = await encode()
            self._shrink()
            return place.frame, False

    def _shrink(self) -> None:
        """Forget what was asked for longest ago; who waits for it has its place still."""
        sizes = {key: 0 if it.frame is None else it.frame.symbols.nbytes for key, it in self._places.items()}
        held = sum(sizes.values())
        for key, size_bytes in sizes.items():
            if held <= self._limit_bytes or len(self._places) == 1:
                return
            del self._places[key]
            held -= size_bytes
