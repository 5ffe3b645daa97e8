"""The record of where a run was made."""

from pathlib import Path

import pytest
from trainer_runs import Refused, train

from trainer import __main__ as command_line

pytestmark = pytest.mark.usefixtures("cache")


class TestFolders:
    def test_records_that_are_damaged_are_named(self, tmp_path: Path, recipe_file: Path, refused: Refused) -> None:
        assert command_line.main(train(recipe_file, 1, tmp_path / "run")) == 0
        (tmp_path / "run" / "environment.json").write_text("[{")
        assert "environment.json: is damaged" in refused(*train(recipe_file, 2, tmp_path / "run", "--resume"))
