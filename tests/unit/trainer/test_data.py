"""Crops of photos, and how often each photo is drawn."""

from pathlib import Path

import pytest
import torch
from trainer_runs import learner_of, make_photos, write_recipe

from trainer import data

pytestmark = pytest.mark.usefixtures("cache")


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


class TestWeights:
    def test_folders_get_their_share(self, tmp_path: Path) -> None:
        folders = [make_photos(tmp_path / "a", 30, 50), make_photos(tmp_path / "b", 6, 200)]
        learner = learner_of(write_recipe(tmp_path / "r.toml", folders, data={"weights": "[1.0, 3.0]"}))
        names = learner.photos.names
        drawn = learner.photos.at(torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
        from_b = [index for index in drawn.tolist() if names[index].startswith("200")]
        # Binomial(4000, 3/4): standard deviation 27; 5 of them.
        assert abs(len(from_b) - 3000) < 137
        assert len(set(drawn.tolist())) == len(names) == 27
        x = torch.cat([learner.draw_crops() for _ in range(50)])
        assert 0.55 < (x[:, 0, 0, 0] > 0.5).float().mean() < 0.92  # 200 draws: 5 standard deviations are 0.153

    def test_draws_at_the_ends(self, tmp_path: Path) -> None:
        photos = learner_of(write_recipe(tmp_path / "r.toml", [make_photos(tmp_path / "a", 5, 1)])).photos
        ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
        for one in (photos, photos.weighted(torch.tensor([1.0, 0.1, 0.1]))):
            assert one.at(ends).tolist() == [0, 2]
