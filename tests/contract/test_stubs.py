"""The committed stubs are what the .proto files generate, byte for byte, and the wire breaks no earlier one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "jscc" / "wire" / "v1"
REFERENCE = REPOSITORY / "proto" / "reference.binpb"
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
    subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "PATH": path}, check=True)
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    assert len(generated) == 2 * len(PROTOS) == 10
    committed = {
        path.relative_to(REPOSITORY): path.read_bytes() for path in COMMITTED.glob("*.py*") if path.stem != "__init__"
    }
    assert sorted(generated) == sorted(committed)
    different = [str(path) for path in generated if generated[path] != committed[path]]
    assert not different, f"run `make stubs`: {different}"


def against_the_reference(folder: Path) -> subprocess.CompletedProcess[str]:
    """Compare the .proto files below a folder with the reference, as `make check` does."""
    command = [str(Path(sys.executable).with_name("buf")), "breaking", "--against", str(REFERENCE)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_wire_is_what_the_reference_has_or_more() -> None:
    assert against_the_reference(REPOSITORY).stdout == ""


def test_a_renumbered_field_is_refused(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "proto", tmp_path / "proto")
    shutil.copy(REPOSITORY / "buf.yaml", tmp_path)
    file = tmp_path / "proto" / "jscc" / "wire" / "v1" / "symbols.proto"
    text, count = re.subn(r"queue_ns = 1;", "queue_ns = 1000;", file.read_text(encoding="utf-8"))
    assert count == 1
    file.write_text(text, encoding="utf-8")
    result = against_the_reference(tmp_path)
    assert result.returncode != 0
    assert '"queue_ns" on message "HopTiming" was deleted' in result.stdout
