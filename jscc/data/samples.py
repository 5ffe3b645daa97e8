"""Five colour photographs that come with the package and need no network; photographs/NOTICE says whose they are."""

from pathlib import Path

from jscc.data.dataset import Dataset, listed

FOLDER = Path(__file__).with_name("photographs")
FILES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def open_samples() -> Dataset:
    """Return the set of the shipped photographs."""
    return listed("samples", FOLDER, FILES)
