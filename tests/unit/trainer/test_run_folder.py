"""The folder of a run: where it cannot be, and checkpoints that are damaged or do not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trainer_runs import LIMITED, Refused, begin, finish, train, truncated

from trainer import __main__ as command_line
from trainer import run_folder

pytestmark = pytest.mark.usefixtures("cache")


class TestFolders:
    def test_out_is_a_file(self, recipe_file: Path, refused: Refused) -> None:
        assert "is no folder; give another --out" in refused(*train(recipe_file, 1, recipe_file))
        assert "is no folder; give another --out" in refused(*train(recipe_file, 1, recipe_file / "run"))

    @pytest.mark.slow
    def test_out_cannot_be_written(self, recipe_file: Path) -> None:
        status, said = finish(begin(*train(recipe_file, 1, Path("/proc/run"))))
        assert status == 1
        assert said.splitlines()[-1].startswith("error: /proc/run/config.toml: cannot be written")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 80)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"transmitter")  # inside, which the archive's own marks do not show
    content[place] ^= 255
    path.write_bytes(content)


def something_else(path: Path) -> None:
    torch.save(torch.ones(3), path)


def gone(path: Path) -> None:
    path.unlink()


class TestDamagedCheckpoint:
    @pytest.fixture
    def folder(self, tmp_path: Path, recipe_file: Path) -> Path:
        recipe_file.write_text(recipe_file.read_text().replace("checkpoint_minutes = 1e6", "checkpoint_minutes = 0.0"))
        folder = tmp_path / "run"
        assert command_line.main(train(recipe_file, 3, folder)) == 0
        return folder

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", [truncated, empty, noise, flipped, something_else, gone])
    def test_the_one_before_takes_its_place(
        self, folder: Path, recipe_file: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        damage(folder / "last.pt")
        before = run_folder.load_state(folder)["progress"]["step"]
        said = capsys.readouterr().err
        assert f"{folder / 'last.pt'} is " in said
        assert f"taking previous.pt, which is of step {before}" in said
        assert command_line.main(train(recipe_file, 5, folder, "--resume")) == 0
        capsys.readouterr()
        assert run_folder.load_state(folder)["progress"]["step"] == 5
        assert capsys.readouterr().err == ""

    def test_both(self, folder: Path, recipe_file: Path, refused: Refused, tmp_path: Path) -> None:
        truncated(folder / "last.pt")
        empty(folder / "previous.pt")
        for words in (
            train(recipe_file, 5, folder, "--resume"),
            ["export", folder, "--checkpoints", tmp_path],
            ["evaluate", "--checkpoint", folder, "--dataset", tmp_path / "photos"],
        ):
            said = refused(*words)
            assert "last.pt is damaged" in said
            assert "previous.pt is damaged" in said


class TestFullDisk:
    @pytest.mark.slow
    def test_a_checkpoint_that_does_not_fit_leaves_the_last_one(self, tmp_path: Path, recipe_file: Path) -> None:
        folder = tmp_path / "run"
        assert command_line.main(train(recipe_file, 2, folder)) == 0
        before = (folder / "last.pt").read_bytes()
        words = train(recipe_file, 4, folder, "--resume")
        status, said = finish(begin(str(len(before) // 2), *words, code=LIMITED))
        assert status == 1
        wanted = f"error: {folder / 'last.pt'}: cannot be written (File too large); {folder} keeps its last checkpoint"
        assert said.splitlines()[-1].startswith(wanted)
        assert (folder / "last.pt").read_bytes() == before
        assert not list(folder.glob("*.tmp"))
