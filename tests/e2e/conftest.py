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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

from jscc.data import samples
from jscc.images import read_image, write_image

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0


@dataclass
class Started:
    name: str
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


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
    own = {"CHECKPOINTS": str(ROOT / "checkpoints"), "THREADS": "1", "LISTEN_ADDRESS": address}
    with log.open("wb") as output:
        process = subprocess.Popen(
            dockerfile_command(name),
            cwd=ROOT,
            env={**os.environ, **own, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Started(name, address, process, log)


def probe(address: str, service: str = "") -> int:
    command = [sys.executable, "-m", "jscc.wire.probe", address, *([service] if service else [])]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def wait_until_serving(service: Started) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while probe(service.address) != 0:
        assert service.process.poll() is None, service.log.read_text()
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.2)


def wait_for_log(service: Started, words: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while words not in service.log.read_text():
        assert service.process.poll() is None, service.log.read_text()
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.005)


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


def call(service: Started, rpc: str, raw: bytes, timeout_s: float = 60.0) -> bytes:
    limit = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(service.address, options=limit) as channel:
        name = f"/jscc.wire.v1.{service.name.capitalize()}Service/{rpc}"
        answer: bytes = channel.unary_unary(name)(raw, timeout=timeout_s)
        return answer


def refusal(service: Started, rpc: str, raw: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(service, rpc, raw)
    return caught.value.code(), caught.value.details()


def cli(*arguments: str, state: Path, check: bool = True, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    quick = {"METHODS": "deepjscc"}  # what a test does not ask for need not be loaded and warmed up again and again
    environment = {**quick, **os.environ, "JSCC_STATE": str(state), "COLUMNS": "160", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "services.orchestrator.cli.app", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result
