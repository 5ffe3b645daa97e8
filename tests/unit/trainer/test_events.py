"""Event files, which a run does without."""

import shutil
from pathlib import Path

import pytest
from trainer_runs import LIMITED, begin, finish, train

from trainer import __main__ as command_line

pytestmark = pytest.mark.usefixtures("cache")


class TestFullDisk:
    @pytest.mark.slow
    def test_event_files_are_done_without(self, tmp_path: Path, recipe_file: Path) -> None:
        recipe_file.write_text(recipe_file.read_text().replace("tensorboard = false", "tensorboard = true"))
        folder = tmp_path / "run"
        assert command_line.main(train(recipe_file, 1, folder)) == 0
        limit_bytes = next((folder / "tensorboard").iterdir()).stat().st_size
        shutil.rmtree(folder)
        status, said = finish(begin(str(limit_bytes), *train(recipe_file, 3, folder), code=LIMITED))
        assert f"{folder / 'tensorboard'}: no more event files (File too large)" in said
        assert status == 1  # the checkpoint does not fit either
        assert "last.pt: cannot be written" in said.splitlines()[-1]
