"""Who may import whom: import-linter's contracts, and what a process really loads."""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import {modules}
print(*sys.modules)
"""


def loaded_by(*modules: str, absent: set[str] | None = None) -> set[str]:
    """Return everything that a fresh process has loaded after these imports, where some packages are not there."""
    result = run(sys.executable, "-c", WITHOUT.format(absent=absent or set(), modules=", ".join(modules)))
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_arrows_of_the_design_hold() -> None:
    result = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert result.returncode == 0, result.stdout
    kept = len(PROJECT["tool"]["importlinter"]["contracts"])
    assert kept >= 4
    assert f"{kept} kept, 0 broken" in result.stdout


@pytest.mark.parametrize("module", ["jscc.wire.probe", "jscc.wire.codec", "jscc.wire.client", "jscc.wire.server"])
def test_the_wire_starts_without_torch(module: str) -> None:
    """So that a health probe, which Docker starts every few seconds, is quick."""
    loaded = loaded_by(module)
    assert module in loaded
    assert "torch" not in loaded


def modules_of(requirements: list[str]) -> set[str]:
    """Return the top-level modules that these requirements install, not those of what they need in turn."""
    installed = defaultdict(set)
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            installed[re.sub(r"[-_.]+", "-", distribution).lower()].add(module)
    names = [re.split(r"[\s<>=!~;\[]", requirement)[0].lower() for requirement in requirements]
    return set().union(*(installed[name] for name in names))


BASE: list[str] = PROJECT["project"]["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("services", "extras"), [(("encoder", "channel", "decoder"), []), (("orchestrator",), ["orchestrator"])]
)
def test_a_service_starts_with_what_its_image_installs(services: tuple[str, ...], extras: list[str]) -> None:
    """The Dockerfiles install the base dependencies, and the orchestrator's its extra; nor is the trainer there."""
    allowed = modules_of([*BASE, *(name for extra in extras for name in EXTRAS[extra])])
    absent = modules_of([name for names in EXTRAS.values() for name in names]) - allowed | {"trainer", "tests"}
    assert {"pytest", "tensorboard"} <= absent
    assert ("PIL" in absent) == ("orchestrator" not in extras)
    loaded = loaded_by(*(f"services.{name}.__main__" for name in services), absent=absent)
    assert {f"services.{name}.servicer" for name in services} <= loaded
    assert "torch" in loaded
    assert not loaded & absent
