"""What the command line loads before it answers: neither torch nor matplotlib, which take seconds."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HEAVY = {"torch", "matplotlib", "scipy", "skimage", "sionna"}
GRPC = {"grpc", "numpy"}

WATCHED = """
import sys
sys.argv = ["jscc-link", *sys.argv[1:]]
from services.orchestrator.cli.app import main
try:
    main()
finally:
    print("loaded:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def run(arguments: list[str], state: Path) -> tuple[int, str, set[str]]:
    """Return exit code, standard error and the packages that were loaded."""
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments],
        cwd=state,
        env={"PYTHONPATH": str(REPOSITORY), "JSCC_STATE": str(state / "state"), "HOME": str(state), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    stderr, _, loaded = result.stderr.rpartition("loaded:")
    return result.returncode, stderr, set(loaded.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], 0),
        (["--help"], 0),
        (["send", "--help"], 0),
        (["sweep", "--help"], 0),
        (["down"], 0),
        (["status"], 1),
        (["status", "--json"], 1),
        (["status", "--encoder", "nonsense", "--channel", "127.0.0.1:1", "--decoder", "127.0.0.1:1"], 2),
        (["methods", "--encoder", "127.0.0.1:1"], 2),
        (["nosuch"], 2),
        (["send"], 2),
        (["send", "--nosuch"], 2),
        (["send", "photo.png", "--orchestrator", ":0"], 2),
        (["send", "photo.png", "--option", "K=[1,2]"], 2),
        (["send", "photo.png", "--seed", "-1"], 2),
        (["send", "photo.png", "--snr-db", "1e309"], 2),
        (["send", "photo.png", "--encoder", "127.0.0.1:1"], 2),
        (["send", "photo.png", "--method", "nosuch"], 2),
        (["send", "photo.png", "--wait-s", "0"], 2),
        (["bench", "--snr-db", "61"], 2),
        (["bench", "--method", "nosuch"], 2),
        (["bench", "--wait-s", "nan"], 2),
        (["bench", "--within-percent", "0"], 2),
        (["bench", "--max-windows", "2"], 2),
        (["sweep", "--draws", "many"], 2),
        (["sweep", "--draws", "0"], 2),
        (["sweep", "--snr-db=-5,x"], 2),
        (["sweep", "--snr-db=-5,61"], 2),
        (["sweep", "--told-snr-db", "nan"], 2),
        (["sweep", "--methods", "softcast,nosuch"], 2),
        (["sweep", "--methods", "softcast,softcast"], 2),
        (["sweep", "--dataset", "nosuch"], 2),
        (["sweep", "--dataset", "nosuch", "--dry-run"], 2),
        (["sweep", "--seed", "-1"], 2),
        (["sweep", "--channel-model", "smoke"], 2),
        (["sweep", "--references", "some"], 2),
        (["sweep", "--option", "K=[1,2]"], 2),
        (["sweep", "--limit", "-1"], 2),
        (["sweep", "--concurrency", "0"], 2),
        (["sweep", "--patience-s", "nan"], 2),
        (["sweep", "--wait-s", "3601"], 2),
        (["sweep", "--encoder", "127.0.0.1:1"], 2),
        (["up", "--decoders", "nosuch"], 2),
        (["up", "--wait-s", "0"], 2),
        (["up", "--wait-s", "nan"], 2),
    ],
)
def test_what_needs_no_service_loads_nothing_heavy(arguments: list[str], expected: int, tmp_path: Path) -> None:
    code, stderr, loaded = run(arguments, tmp_path)
    assert code == expected, stderr
    assert "typer" in loaded
    assert not loaded & (HEAVY | GRPC)
    assert len(stderr.splitlines()) == (1 if code else 0)


def given(port: int) -> list[str]:
    address = f"127.0.0.1:{port}"
    return ["--encoder", address, "--channel", address, "--decoder", address]


def test_asking_after_what_is_not_there_loads_nothing_heavy(tmp_path: Path) -> None:
    with socket.socket() as probe:  # bound and not listening: nobody else's port meanwhile
        probe.bind(("127.0.0.1", 0))
        code, stderr, loaded = run(["status", *given(probe.getsockname()[1])], tmp_path)
    assert code == 1
    assert stderr.count("nothing listens there") == 3
    assert not loaded & (HEAVY | GRPC)


def test_what_speaks_to_services_loads_grpc_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, stderr, loaded = run(["status", *given(silent.getsockname()[1])], tmp_path)
    assert code == 1, stderr
    assert "grpc" in loaded
    assert not loaded & HEAVY
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("error: ")
