"""Recipes: what they say, and what of them is refused by name."""

import dataclasses
from pathlib import Path

import pytest
from factories import REPOSITORY
from trainer_runs import STAGES, Refused, train, write_recipe

from trainer import settings


def short_recipe(path: Path, text: str) -> Path:
    path.write_text('[method]\nname = "deepjscc"\n' + text)
    return path


class TestSettings:
    def test_unknown_key_names_file_and_key(self, tmp_path: Path) -> None:
        path = short_recipe(tmp_path / "recipe.toml", "[optimiser]\nlerning_rate = 1.0\n")
        with pytest.raises(ValueError, match="lerning_rate") as error:
            settings.load(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("[loss]\nkind = 'ssim'\n", "ssim"),
            ("[channel]\nsnr_low_db = 5.0\nsnr_high_db = 1.0\n", "snr_low_db"),
            ("[data]\nbatch_size = 0\n", "batch_size"),
            ("[run]\nprecision = 'float16'\n", "precision"),
            ("[optimiser]\nwarmup_fraction = 1.0\n", "warmup_fraction"),
            ("[optimiser.lr_scale]\nhead = -1.0\n", "head"),
        ],
    )
    def test_bad_value_is_named(self, tmp_path: Path, text: str, named: str) -> None:
        with pytest.raises(ValueError, match=named):
            settings.load(short_recipe(tmp_path / "recipe.toml", text))

    def test_shipped_recipe_says_everything(self) -> None:
        # A complete file: of what is in force no field is left to its default but the weight of the only loss.
        path = REPOSITORY / "configs" / "deepjscc.toml"
        recipe, text = settings.load(path), path.read_text()
        for table in ("data", "channel", "loss", "optimiser", "run"):
            values = dataclasses.asdict(getattr(recipe, table))
            missing = {name for name, value in values.items() if value and name not in text} - {"pixel_weight"}
            assert not missing


def test_what_figures_call_a_checkpoint_is_no_part_of_its_training() -> None:
    named = settings.MethodSettings("softcast", label="SoftCast", family="analog")
    assert named == settings.MethodSettings("softcast")
    with pytest.raises(ValueError, match=r"^family must be one of learned, analog, digital, got 'magic'$"):
        settings.MethodSettings("softcast", family="magic")
    with pytest.raises(ValueError, match=r"^label must have at most 60 characters"):
        settings.MethodSettings("softcast", label="x" * 61)


class TestCurriculum:
    def test_stages_by_position(self, tmp_path: Path) -> None:
        recipe = settings.load(write_recipe(tmp_path / "r.toml", [tmp_path], more=STAGES))
        found = [recipe.snrs_db(position) for position in (0.0, 0.249, 0.25, 0.49, 0.5, 1.0)]
        assert found == [(14, 14), (14, 14), (5, 21), (5, 21), (-6, 21), (-6, 21)]

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("[[curriculum]]\nuntil_fraction = 1.0\nsnr_low_db = 1.0\nsnr_high_db = 2.0", "until_fraction"),
            ("[[curriculum]]\nuntil_fraction = 0.5\nsnr_low_db = 3.0\nsnr_high_db = 2.0", "snr_low_db"),
            ("[[curriculum]]\nuntil_fraction = 0.5\nsnr_low_db = 3.0", "snr_high_db"),
            (STAGES + STAGES, "rise"),
        ],
    )
    def test_bad_stage_is_named(self, tmp_path: Path, text: str, named: str) -> None:
        with pytest.raises(ValueError, match=named) as error:
            settings.load(write_recipe(tmp_path / "r.toml", [tmp_path], more=text))
        assert "curriculum" in str(error.value)


class TestWeights:
    def test_numbers_must_fit(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="weights must be 1, one for each folder, got 2"):
            settings.load(write_recipe(tmp_path / "r.toml", [tmp_path], data={"weights": "[1.0, 2.0]"}))
        with pytest.raises(ValueError, match="weights: must be above 0"):
            settings.load(write_recipe(tmp_path / "r.toml", [tmp_path], data={"weights": "[0.0]"}))


class TestRecipes:
    @pytest.mark.parametrize(
        "change",
        [
            ("crop_px = 32", "crop_px = 7", "data: crop_px: must be from 16 to 4096, got 7"),
            ('name = "deepjscc"', 'name = "deepjsc"', "unknown method 'deepjsc' (known: deepjscc,"),
            ("batch_size", "batchsize", "data: unknown key 'batchsize'"),
            ("[method]", "[method", "Expected ']'"),
            ('"cpu"', '"tpu"', "run: device: must be auto, cpu, cuda"),
            ("[run]", '[optimiser]\nmuon = ["nix"]\n[run]', "optimiser: muon: 'nix' is no part"),
            ("latent_channels = 8", "latent_channels = -1", "method: config: latent_channels"),
            ("fused = true", 'fused = "yes"', "run: fused: expected true or false, got 'yes'"),
        ],
    )
    def test_they_are_refused_before_anything_is_written(
        self, tmp_path: Path, recipe_file: Path, refused: Refused, cache: Path, change: tuple[str, str, str]
    ) -> None:
        former, text, named = change
        changed = recipe_file.read_text().replace(former, text)
        assert changed != recipe_file.read_text()
        recipe_file.write_text(changed)
        assert named in refused(*train(recipe_file, 1, tmp_path / "run"))
        assert not (tmp_path / "run").exists()
        assert not cache.exists()

    def test_files_that_are_no_recipe(self, tmp_path: Path, refused: Refused) -> None:
        (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
        assert "bytes.toml: is no TOML" in refused("train", tmp_path / "bytes.toml", "--steps", 1)
        assert f"{tmp_path}: cannot be read (Is a directory)" in refused("train", tmp_path, "--steps", 1)
        assert "nowhere.toml: no such file" in refused("bench", tmp_path / "nowhere.toml")
