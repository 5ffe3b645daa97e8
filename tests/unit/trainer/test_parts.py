import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import REPOSITORY
from PIL import Image
from torch import nn

from jscc import checkpoints
from trainer import data, settings, sources
from trainer.export import export_closed_form
from trainer.journal import Journal, read_rows
from trainer.losses import balance, mse_per_image, psnr_db
from trainer.optimisation import (
    Budget,
    Optimiser,
    ema_decay,
    parameter_groups,
    rate_factor,
    update_average,
)
from trainer.settings import OptimiserSettings


def write_recipe(path: Path, text: str) -> Path:
    path.write_text('[method]\nname = "deepjscc"\n' + text)
    return path


def photos_of(*sizes: tuple[int, int]) -> data.Photos:
    """Photos whose red is the row, green the column and blue the photo's number."""
    images = []
    for number, (height_px, width_px) in enumerate(sizes):
        rows = torch.arange(height_px)[:, None].expand(height_px, width_px)
        columns = torch.arange(width_px)[None, :].expand(height_px, width_px)
        images.append(torch.stack([rows, columns, torch.full_like(rows, number)]).to(torch.uint8))
    lengths = torch.tensor([image.numel() for image in images])
    names = tuple(f"{number}.png" for number in range(len(sizes)))
    return data.Photos(
        torch.cat([i.flatten() for i in images]), lengths.cumsum(0) - lengths, torch.tensor(sizes), names
    )


class TestSettings:
    def test_unknown_key_names_file_and_key(self, tmp_path: Path) -> None:
        path = write_recipe(tmp_path / "recipe.toml", "[optimiser]\nlerning_rate = 1.0\n")
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
            settings.load(write_recipe(tmp_path / "recipe.toml", text))

    def test_shipped_recipe_says_everything(self) -> None:
        # A complete file: of what is in force no field is left to its default but the weight of the only loss.
        path = REPOSITORY / "configs" / "deepjscc.toml"
        recipe, text = settings.load(path), path.read_text()
        for table in ("data", "channel", "loss", "optimiser", "run"):
            values = dataclasses.asdict(getattr(recipe, table))
            missing = {name for name, value in values.items() if value and name not in text} - {"pixel_weight"}
            assert not missing


class TestLosses:
    def test_psnr_of_a_known_error(self) -> None:
        x = torch.full((2, 3, 4, 4), 0.5)
        x_hat = x + torch.tensor([0.1, 0.01])[:, None, None, None]
        torch.testing.assert_close(psnr_db(mse_per_image(x_hat, x)), torch.tensor([20.0, 40.0]), rtol=1e-4, atol=0)

    def test_log_mse_weighs_samples_alike(self) -> None:
        mse = torch.tensor([1e-1, 1e-4], requires_grad=True)
        loss = balance(mse, "log_mse", 1e-12)
        assert loss.item() == pytest.approx((math.log(1e-1) + math.log(1e-4)) / 2, rel=1e-5)
        loss.backward()
        assert mse.grad is not None
        # d loss / d log(mse_i) = 1/2 for both.
        torch.testing.assert_close(mse.grad * mse.detach(), torch.tensor([0.5, 0.5]))

    def test_mse_is_the_mean(self) -> None:
        assert balance(torch.tensor([0.1, 0.3]), "mse", 1e-6).item() == pytest.approx(0.2)

    def test_unknown_kind(self) -> None:
        with pytest.raises(ValueError, match="ssim"):
            balance(torch.ones(1), "ssim", 1e-6)


class TestSchedule:
    def test_warm_up_then_cosine_to_zero(self) -> None:
        assert rate_factor(0.0, 0.1) == 0
        assert rate_factor(0.05, 0.1) == pytest.approx(0.5)
        assert rate_factor(0.1, 0.1) == pytest.approx(1.0)
        assert rate_factor(0.55, 0.1) == pytest.approx(0.5)
        assert rate_factor(1.0, 0.1) == pytest.approx(0.0, abs=1e-12)
        assert rate_factor(1.7, 0.1) == pytest.approx(0.0, abs=1e-12)

    def test_no_warm_up_starts_at_the_peak(self) -> None:
        assert rate_factor(0.0, 0.0) == 1.0

    def test_budget_ends_at_its_first_limit(self) -> None:
        assert Budget(0, 10).position(5, 1e9) == 0.5
        assert Budget(10, 0).position(10**9, 300) == 0.5
        assert Budget(10, 100).position(80, 300) == 0.8

    @pytest.mark.parametrize("limits", [(0, 0), (-1, 5)])
    def test_budget_needs_a_limit(self, limits: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="budget"):
            Budget(*limits)


class TestOptimiser:
    def link(self) -> nn.Module:
        return nn.ModuleDict({"head": nn.Conv2d(2, 2, 1), "attention": nn.Linear(2, 2), "heads": nn.PReLU(2)})

    def test_groups(self) -> None:
        link = self.link()
        wanted = OptimiserSettings(weight_decay=0.1, lr_scale={"head": 0.1, "head.bias": 0.5})
        of = {
            id(parameter): (group["scale"], group["weight_decay"])
            for group in parameter_groups(link, wanted)
            for parameter in group["params"]
        }
        found = {name: of[id(parameter)] for name, parameter in link.named_parameters()}
        assert found == {
            "head.weight": (0.1, 0.1),
            "head.bias": (0.5, 0.0),
            "attention.weight": (1.0, 0.0),
            "attention.bias": (1.0, 0.0),
            "heads.weight": (1.0, 0.0),
        }

    def test_scaled_rate_moves_less(self) -> None:
        link = self.link()
        optimiser = Optimiser(link, OptimiserSettings(weight_decay=0.0, lr_scale={"head": 0.1}))
        before = {name: parameter.detach().clone() for name, parameter in link.named_parameters()}
        for parameter in link.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(0.01)
        moved = {name: (before[name] - parameter).abs().mean().item() for name, parameter in link.named_parameters()}
        # Adam's first step has the length of the rate.
        assert moved["attention.weight"] == pytest.approx(0.01, rel=1e-3)
        assert moved["head.weight"] == pytest.approx(0.001, rel=1e-3)

    def test_lr_scale_that_fits_nothing(self) -> None:
        with pytest.raises(ValueError, match="carier"):
            parameter_groups(self.link(), OptimiserSettings(lr_scale={"carier": 0.1}))

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_muon_moves_a_kernel_by_an_orthogonal_matrix(self, memory_format: torch.memory_format) -> None:
        torch.manual_seed(0)
        link = nn.ModuleDict({"blocks": nn.Conv2d(8, 16, 3), "head": nn.Conv2d(8, 16, 1)})
        link.to(memory_format=memory_format)  # type: ignore[call-overload]
        optimiser = Optimiser(link, OptimiserSettings(weight_decay=0.0, muon=("blocks",)))
        before = {name: parameter.detach().clone() for name, parameter in link.named_parameters()}
        for parameter in link.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimiser.step(0.01)
        moved = {name: before[name] - parameter.detach() for name, parameter in link.named_parameters()}
        kernel = moved["blocks.weight"].flatten(1) / 0.01
        # [16, 72] with orthonormal rows, times 0.2 sqrt(72); Newton-Schulz leaves singular values of 0.7..1.2.
        singular = torch.linalg.svdvals(kernel) / (0.2 * 72**0.5)
        assert (singular.min() > 0.6, singular.max() < 1.3) == (True, True)
        gradient = link.get_parameter("blocks.weight").grad
        assert gradient is not None
        assert torch.nn.functional.cosine_similarity(kernel.flatten(), gradient.flatten(1).flatten(), dim=0) > 0.7
        for name in ("blocks.bias", "head.weight"):  # AdamW: a first step has the length of the rate
            assert moved[name].abs().mean().item() == pytest.approx(0.01, rel=1e-3)

    def test_muon_that_fits_nothing(self) -> None:
        with pytest.raises(ValueError, match="muon: 'block' is no part"):
            parameter_groups(self.link(), OptimiserSettings(muon=("block",)))

    def test_average_formula(self) -> None:
        average, module = nn.Linear(1, 1), nn.Linear(1, 1)
        nn.init.constant_(average.weight, 2.0)
        nn.init.constant_(module.weight, 12.0)
        update_average(average, module, 0.9)
        assert average.weight.item() == pytest.approx(0.9 * 2 + 0.1 * 12)
        assert module.weight.item() == 12.0

    def test_average_forgets_the_start(self) -> None:
        assert ema_decay(0, 0.999) == pytest.approx(0.1)
        assert ema_decay(90, 0.999) == pytest.approx(0.91)
        assert ema_decay(10**6, 0.999) == 0.999


class TestCrops:
    def test_crops_are_inside_one_photo(self) -> None:
        photos = photos_of((20, 40), (33, 16), (16, 16))
        crops = data.Crops(crop_px=16, batch_size=300, flips=False, rotations=False)
        x = crops.draw(photos, torch.Generator().manual_seed(0))
        assert x.shape == (300, 3, 16, 16)
        assert x.dtype == torch.float32
        rows, columns, number = (255 * x).round().long().unbind(1)
        sizes = photos.sizes[number[:, 0, 0]]
        assert (number == number[:, :1, :1]).all()
        assert set(number[:, 0, 0].tolist()) == {0, 1, 2}
        assert (rows[:, 1:] - rows[:, :-1] == 1).all()
        assert (columns[:, :, 1:] - columns[:, :, :-1] == 1).all()
        assert (rows.amax((1, 2)) < sizes[:, 0]).all()
        assert (columns.amax((1, 2)) < sizes[:, 1]).all()
        # Every place is drawn, the first and the last included: 25 columns among about 100 draws of photo 0.
        wide = columns[number[:, 0, 0] == 0][:, 0, 0]
        assert (wide.min(), wide.max()) == (0, 24)

    def test_values_span_zero_to_one(self) -> None:
        photos = photos_of((16, 16))
        photos.pixels[:] = torch.tensor([0, 255]).repeat(len(photos.pixels) // 2)
        x = data.Crops(16, 1, False, False).draw(photos, torch.Generator().manual_seed(0))
        assert (x.min(), x.max()) == (0, 1)

    def test_flips_and_rotations(self) -> None:
        photos = photos_of((16, 16))
        image = photos.image(0).float() / 255
        expected = [turned for k in range(4) for turned in (image.rot90(k, (1, 2)), image.flip(2).rot90(k, (1, 2)))]
        x = data.Crops(16, 200, True, True).draw(photos, torch.Generator().manual_seed(0))
        seen = [{index for index, one in enumerate(expected) if torch.equal(crop, one)} for crop in x]
        assert all(len(found) == 1 for found in seen)
        assert set.union(*seen) == set(range(8))

    def test_flips_only_mirror_left_to_right(self) -> None:
        photos = photos_of((16, 16))
        image = photos.image(0).float() / 255
        x = data.Crops(16, 50, True, False).draw(photos, torch.Generator().manual_seed(0))
        flipped = [torch.equal(crop, image.flip(2)) for crop in x]
        assert all(flip or torch.equal(crop, image) for flip, crop in zip(flipped, x, strict=True))
        assert 10 < sum(flipped) < 40

    def test_photo_smaller_than_the_crop(self) -> None:
        with pytest.raises(ValueError, match=r"1\.png \(16x33\)"):
            data.require_side(photos_of((20, 40), (33, 16)), 17)

    def test_centre_crop(self) -> None:
        pixels = data.centre_crop(photos_of((20, 40)).image(0), 10)
        assert pixels.shape == (10, 10, 3)
        assert tuple(pixels[0, 0]) == (5, 15, 0)
        assert data.centre_crop(photos_of((20, 8)).image(0), 10).shape == (10, 8, 3)


class TestPhotos:
    def folder(self, path: Path, count: int) -> Path:
        draw = np.random.default_rng(0)
        for number in range(count):
            (path / f"part{number % 2}").mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 256, (24 + number, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"part{number % 2}" / f"{number:03}.png")
        return path

    def test_pixels_are_those_of_the_files(self, tmp_path: Path) -> None:
        paths = list(sources.find((str(self.folder(tmp_path / "photos", 4)),)))
        assert [path.name for path in paths] == ["000.png", "001.png", "002.png", "003.png"]
        first = sources.load(paths, tmp_path / "cache")
        for photos in (first, sources.load(paths, tmp_path / "cache")):
            for index, path in enumerate(paths):
                expected = np.asarray(Image.open(path)).transpose(2, 0, 1)
                np.testing.assert_array_equal(photos.image(index).numpy(), expected)
            assert photos.subset([2]).image(0).shape == (3, 26, 32)

    def test_cache_is_used_and_keyed_by_the_files(self, tmp_path: Path) -> None:
        paths = list(sources.find((str(self.folder(tmp_path / "photos", 3)),)))
        sources.load(paths, tmp_path / "cache")
        (pixels_file,) = (tmp_path / "cache").glob("*.npy")
        np.save(pixels_file, np.zeros_like(np.load(pixels_file)))
        assert sources.load(paths, tmp_path / "cache").pixels.sum() == 0
        assert sources.load(paths[:2], tmp_path / "cache").pixels.sum() > 0

    def test_all_bad_photos_are_listed_and_nothing_is_left(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path / "photos", 4)
        for name in ("part0/000.png", "part1/003.png"):
            (folder / name).write_text("no image")
        with pytest.raises(ValueError, match=r"2 of 4 photos cannot be read") as caught:
            sources.load(list(sources.find((str(folder),))), tmp_path / "cache")
        assert [Path(line.split(":")[0].strip()).name for line in str(caught.value).splitlines()[1:]] == [
            "000.png",
            "003.png",
        ]
        assert not list((tmp_path / "cache").iterdir())

    def test_folder_or_pipe_with_the_name_of_a_photo_is_none(self, tmp_path: Path) -> None:
        self.folder(tmp_path, 2)
        (tmp_path / "album.png").mkdir()
        os.mkfifo(tmp_path / "pipe.png")
        assert [path.name for path in sources.find((str(tmp_path),))] == ["000.png", "001.png"]

    def test_split_is_disjoint_complete_and_independent_of_order(self) -> None:
        names = tuple(f"{number:03}.webp" for number in range(847))
        training, validation = sources.split(names, 25)
        assert len(validation) == 34
        assert sorted(training + validation) == list(range(847))
        backwards, held_out = sources.split(names[::-1], 25)
        assert {names[index] for index in validation} == {names[::-1][index] for index in held_out}
        assert len(backwards) == len(training)

    def test_spread(self) -> None:
        assert sources.spread(34, 16) == sorted(set(sources.spread(34, 16)))
        assert len(sources.spread(34, 16)) == 16
        assert sources.spread(3, 16) == [0, 1, 2]

    def test_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            sources.find((str(tmp_path / "nowhere"),))

    def test_empty_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=str(tmp_path)):
            sources.find((str(tmp_path),))

    def test_no_folder_at_all_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JSCC_DATA", raising=False)
        with pytest.raises(ValueError, match="JSCC_DATA"):
            sources.find(())

    def test_a_photo_is_found_once(self, tmp_path: Path) -> None:
        self.folder(tmp_path, 3)
        (tmp_path / ".0.png").write_text("what a file manager leaves")
        assert len(sources.find((str(tmp_path), str(tmp_path / "part0")))) == 3

    def test_default_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder(tmp_path / "train", 2)
        monkeypatch.setenv("JSCC_DATA", str(tmp_path))
        assert len(sources.find(())) == 2


class TestJournal:
    def row(self, step: int) -> dict[str, float]:
        columns = ("elapsed_s", "crops", "learning_rate", "loss", "psnr_db", "gradient_norm", "crops_per_s")
        return {"step": step, **dict.fromkeys(columns, 0.125)}

    def test_rows_after_the_checkpoint_are_dropped(self, tmp_path: Path) -> None:
        with Journal(tmp_path, 0, (5.0,), tensorboard=False) as journal:
            for step in (10, 20, 30):
                journal.log(self.row(step))
        with (tmp_path / "log.csv").open("a") as file:
            file.write("40,0.1")  # torn by a kill
        with Journal(tmp_path, 20, (5.0,), tensorboard=False) as journal:
            journal.log(self.row(30))
        assert [row["step"] for row in read_rows(tmp_path / "log.csv")] == [10, 20, 30]
        assert (tmp_path / "log.csv").read_text().splitlines()[1] == "10" + ",0.125" * 7


def test_a_closed_form_method_is_exported_from_its_recipe(tmp_path: Path) -> None:
    card = export_closed_form(Path("configs/softcast.toml"), tmp_path)
    assert (card.label, card.family) == ("SoftCast", "analog")
    assert (card.name, card.method) == ("softcast", "softcast")
    for half in ("transmitter", "receiver"):
        assert not list(checkpoints.load(tmp_path, card, half).parameters())
    with pytest.raises(ValueError, match="'deepjscc' has parameters"):
        export_closed_form(Path("configs/deepjscc.toml"), tmp_path)


def test_what_figures_call_a_checkpoint_is_no_part_of_its_training() -> None:
    named = settings.MethodSettings("softcast", label="SoftCast", family="analog")
    assert named == settings.MethodSettings("softcast")
    with pytest.raises(ValueError, match=r"^family must be one of learned, analog, digital, got 'magic'$"):
        settings.MethodSettings("softcast", family="magic")
    with pytest.raises(ValueError, match=r"^label must have at most 60 characters"):
        settings.MethodSettings("softcast", label="x" * 61)
