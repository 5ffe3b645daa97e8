"""What a training needs before its first step."""

from pathlib import Path

import pytest
from factories import REPOSITORY
from trainer_runs import Refused

pytestmark = pytest.mark.usefixtures("cache")


class TestRecipes:
    @pytest.mark.parametrize("method", ["softcast", "digital"])
    def test_nothing_to_train(self, tmp_path: Path, refused: Refused, method: str) -> None:
        recipe = REPOSITORY / "configs" / f"{method}.toml"
        said = refused("train", recipe, "--steps", 3, "--out", tmp_path / "run")
        assert f"'{method}' has nothing to train; `python -m trainer export {recipe}` ships it" in said
        assert not (tmp_path / "run").exists()
