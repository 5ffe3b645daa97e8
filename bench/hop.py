"""What one hop over loopback costs beside a raw TCP echo of the same bytes, computation taken out.

    python bench/hop.py                  # 64 KiB, 1 MiB and 4 MiB of float32; memcpy, TCP, plain gRPC, our hop
    python bench/hop.py --repeats 300

Every way has a server process of its own: a TCP echo; the generated classes behind grpc's own server of one thread, as
its tutorial has it; and the channel service with the channel `noiseless`, which answers with what it was sent. All take
turns in one run, so read ratios. Of our hop, what its time record calls computation is taken out, and nothing else:
checks, queue, codec and the client are in. `nvidia-pytriton` is left out: it needs numpy below 2, so it does not fit
this environment.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from jscc.machine import cores, cpu_model
from jscc.wire.client import Client
from jscc.wire.transport import keep_freed_memory
from jscc.wire.v1 import channel_pb2
from jscc.wire.v1 import symbols_pb2 as pb

SIZES_BYTES = (1 << 16, 1 << 20, 1 << 22)
WARM_UP = 5
METHOD = "/bench.Echo/Transmit"
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
TCP, PLAIN, OURS = "raw TCP echo", "gRPC, generated classes", "our hop less computation"
WAIT_S = 120.0

Symbols = NDArray[np.float32]
Way = Callable[[Symbols], Awaitable[int]]
"""Sends symbols [1, k], and returns how long that took in nanoseconds."""


def serve_tcp() -> None:
    """Echo what one connection sends: eight bytes of length, then so many."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = memoryview(bytearray(max(SIZES_BYTES)))
        while head := connection.recv(8, socket.MSG_WAITALL):
            part = buffer[: int.from_bytes(head, "little")]
            receive(connection, part)
            connection.sendall(part)


def receive(connection: socket.socket, part: memoryview) -> None:
    """Fill a buffer."""
    done = 0
    while done < len(part):
        done += connection.recv_into(part[done:])


def serve_plain() -> None:
    """Echo symbols through protobuf's own serialisers, until standard input ends."""
    keep_freed_memory()

    def answer(request: channel_pb2.TransmitRequest, _: Any) -> channel_pb2.TransmitResponse:
        symbols = np.frombuffer(request.symbols.data, np.float32)
        tensor = pb.Tensor(dtype=request.symbols.dtype, shape=request.symbols.shape, data=symbols.tobytes())
        return channel_pb2.TransmitResponse(symbols=tensor)

    handler = grpc.unary_unary_rpc_method_handler(
        answer, channel_pb2.TransmitRequest.FromString, channel_pb2.TransmitResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1), options=UNLIMITED)
    service, _, name = METHOD[1:].partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


@contextmanager
def echo_process(kind: str) -> Iterator[int]:
    """Run one of the servers above; yields its port."""
    command = [sys.executable, __file__, "--serve", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def channel_service() -> Iterator[str]:
    """Run the channel service; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {"LISTEN_ADDRESS": address, "LOG_LEVEL": "WARNING"}
    with subprocess.Popen([sys.executable, "-m", "services.channel"], env=os.environ | settings) as process:
        try:
            yield address
        finally:
            process.terminate()


async def copied(symbols: Symbols) -> int:
    """Copy the bytes once."""
    target = np.empty_like(symbols)
    begun_ns = time.perf_counter_ns()
    np.copyto(target, symbols)
    return time.perf_counter_ns() - begun_ns


def over_tcp(port: int) -> Way:
    """Return the way through the TCP echo."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(max(SIZES_BYTES)))

    async def send(symbols: Symbols) -> int:
        begun_ns = time.perf_counter_ns()
        connection.sendall(symbols.nbytes.to_bytes(8, "little"))
        connection.sendall(symbols.data)
        receive(connection, buffer[: symbols.nbytes])
        return time.perf_counter_ns() - begun_ns

    return send


def over_plain(port: int) -> Way:
    """Return the way through the generated classes."""
    call = grpc.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED).unary_unary(
        METHOD, channel_pb2.TransmitRequest.SerializeToString, channel_pb2.TransmitResponse.FromString
    )

    async def send(symbols: Symbols) -> int:
        begun_ns = time.perf_counter_ns()
        tensor = pb.Tensor(dtype=pb.ELEMENT_TYPE_FLOAT32, shape=symbols.shape, data=symbols.tobytes())
        answer = call(channel_pb2.TransmitRequest(symbols=tensor))
        np.frombuffer(answer.symbols.data, np.float32).reshape(answer.symbols.shape)
        return time.perf_counter_ns() - begun_ns

    return send


def over_link(client: Client) -> Way:
    """Return the way through our client and the channel service."""
    context = pb.RequestContext(request_id="bench", seed=0)
    request = channel_pb2.TransmitRequest(context=context, channel=pb.ChannelModel(name="noiseless", snr_db=0.0))

    async def send(symbols: Symbols) -> int:
        begun_ns = time.perf_counter_ns()
        answered = await client.exchange("Transmit", (request, symbols), channel_pb2.TransmitResponse, WAIT_S)
        return time.perf_counter_ns() - begun_ns - answered[2].compute_ns

    return send


async def measure(repeats: int) -> None:
    """Let all ways take turns with every size, and print a table."""
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(echo_process(kind)) for kind in ("tcp", "plain")}
        client = Client("channel", stack.enter_context(channel_service()))
        await client.wait_until_serving(WAIT_S)
        ways = {"memcpy": copied, TCP: over_tcp(ports["tcp"]), PLAIN: over_plain(ports["plain"])}
        ways[OURS] = over_link(client)
        for size_bytes in SIZES_BYTES:
            draw = np.random.default_rng(0)
            symbols = np.clip(draw.normal(0, 0.5, (1, size_bytes // 4)), -1, 1).astype(np.float32)
            times_ns: dict[str, list[int]] = {name: [] for name in ways}
            for turn in range(-WARM_UP, repeats):
                for name, send in ways.items():
                    taken_ns = await send(symbols)
                    if turn >= 0:
                        times_ns[name].append(taken_ns)
            show(size_bytes, times_ns)
        await client.close()


def show(size_bytes: int, times_ns: dict[str, list[int]]) -> None:
    """Print medians, 95th percentiles, and the ratio of medians to that of TCP."""
    tcp_ns = np.median(times_ns[TCP])
    print(f"\n{size_bytes >> 10} KiB {'':18} {'p50 us':>8} {'p95 us':>8} {'x TCP':>7}")
    for name, values in times_ns.items():
        median_ns, high_ns = np.percentile(values, (50, 95))
        print(f"{name:26} {median_ns / 1e3:8.0f} {high_ns / 1e3:8.0f} {median_ns / tcp_ns:7.1f}")


def main() -> None:
    """Measure, or serve one of the echoes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--serve", choices=("tcp", "plain"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        {"tcp": serve_tcp, "plain": serve_plain}[asked.serve]()
        return
    keep_freed_memory()
    print(f"{cpu_model()}, {cores()} cores, {asked.repeats} repeats in turns; nvidia-pytriton left out, see --help")
    asyncio.run(measure(asked.repeats))


if __name__ == "__main__":
    main()
