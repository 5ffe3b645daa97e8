"""The committed stubs are what the .proto files generate, byte for byte."""

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "jscc" / "wire" / "v1"
PROTOS = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "proto").rglob("*.proto"))


def make_stubs_command() -> list[str]:
    """Return the arguments of protoc in the target `stubs` of the Makefile."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"-m grpc_tools\.protoc (.*) \$\(PROTOS\)", makefile)
    return arguments.split()


def test_regenerating_the_stubs_changes_nothing(tmp_path: Path) -> None:
    arguments = [re.sub(r"^(--\w+_out=(?:\w+:)?)\.$", rf"\1{tmp_path}", item) for item in make_stubs_command()]
    assert sum(str(tmp_path) in item for item in arguments) == 2  # code and types
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # where protoc-gen-mypy is
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments, *map(str, PROTOS)]
    subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "PATH": path}, check=True, timeout=60)
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    assert len(generated) == 2 * len(PROTOS) == 10
    committed = {
        path.relative_to(REPOSITORY): path.read_bytes() for path in COMMITTED.glob("*.py*") if path.stem != "__init__"
    }
    assert sorted(generated) == sorted(committed)
    different = [str(path) for path in generated if generated[path] != committed[path]]
    assert not different, f"run `make stubs`: {different}"
