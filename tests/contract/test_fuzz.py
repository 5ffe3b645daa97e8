"""Thousands of malformed messages to every service: each is refused in one line, and health never waits.

Golden messages are made of the generated classes with every field filled, so that this holds when messages change.
"""

import asyncio
import dataclasses
import random
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc import checkpoints
from jscc.images import encode_png
from jscc.serving.host import Host
from jscc.wire.fields import varint
from jscc.wire.server import Binding, serving
from jscc.wire.service import Service
from jscc.wire.transport import client_channel
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2, orchestrator_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.channel.servicer import ChannelServicer
from services.decoder.servicer import DecoderServicer
from services.encoder.servicer import EncoderServicer
from services.orchestrator.servicer import OrchestratorServicer
from services.orchestrator.settings import OrchestratorSettings

REFUSALS = 5000
AT_ONCE = 8
HEALTH_LIMIT_S = 1.0
TIMEOUT_S = 60.0
EXPECTED = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
MOST_CHARACTERS = 400
"""Of the details of a refusal, which names a thing or two from the message, 100 characters of each."""
METHOD = "deepjscc"
LONG = b"long" * 200
SYMBOLS = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (1, 48 + 128))
"""As many as 16x16 pixels are sent as by the small checkpoint, header included."""


# --- golden messages -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """One service to be attacked.

    Attributes:
        rpc: name of the RPC.
        service: what to serve.
        golden: a request that it answers.
    """

    rpc: str
    service: Service
    golden: Message


@contextmanager
def encoder(folder: Path) -> Iterator[Target]:
    host = Host(folder, "transmitter", "", "cpu", "float32")
    golden = filled(encoder_pb2.EncodeRequest.DESCRIPTOR, values(folder), np.full((16, 16, 3), 77, np.uint8))
    yield Target("Encode", EncoderServicer(host, {}).service(), golden)


@contextmanager
def channel(folder: Path) -> Iterator[Target]:
    golden = filled(channel_pb2.TransmitRequest.DESCRIPTOR, values(folder), SYMBOLS)
    yield Target("Transmit", ChannelServicer({}).service(), golden)


@contextmanager
def decoder(folder: Path) -> Iterator[Target]:
    host = Host(folder, "receiver", METHOD, "cpu", "float32")
    golden = filled(decoder_pb2.DecodeRequest.DESCRIPTOR, values(folder), SYMBOLS)
    yield Target("Decode", DecoderServicer(host, {}).service(), golden)


@contextmanager
def orchestrator(folder: Path) -> Iterator[Target]:
    """On a link of the three others."""
    with ExitStack() as stack:
        behind = {hop: stack.enter_context(hop(folder)) for hop in (encoder, channel, decoder)}
        addresses = {f"{hop.__name__}_address": stack.enter_context(served(each)) for hop, each in behind.items()}
        golden = filled(orchestrator_pb2.SendImageRequest.DESCRIPTOR, values(folder), SYMBOLS)
        yield Target("SendImage", OrchestratorServicer(OrchestratorSettings(**addresses)).service(), golden)


TARGETS = (encoder, channel, decoder, orchestrator)


def values(folder: Path) -> dict[str, Any]:
    """Return what a field holds, by its name."""
    sizes = {"height_px": 16, "width_px": 16}
    image = {"draw": 1, "image_id": "set/fuzz", "image_file": encode_png(np.full((16, 16, 3), 77, np.uint8))}
    levels = {"snr_db": 10.0, "told_snr_db": 10.0, "noise_power": 0.1, "seed": 7}
    names = {"request_id": "fuzz", "method": METHOD, "transmitter": METHOD, "name": "awgn"}
    return {**sizes, **image, **levels, **names, "checkpoint_digest": checkpoints.cards(folder)[0].digest}


def filled(descriptor: Descriptor, known: dict[str, Any], array: np.ndarray[Any, Any]) -> Message:
    """Return a message with every field set whose name is known, the tensor too; maps stay empty."""
    message: Any = GetMessageClass(descriptor)()
    for each in descriptor.fields:
        if each.message_type is pb.Tensor.DESCRIPTOR:
            code = {"uint8": pb.ELEMENT_TYPE_UINT8, "float32": pb.ELEMENT_TYPE_FLOAT32}[array.dtype.name]
            getattr(message, each.name).CopyFrom(pb.Tensor(dtype=code, shape=array.shape, data=array.tobytes()))
        elif each.type == FieldDescriptor.TYPE_MESSAGE and not each.is_repeated:
            getattr(message, each.name).CopyFrom(filled(each.message_type, known, array))
        elif each.name in known and each.is_repeated:
            getattr(message, each.name).extend(known[each.name])
        elif each.name in known:
            setattr(message, each.name, known[each.name])
    return message


# --- what is done to them --------------------------------------------------------------------------------------------


def pieces_of(message: Message) -> list[bytes]:
    """Return the bytes of every field that is set."""
    pieces = []
    for each, _ in message.ListFields():
        alone = type(message)()
        alone.CopyFrom(message)
        for other, _ in message.ListFields():
            if other.name != each.name:
                alone.ClearField(other.name)
        pieces.append(alone.SerializeToString())
    return pieces


def truncated(draw: random.Random, raw: bytes) -> bytes:
    return raw[: draw.randrange(len(raw))] if raw else raw


def flipped(draw: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(min(draw.choice((1, 2, 8)), len(raw))):
        place = draw.randrange(min(len(raw), draw.choice((8, 40, 200))))
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def overwritten(draw: random.Random, raw: bytes) -> bytes:
    place = draw.randrange(len(raw) + 1)
    return raw[:place] + draw.randbytes(draw.choice((1, 3, 20))) + raw[place + draw.choice((0, 1, 8)) :]


def of_wrong_kind(draw: random.Random, raw: bytes) -> bytes:
    """Change the wire type of the first field, a group's among them."""
    return bytes([raw[0] & 0xF8 | draw.randrange(8)]) + raw[1:] if raw else raw


def of_wrong_length(draw: random.Random, raw: bytes) -> bytes:
    return raw[:1] + varint(draw.choice((0, 1, 2**7, 2**21, 2**31, 2**32, 2**63, 2**64 - 1, 2**70))) + raw[2:]


def prolonged(draw: random.Random, raw: bytes) -> bytes:
    """Put a long text in, which nobody should repeat."""
    place = draw.randrange(len(raw) + 1)
    return raw[:place] + draw.choice((LONG, LONG, b"\n\x1b", "\u202e".encode())) * 3 + raw[place:]


DAMAGES = (truncated, flipped, overwritten, of_wrong_kind, of_wrong_length, prolonged)


def strange_field(draw: random.Random) -> bytes:
    """Return a field that should not be there: number 0 or another, extreme numbers, random bytes, another message."""
    number = draw.choice((0, 0, 1, 2, 3, 4, 5, 15, 99, 2**28, 2**29 - 1, 2**33))
    if draw.random() < 0.3:
        value = draw.choice((float("nan"), float("inf"), -float("inf"), 1e300, -1.0))
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if draw.random() < 0.3:
        return varint(number << 3) + varint(draw.choice((0, 1, 2**31, 2**63, 2**64 - 1)))
    content = draw.randbytes(draw.choice((0, 1, 30, 2000)))
    return varint(number << 3 | 2) + varint(len(content)) + content


def large(draw: random.Random) -> bytes:
    """Return a message that would be slow to walk through."""
    unit = draw.choice((b"\x00", bytes.fromhex("c80100"), b"\x0a\x00", b"\x12\x00", b"\x23", b"\xff"))
    body = unit * (300_000 // len(unit))
    number = draw.choice((None, 1, 2, 3, 4, 5, 15))
    return body if number is None else varint(number << 3 | 2) + varint(len(body)) + body


def inside(draw: random.Random, piece: bytes) -> bytes:
    """Damage the content of a field that has a length below 2^14, and let the length fit again."""
    head = 3 if len(piece) > 2 and piece[1] >= 0x80 else 2
    strange = draw.random() < 0.3
    content = strange_field(draw) + piece[head:] if strange else draw.choice(DAMAGES)(draw, piece[head:])
    return piece[:1] + varint(len(content)) + content


def changed(draw: random.Random, pieces: list[bytes]) -> list[bytes]:
    """Damage, drop or double one field, add one, or cut the message off."""
    place = draw.randrange(len(pieces)) if pieces else 0
    before, one, after = pieces[:place], pieces[place : place + 1], pieces[place + 1 :]
    return draw.choice(
        (
            lambda: [*before, *(draw.choice(DAMAGES)(draw, piece) for piece in one), *after],
            lambda: [*before, *(inside(draw, piece) for piece in one), *after],
            lambda: [*before, *after],
            lambda: [*pieces, *one * draw.choice((1, 1, 300))],
            lambda: [*before, strange_field(draw), *one, *after],
            lambda: [truncated(draw, b"".join(pieces))],
        )
    )()


def mutants(golden: Message, seed: int) -> Iterator[bytes]:
    """Yield mutants of a message without end, the same for the same seed; one in 200 is large."""
    draw, pieces = random.Random(seed), pieces_of(golden)
    while True:
        mutant = pieces
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            mutant = changed(draw, mutant)
        yield large(draw) if draw.random() < 0.005 else b"".join(mutant)


# --- the campaign ----------------------------------------------------------------------------------------------------


@contextmanager
def served(target: Target) -> Iterator[str]:
    """Serve in a thread with an event loop of its own; return the address."""
    service = dataclasses.replace(target.service, observers=())
    address: Future[str] = Future()
    done = threading.Event()

    async def serve() -> None:
        async with serving(service, Binding("127.0.0.1:0", 64, reflection=False, grace_s=0)) as port:
            address.set_result(f"127.0.0.1:{port}")
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield address.result(timeout=TIMEOUT_S)
    finally:
        done.set()
        thread.join()


@contextmanager
def watched(address: str) -> Iterator[list[float]]:
    """Check health all the time, in a thread with a connection of its own; return the seconds that each check took."""
    taken_s: list[float] = []
    done = threading.Event()

    async def watch() -> None:
        async with client_channel(address, retries=False) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not done.is_set():
                begun_s = time.monotonic()
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
                taken_s.append(time.monotonic() - begun_s)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    try:
        yield taken_s
    finally:
        done.set()
        thread.join()


@dataclass
class Campaign:
    """Calls of one RPC with mutants until so many have been refused."""

    call: Any
    source: Iterator[bytes]

    def __post_init__(self) -> None:
        self.statuses: Counter[str] = Counter()

    async def attack(self) -> None:
        while self.statuses.total() - self.statuses["OK"] < REFUSALS:
            raw = next(self.source)
            status, details = await self._send(raw)
            self.statuses[status] += 1
            assert status in {"OK", *EXPECTED}, f"{status}: {details}: {raw[:500].hex()}"
            assert LONG.decode()[:200] not in details, details
            assert status == "OK" or (details.isprintable() and 0 < len(details) <= MOST_CHARACTERS), f"{details!r}"

    async def _send(self, raw: bytes) -> tuple[str, str]:
        try:
            await self.call(raw, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""


@pytest.mark.slow
async def test_the_orchestrator_closes_its_link(tiny_checkpoints: Path) -> None:
    with orchestrator(tiny_checkpoints) as target:
        binding = Binding("127.0.0.1:0", 64, reflection=False, grace_s=TIMEOUT_S)
        async with serving(target.service, binding) as port, client_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(f"/{target.service.full_name}/{target.rpc}")
            await call(target.golden.SerializeToString(), timeout=TIMEOUT_S)
            assert any(thread.name.startswith("score") for thread in threading.enumerate())
        assert not any(thread.name.startswith("score") for thread in threading.enumerate())


@pytest.mark.slow
@pytest.mark.parametrize("target_of", TARGETS, ids=lambda target_of: target_of.__name__)
async def test_five_thousand_malformed_messages(
    tiny_checkpoints: Path, target_of: Callable[[Path], AbstractContextManager[Target]]
) -> None:
    with target_of(tiny_checkpoints) as target, served(target) as address:
        async with client_channel(address, retries=False) as channel:
            call = channel.unary_unary(f"/{target.service.full_name}/{target.rpc}")
            await call(target.golden.SerializeToString(), timeout=TIMEOUT_S)
            with watched(address) as taken_s:
                campaign = Campaign(call, mutants(target.golden, seed=1))
                await asyncio.gather(*(campaign.attack() for _ in range(AT_ONCE)))
            await call(target.golden.SerializeToString(), timeout=TIMEOUT_S)
    assert len(taken_s) > 10
    assert max(taken_s) < HEALTH_LIMIT_S
    assert {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} <= set(campaign.statuses)
