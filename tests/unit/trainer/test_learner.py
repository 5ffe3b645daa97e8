"""Steps of the training: their SNRs, and that none waits for the device."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from trainer_runs import KLTJSCC, MODEL_BASED, STAGES, learner_of, make_photos, write_recipe

from jscc.channels.awgn import Awgn
from trainer import __main__ as command_line
from trainer.learner import Learner

pytestmark = pytest.mark.usefixtures("cache")


class TestCurriculum:
    def test_a_run_goes_through_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe_file = write_recipe(tmp_path / "r.toml", [make_photos(tmp_path / "a", 6, 9)], more=STAGES)
        drawn: list[torch.Tensor] = []
        draw = Learner.draw_snrs_db
        monkeypatch.setattr(Learner, "draw_snrs_db", lambda *it: (drawn.append(draw(*it)), drawn[-1])[1])
        arguments = ["train", str(recipe_file), "--steps", "16", "--out", str(tmp_path / "run")]
        assert command_line.main(arguments) == 0
        assert len(drawn) == 16
        assert torch.cat(drawn[:4]).unique().tolist() == [14.0]
        middle, last = torch.cat(drawn[4:8]), torch.cat(drawn[8:])
        assert 5 <= middle.min() < middle.max() <= 21
        assert last.min() < 5  # 32 draws of which 41 % are below 5 dB: fails once in 2e7


class NoWaiting(TorchDispatchMode):
    """Refuses what would wait for a GPU: reading a value, or a shape that depends on values."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert not any(name.startswith(waiting) for waiting in self.WAITING), f"the step waits: {func}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"more": '[loss]\nkind = "snr_balanced_mse"\nreference_snr_db = [0.0, 9.0]\nreference_mse = [0.1, 0.01]\n'},
        {"more": "[loss]\nms_ssim_weight = 0.3\n"},
        {"method": "kltjscc", "config": KLTJSCC},
        {"method": "model_based", "config": MODEL_BASED},
    ],
)
def test_a_step_does_not_wait_for_the_device(
    tmp_path: Path, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_photos(tmp_path / "a", 6, 9)
    recipe_file = write_recipe(tmp_path / "r.toml", [folder], data={"weights": "[1.0]"}, **values)
    learner = learner_of(recipe_file)
    monkeypatch.setattr(Awgn, "__post_init__", lambda self: None)  # what it checks on the CPU it skips elsewhere
    learner.step(1e-3, (-6.0, 21.0))
    with NoWaiting():
        learner.step(1e-3, (-6.0, 21.0))
        with pytest.raises(AssertionError, match="the step waits"):
            learner.take_means()
