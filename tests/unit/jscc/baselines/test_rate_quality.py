"""Quality over rate: exact at files, within 0.1 dB between them, the mean colour below the smallest."""

import numpy as np
import pytest

from jscc.baselines import ideal, rate_quality
from jscc.baselines.codecs import qualities, ways
from jscc.baselines.ideal import Choice, CodedImage
from jscc.baselines.rate_quality import Curve, measure
from jscc.data import open_dataset
from jscc.images import Pixels, read_image
from jscc.quality.scores import psnr_db


def photograph(name: str) -> Pixels:
    return next(read_image(image.path) for image in open_dataset("samples").images if image.id.endswith(name))


def test_a_straight_line_over_the_logarithm_of_the_size() -> None:
    curve = Curve(np.array([100.0, 400.0]), np.array([20.0, 30.0]), 12.0)
    found = curve.psnr_db(np.array([0.0, 99.9, 100.0, 200.0, 400.0, 1e9]))
    np.testing.assert_allclose(found, [12.0, 12.0, 20.0, 25.0, 30.0, 30.0])
    assert curve.psnr_db(200.0) == pytest.approx(25.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "motorcycle_left"])
def test_jpeg_is_within_a_tenth_of_a_decibel_of_every_file(name: str) -> None:
    """Of each way by itself; of both together, of the best file within budgets from -5 to 20 dB at its size."""
    image = CodedImage(photograph(name), "jpeg")
    uses = ideal.channel_uses(0.25, *image.pixels.shape[:2])
    most, nothing_db = ideal.budget_bits(uses, 25.0), psnr_db(image.pixels, ideal.mean_colour(image.pixels))
    least = ideal.budget_bits(uses, -5.0)
    for way in ways("jpeg"):
        curve = rate_quality._of_way(image, way, most, nothing_db)
        for choice in (Choice(quality, way) for quality in qualities("jpeg")):
            if least < image.size_bits(choice) < most:
                expected_db = psnr_db(image.pixels, image.decoded(choice))
                assert curve.psnr_db(image.size_bits(choice)) == pytest.approx(expected_db, abs=0.1), choice
    best = measure(image, most)
    for snr_db in np.arange(-5.0, 20.5, 0.5):
        choice = image.best(ideal.budget_bits(uses, snr_db))
        assert choice is not None
        assert best.psnr_db(image.size_bits(choice)) > psnr_db(image.pixels, image.decoded(choice)) - 0.1


def test_some_files_are_enough_and_none_is_made_of_no_interest() -> None:
    image = CodedImage(photograph("coffee"), "jpeg_420")
    most = 8 * 20_000
    curve = measure(image, most)
    assert len(image._files) < 35
    assert sum(curve.sizes_bits > most) <= 3  # one above the limit, and what was halved on the way to it
    assert image.best(int(curve.sizes_bits[0]) - 1) is None


def test_no_file_is_taken_that_is_worse_than_the_mean_colour() -> None:
    flat = CodedImage(np.full((48, 48, 3), 77, np.uint8), "jpeg")
    curve = measure(flat, 1e6)
    assert curve.nothing_db == 100.0
    assert (curve.psnrs_db == 100.0).all()


@pytest.mark.parametrize(
    ("sizes", "values_db", "named"),
    [
        ([], [], "sizes_bits"),
        ([0.0], [20.0], "sizes_bits"),
        ([2.0, 2.0], [20.0, 21.0], "sizes_bits"),
        ([1.0, 2.0], [20.0, 19.0], "psnrs_db"),
        ([1.0], [9.0], "psnrs_db"),
        ([1.0], [20.0, 21.0], "psnrs_db"),
    ],
)
def test_a_curve_that_cannot_be_one_is_named(sizes: list[float], values_db: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Curve(np.array(sizes), np.array(values_db), 10.0)
