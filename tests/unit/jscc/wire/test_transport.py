"""Channels and ports are made in one place, and gRPC's core keeps its lines to itself."""

import os
import re
import subprocess
import sys

import pytest
from factories import REPOSITORY

TAKEN_PORT = """
import socket
from jscc.wire import transport
import grpc

with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    try:
        transport.listen(grpc.aio.server(), f"127.0.0.1:{taken.getsockname()[1]}")
    except OSError as error:
        print(error)
"""


@pytest.mark.parametrize(("verbosity", "is_silent"), [(None, True), ("ERROR", False)])
def test_grpcs_own_lines_come_only_when_they_are_wanted(verbosity: str | None, is_silent: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    environment |= {"GRPC_VERBOSITY": verbosity} if verbosity else {}
    result = subprocess.run(
        [sys.executable, "-c", TAKEN_PORT], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"LISTEN_ADDRESS=127\.0\.0\.1:\d+: cannot listen there; is the port taken\?\n", result.stdout)
    assert (result.stderr == "") == is_silent


def test_channels_and_ports_are_made_in_one_place() -> None:
    """So that TLS can be added there."""
    makers = re.compile(r"insecure_channel|secure_channel|add_insecure_port|add_secure_port")
    files = [file for folder in ("jscc", "services", "trainer") for file in (REPOSITORY / folder).rglob("*.py")]
    found = [file.relative_to(REPOSITORY).as_posix() for file in files if makers.search(file.read_text("utf-8"))]
    assert found == ["jscc/wire/transport.py"]
