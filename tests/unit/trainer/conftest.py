"""A folder of photographs, a recipe for it, and commands that must be refused."""

from pathlib import Path
from typing import Any

import pytest
from trainer_runs import Refused, random_photos, write_recipe

from trainer import __main__ as command_line


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return random_photos(tmp_path / "photos")


@pytest.fixture
def recipe_file(tmp_path: Path, photos: Path) -> Path:
    return write_recipe(
        tmp_path / "tiny.toml", [photos], data={"validation_photos": "1"}, run={"checkpoint_minutes": "1e6"}
    )


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must end with a status and one line; return the line."""

    def run(*words: object, status: int = 2) -> str:
        capsys.readouterr()
        try:
            found: Any = command_line.main([str(word) for word in words])
        except SystemExit as ended:
            found = ended.code
        said = capsys.readouterr().err
        assert found == status, said
        assert said.count("\n") == 1, said
        assert said.startswith("error: ")
        return said

    return run
