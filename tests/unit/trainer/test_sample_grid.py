"""Sample pictures, and what else a run shows of itself."""

from pathlib import Path

import numpy as np
import pytest
from trainer_runs import make_photos, write_recipe

from jscc.images import read_image
from trainer import __main__ as command_line
from trainer import sample_grid as samples
from trainer.journal import read_rows

pytestmark = pytest.mark.usefixtures("cache")


class TestSamples:
    def test_grid(self) -> None:
        originals = [np.full((20, 30, 3), 10, np.uint8), np.full((10, 30, 3), 20, np.uint8)]
        received = [np.full_like(photo, 100 + index) for index, photo in enumerate(originals)]
        picture = samples.grid(originals, {-5.0: received})[14:]  # below the captions
        values, counts = np.unique(picture[..., 1], return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        assert [found[value] for value in (10, 20, 100, 101)] == [600, 300, 600, 300]
        # The original stands left of what is received, photos one below the other.
        assert picture[:, :34, 1][picture[:, :34, 1] == 10].size == 600
        assert np.argwhere(picture[..., 1] == 101)[:, 0].min() > np.argwhere(picture[..., 1] == 100)[:, 0].max()

    def test_a_run_writes_pictures_terms_and_events(self, tmp_path: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        loss = '[loss]\nkind = "mse"\npixel_weight = 0.7\nms_ssim_weight = 0.3\n'
        recipe_file = write_recipe(
            tmp_path / "r.toml", [make_photos(tmp_path / "a", 6, 9)], more=loss, run={"tensorboard": "true"}
        )
        arguments = ["train", str(recipe_file), "--steps", "2", "--out", str(tmp_path / "run")]
        assert command_line.main(arguments) == 0
        pictures = sorted((tmp_path / "run" / "samples").iterdir())
        assert [path.name for path in pictures] == ["step_00000000.png", "step_00000002.png"]
        assert read_image(pictures[0]).shape[1] > 4 * 32
        for row in read_rows(tmp_path / "run" / "log.csv"):
            assert row["loss"] == pytest.approx(0.7 * row["loss_pixel"] + 0.3 * row["loss_ms_ssim"], rel=1e-5)
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
        events.Reload()
        tags = events.Tags()
        assert {"train/learning_rate", "train/loss", "train/loss_ms_ssim"} <= set(tags["scalars"])
        assert {f"validation/psnr_at_{snr_db}_db" for snr_db in (-5, 0, 5, 10, 15, 20)} <= set(tags["scalars"])
        assert [image.step for image in events.Images("validation/samples")] == [0, 2]
