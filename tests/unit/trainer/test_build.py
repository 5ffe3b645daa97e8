"""Checkpoints that a run starts with."""

from pathlib import Path

import pytest
from trainer_runs import Refused, train

pytestmark = pytest.mark.usefixtures("cache")


class TestFolders:
    def test_start_is_missing(self, tmp_path: Path, recipe_file: Path, refused: Refused, cache: Path) -> None:
        said = refused(*train(recipe_file, 1, tmp_path / "run", "--start", "nowhere/x"))
        assert "nowhere/x.json" in said
        assert not (tmp_path / "run").exists()
        assert not cache.exists()
