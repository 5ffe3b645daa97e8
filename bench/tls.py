"""What TLS costs a hop: 1 MiB through the channel `noiseless`, in plain text, under TLS and in both directions.

    python bench/tls.py            # a minute; the table of docs/security.md

Three services are called in turn, so that whatever else the machine does hits all of them alike.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from jscc.wire.client import Client
from jscc.wire.credentials import Credentials
from jscc.wire.timing import NS_PER_MS
from jscc.wire.tls import TlsFiles
from jscc.wire.v1 import channel_pb2
from jscc.wire.v1 import symbols_pb2 as pb

SYMBOLS = 2**18
"""Of float32: 1 MiB in either direction."""
WARM_UP, ROUNDS, CONNECTIONS, TIMEOUT_S = 20, 400, 40, 120.0

_ROOT = Path(__file__).parents[1]


class Way:
    """A channel service of its own, and how it is reached."""

    def __init__(self, name: str, settings: dict[str, Path], own: Credentials) -> None:
        """Start the service with settings; a client shows and trusts `own`."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.name, self.own, self.hop_ms, self.opening_ms = name, own, list[float](), list[float]()
        environment = os.environ | {name: str(value) for name, value in settings.items()}
        environment |= {"LISTEN_ADDRESS": self.address, "LOG_LEVEL": "ERROR", "THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, "-m", "services.channel"], cwd=_ROOT, env=environment)


def started(folder: Path, stack: ExitStack) -> list[Way]:
    """Return the three ways; their services end with the stack."""
    subprocess.run(["sh", str(_ROOT / "deploy" / "certificates.sh"), str(folder), "channel", "user"], check=True)
    ca, (certificate, key), shown = folder / "ca.pem", pair(folder, "channel"), pair(folder, "user")
    tls = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key}
    ways = [
        Way("plain text", {}, Credentials()),
        Way("TLS", tls, Credentials(TlsFiles(None, None, ca, "TLS_CA"))),
        Way("TLS in both directions", tls | {"TLS_CLIENT_CA": ca}, Credentials(TlsFiles(*shown, ca, "TLS_CA"))),
    ]
    for way in ways:
        stack.callback(way.process.wait)
        stack.callback(way.process.terminate)
    return ways


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the certificate and the key of a name."""
    return folder / name / "certificate.pem", folder / name / "key.pem"


async def measure(ways: list[Way]) -> None:
    """Call all in turn, over one connection each, and ask all over new ones; keep how long it took."""
    symbols = np.ones((1, SYMBOLS), dtype=np.float32)
    channel = pb.ChannelModel(name="noiseless", snr_db=0.0)
    message = channel_pb2.TransmitRequest(context=pb.RequestContext(), channel=channel), symbols
    clients = [Client("channel", way.address, way.own) for way in ways]
    for client in clients:
        await client.wait_until_serving(TIMEOUT_S)
    for turn in range(WARM_UP + ROUNDS):
        for way, client in zip(ways, clients, strict=True):
            record = (await client.exchange("Transmit", message, channel_pb2.TransmitResponse, TIMEOUT_S))[2]
            if turn >= WARM_UP:
                way.hop_ms.append(record.total_ns / NS_PER_MS)
    await asyncio.gather(*(client.close() for client in clients))
    for way in ways * CONNECTIONS:
        begun_ns = time.perf_counter_ns()
        client = Client("channel", way.address, way.own)
        await client.is_serving(TIMEOUT_S)
        way.opening_ms.append((time.perf_counter_ns() - begun_ns) / NS_PER_MS)
        await client.close()


def main() -> None:
    """Print the medians of each way, and beside them what they are to those of plain text."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ways = started(Path(folder), stack)
        asyncio.run(measure(ways))
    plain = ways[0]
    for way in ways:
        hop, opening = beside(way.hop_ms, plain.hop_ms), beside(way.opening_ms, plain.opening_ms)
        print(f"| {way.name} | {hop} | {opening} |")


def beside(taken_ms: list[float], plain_ms: list[float]) -> str:
    """Return the median of durations, and what it is to that of plain text."""
    return f"{median(taken_ms):.1f} ms | {median(taken_ms) / median(plain_ms):.2f}"


if __name__ == "__main__":
    main()
