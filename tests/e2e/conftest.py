"""The Dockerfiles' own commands as processes on free ports."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc.data import samples
from jscc.images import read_image, write_image

ROOT = Path(__file__).resolve().parents[2]
METHOD = "softcast"
"""Computes in no time; kltjscc is a link's default."""
SETTINGS = {
    "CHECKPOINTS": str(ROOT / "checkpoints"),
    "METHODS": f"kltjscc,{METHOD},-softcast_0625",
    "PRECISION": "float32",  # the same on every machine
    "THREADS": "1",
}
"""Of the services that tests start."""
DEADLINE_S = 900.0
"""How long a test waits for an event: so long that only what hangs takes it, however busy the machine is."""


@dataclass
class Started:
    name: str
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE_S)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def dockerfile_command(name: str) -> list[str]:
    text = (ROOT / "services" / name / "Dockerfile").read_text(encoding="utf-8")
    command = ast.literal_eval(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def start(name: str, folder: Path, **settings: str) -> Started:
    address, log = free_address(), folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            dockerfile_command(name),
            cwd=ROOT,
            env={**os.environ, **SETTINGS, "LISTEN_ADDRESS": address, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Started(name, address, process, log)


def probe(address: str, service: str = "", **settings: str) -> int:
    command = [sys.executable, "-m", "jscc.wire.probe", address, *([service] if service else [])]
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, check=False).returncode


def wait_until(
    happened: Callable[[], bool], process: subprocess.Popen[Any] | None = None, log: Path | None = None
) -> None:
    """Wait for an event; fail at once if the process that is to bring it about has ended."""
    end_s = time.monotonic() + DEADLINE_S
    while not happened():
        lives = process is None or process.poll() is None
        assert (lives and time.monotonic() < end_s) or happened(), log.read_text() if log else "it did not happen"
        time.sleep(0.01)


def wait_for_log(service: Started, words: str) -> None:
    wait_until(lambda: words in service.log.read_text(), service.process, service.log)


def serves(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def wait_until_serving(service: Started) -> None:
    wait_until(lambda: serves(service.address), service.process, service.log)
    assert probe(service.address) == 0


@pytest.fixture(scope="session")
def link(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[dict[str, Started]]:
    folder = tmp_path_factory.mktemp("link")
    data = folder / "data"  # what the orchestrator offers to its callers
    shutil.copytree(photos, data / "photos")
    if known := os.environ.get("JSCC_DATA"):
        (data / "lpips").symlink_to(Path(known) / "lpips")
    services = {name: start(name, folder) for name in ("encoder", "channel", "decoder")}
    addresses = {f"{name.upper()}_ADDRESS": service.address for name, service in services.items()}
    services["orchestrator"] = start(
        "orchestrator", folder, RUNS=str(folder / "runs"), JSCC_DATA=str(data), **addresses
    )
    try:
        for service in services.values():
            wait_until_serving(service)
        yield services
    finally:
        codes = {service.name: service.stop() for service in services.values()}
    assert set(codes.values()) == {0}, codes


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    astronaut, coffee = (read_image(samples.FOLDER / name) for name in ("astronaut.png", "coffee.png"))
    crops = (astronaut[:176, 100:308], astronaut[200:376, 40:248], coffee[50:226, 100:308], coffee[180:356, 300:508])
    for number, crop in enumerate(crops):
        write_image(folder / f"photo{number}.png", np.ascontiguousarray(crop))
    return folder


def call(service: Started, rpc: str, raw: bytes, timeout_s: float = DEADLINE_S) -> bytes:
    limit = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(service.address, options=limit) as channel:
        name = f"/jscc.wire.v1.{service.name.capitalize()}Service/{rpc}"
        answer: bytes = channel.unary_unary(name)(raw, timeout=timeout_s)
        return answer


def refusal(service: Started, rpc: str, raw: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(service, rpc, raw)
    return caught.value.code(), caught.value.details()


def command_environment(state: Path) -> dict[str, str]:
    """Return the environment of a command, and with it of the services that it starts."""
    own = {"JSCC_STATE": str(state), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    return {**SETTINGS, **os.environ, **own}


def cli(*arguments: str, state: Path, check: bool = True, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "services.orchestrator.cli.app", *arguments],
        cwd=cwd,
        env=command_environment(state),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result
