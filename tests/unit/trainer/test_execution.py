"""Precision, memory format and AdamW's kernel: who decides, and that a run keeps what it began with."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import trainer_runs
from trainer_runs import Lines

from jscc import checkpoints
from jscc.serving.runtime import pick_precision
from trainer import __main__ as command_line
from trainer import execution, prepare, run_folder, settings, trial
from trainer.build import build
from trainer.learner import Learner
from trainer.optimisation import Budget, Optimiser, rate_factor
from trainer.settings import OptimiserSettings, Recipe

OPEN = {"precision": '"auto"', "memory_format": None, "fused": None}
UNUSUAL = {"precision": '"bfloat16"', "memory_format": '"contiguous"', "fused": "false"}
CPU = torch.device("cpu")


@pytest.fixture
def write_recipe(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))

    def write(run: Lines) -> Path:
        data, optimiser = {"validation_photos": "1"}, {"learning_rate": "1e-2"}
        return trainer_runs.write_recipe(tmp_path / "tiny.toml", [photos], data=data, optimiser=optimiser, run=run)

    return write


def run(*words: object) -> None:
    assert command_line.main([str(word) for word in words]) == 0


def records_of(folder: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((folder / "environment.json").read_text())
    return [{key: record[key] for key in ("precision", "memory_format", "fused")} for record in records]


def recipe_with(**values: Any) -> Recipe:
    return Recipe(settings.MethodSettings("deepjscc"), run=settings.RunSettings(**values))


class TestDecision:
    def test_recipes_leave_it_to_the_hardware(self) -> None:
        found = execution.settled(recipe_with(), CPU).run
        usual = pick_precision("auto", "cpu"), "channels_last", True
        assert (found.precision, found.memory_format, found.fused) == usual
        for path in Path("configs").glob("*.toml"):
            assert settings.load(path).run.precision == "auto", path

    def test_what_a_recipe_says_stays(self) -> None:
        said = recipe_with(precision="bfloat16", memory_format="contiguous", fused=False)
        assert execution.settled(said, CPU) == said
        record = {"precision": "float32", "memory_format": "channels_last", "fused": True}
        assert execution.as_recorded(said, record) == said

    def test_what_a_record_lacks_stays_open(self) -> None:
        found = execution.as_recorded(recipe_with(fused=True), {"memory_format": "contiguous", "torch": "2"})
        assert found == recipe_with(fused=True, memory_format="contiguous")
        assert execution.open_keys(found) == ["precision"]

    @pytest.mark.parametrize(
        ("channels_last_s", "contiguous_s", "expected"),
        [
            (1.0, 0.91, "contiguous"),  # channels_last loses, as on cores without bfloat16
            (1.0, 0.98, "channels_last"),  # within the noise of two steps
            (1.0, 1.1, "channels_last"),
        ],
    )
    def test_a_format_must_win_clearly(self, channels_last_s: float, contiguous_s: float, expected: str) -> None:
        times_s = {"channels_last": channels_last_s, "contiguous": contiguous_s}
        assert trial.preferred(times_s, "channels_last") == expected

    def test_nothing_measured_changes_nothing(self) -> None:
        assert trial.preferred({}, "channels_last") == "channels_last"
        assert trial.preferred({}, True) is True


class TestTrial:
    def start(self, recipe_file: Path) -> tuple[Recipe, Any, Any]:
        recipe = settings.load(recipe_file)
        return recipe, build(recipe.method, 0), prepare.load_photos(recipe.data)[0]

    def test_it_settles_all_and_touches_nothing(self, write_recipe: Any) -> None:
        recipe, link, photos = self.start(write_recipe(OPEN))
        before = {name: tensor.clone() for name, tensor in link.state_dict().items()}
        drawn = torch.random.get_rng_state()
        found, measured_s = trial.choose(recipe, link, photos, CPU)
        assert not execution.open_keys(found)
        assert set(measured_s) <= {"channels_last", "contiguous", "fused", "unfused"}
        assert dataclasses.replace(found, run=recipe.run) == recipe
        assert torch.equal(torch.random.get_rng_state(), drawn)
        for name, tensor in link.state_dict().items():
            assert torch.equal(tensor, before[name]), name
        assert all(parameter.grad is None and parameter.is_contiguous() for parameter in link.parameters())

    def test_nothing_is_measured_where_the_recipe_says_all(self, write_recipe: Any) -> None:
        recipe, link, photos = self.start(write_recipe(UNUSUAL))
        assert trial.choose(recipe, link, photos, CPU) == (recipe, {})


class TestLearner:
    def test_it_does_what_the_recipe_says(self, write_recipe: Any) -> None:
        recipe = settings.load(write_recipe(UNUSUAL))
        learner = Learner(recipe, build(recipe.method, 0), prepare.load_photos(recipe.data)[0], CPU)
        assert {group["fused"] for group in learner.optimiser.adamw.param_groups} == {False}
        assert learner.draw_crops().is_contiguous()
        assert all(parameter.is_contiguous() for parameter in learner.link.parameters())

    def test_a_state_does_not_bring_its_kernel(self) -> None:
        module = torch.nn.Linear(2, 2)
        module(torch.ones(1, 2)).sum().backward()
        fused = Optimiser(module, OptimiserSettings(), fused=True)
        fused.step(1e-3)
        unfused = Optimiser(module, OptimiserSettings(), fused=False)
        unfused.load_state_dict(fused.state_dict())
        assert {group["fused"] for group in unfused.adamw.param_groups} == {False}


class TestRun:
    def test_it_is_recorded_and_goes_onto_the_card(self, tmp_path: Path, write_recipe: Any) -> None:
        run("train", write_recipe(UNUSUAL), "--steps", 1, "--out", tmp_path / "run")
        expected = {"precision": "bfloat16", "memory_format": "contiguous", "fused": False}
        assert records_of(tmp_path / "run") == [expected]
        run("export", tmp_path / "run", "--checkpoints", tmp_path / "shipped")
        training = checkpoints.read_card(tmp_path / "shipped" / "deepjscc.json").training
        assert {key: training[key] for key in expected} == {key: [value] for key, value in expected.items()}

    def test_open_choices_are_settled_and_recorded(self, tmp_path: Path, write_recipe: Any) -> None:
        run("train", write_recipe(OPEN), "--steps", 1, "--out", tmp_path / "run")
        (record,) = records_of(tmp_path / "run")
        assert record["precision"] == pick_precision("auto", "cpu")
        assert record["memory_format"] in ("channels_last", "contiguous")
        assert record["fused"] in (True, False)

    def test_a_resumed_run_keeps_what_it_began_with(self, tmp_path: Path, write_recipe: Any) -> None:
        said = write_recipe(UNUSUAL)
        run("train", said, "--steps", 7, "--out", tmp_path / "whole")
        parts, plan = tmp_path / "parts", settings.load(said)
        half = prepare.start(prepare.TrainingPlan(plan, said, parts, Budget(0, 7)))
        for step in range(3):  # the first three of seven steps, as go() does them
            half.learner.step(*rates(plan, step))
        run_folder.save_state(parts, half.learner.state())
        run("train", write_recipe(OPEN), "--steps", 7, "--out", parts, "--resume")
        assert records_of(parts) == 2 * records_of(tmp_path / "whole")
        whole, resumed = (run_folder.load_state(tmp_path / name) for name in ("whole", "parts"))
        for part in ("link", "average"):
            for name, tensor in whole[part].items():
                assert torch.equal(tensor, resumed[part][name]), name

    def test_a_run_that_left_nothing_records_nothing(self, tmp_path: Path, write_recipe: Any) -> None:
        run("train", write_recipe(UNUSUAL), "--steps", 1, "--out", tmp_path / "run")
        (tmp_path / "run" / "last.pt").unlink()
        run("train", write_recipe(UNUSUAL | {"precision": '"float32"'}), "--steps", 1, "--out", tmp_path / "run")
        assert [record["precision"] for record in records_of(tmp_path / "run")] == ["float32"]


def rates(recipe: Recipe, step: int) -> tuple[float, tuple[float, float]]:
    factor = rate_factor(step / 7, recipe.optimiser.warmup_fraction)
    return recipe.optimiser.learning_rate * factor, recipe.snrs_db(step / 7)
