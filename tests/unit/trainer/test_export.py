"""Checkpoints of runs and of methods in closed form."""

import json
from pathlib import Path

import pytest
from factories import REPOSITORY
from trainer_runs import Refused

from jscc import checkpoints
from trainer import settings
from trainer.export import export_closed_form, training_record

pytestmark = pytest.mark.usefixtures("cache")


def test_a_closed_form_method_is_exported_from_its_recipe(tmp_path: Path) -> None:
    card = export_closed_form(Path("configs/softcast.toml"), tmp_path)
    assert (card.label, card.family) == ("SoftCast", "analog")
    assert (card.name, card.method) == ("softcast", "softcast")
    for half in ("transmitter", "receiver"):
        assert not list(checkpoints.load(tmp_path, card, half).parameters())
    with pytest.raises(ValueError, match="'deepjscc' has parameters"):
        export_closed_form(Path("configs/deepjscc.toml"), tmp_path)


class TestCommand:
    def test_export(self, refused: Refused, tmp_path: Path, recipe_file: Path) -> None:
        assert "no such run folder or recipe" in refused("export", tmp_path / "nowhere")
        assert "is it a run folder?" in refused("export", tmp_path)
        assert "'deepjscc' has parameters" in refused("export", recipe_file)
        assert "--name: must be a plain name" in refused("export", recipe_file, "--name", "../x")
        softcast = REPOSITORY / "configs" / "softcast.toml"
        assert f"error: {recipe_file}: " in refused("export", softcast, "--checkpoints", recipe_file, status=1)


def test_a_card_says_whether_the_code_was_that_of_the_commit_that_it_names(tmp_path: Path) -> None:
    """One start on a commit as it is, a resumed one on changes to the next, and one of a version that counted none."""
    kept = [{"git": "a1", "git_changes": 0}, {"git": "b2", "git_changes": 3}, {"git": "c3"}]
    (tmp_path / "environment.json").write_text(json.dumps([{"started": "then", **item} for item in kept]))
    recipe = settings.load(REPOSITORY / "configs" / "deepjscc.toml")
    state = {"progress": {"step": 1, "elapsed_s": 1.0}, "photos": 1}
    assert training_record(tmp_path, recipe, state)["git"] == ["a1", "b2 and changes", "c3"]
