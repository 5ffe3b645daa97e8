"""The tables of 3GPP TR 38.901 for links: tapped and clustered delay lines, as the library Sionna has them.

They are read from its files, without importing it, which takes seconds and holds a random generator for all.

Source: 3GPP TR 38.901 V19.2.0, tables 7.7.1-1 to 7.7.1-5 and 7.7.2-1 to 7.7.2-5; J. Hoydis et al., "Sionna: An
Open-Source Library for Next-Generation Physical Layer Research", 2022.
"""

import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jscc.channels import MissingExtraError

MODELS = ("A", "B", "C", "D", "E")
_TABLES = Path("phy", "channel", "tr38901", "models", "v19_2")


@dataclass(frozen=True)
class Profile:
    """A delay line.

    Attributes:
        delays: float64 [paths], over the delay spread.
        powers: float64 [paths]; they add up to 1, that of the line of sight included.
        has_line_of_sight: whether the first path is one.
        table: all that the file has, such as the angles of clusters.
    """

    delays: Tensor
    powers: Tensor
    has_line_of_sight: bool
    table: dict[str, Any]


def check(channel: str) -> None:
    """Check that the tables are there.

    Raises:
        MissingExtraError: they are not.
    """
    if _folder() is None:
        raise MissingExtraError(f"channel {channel}: needs the extra `radio`: pip install 'jscc-link[radio]'")


@lru_cache
def profile(kind: str, model: str) -> Profile:
    """Return the delay line "TDL" or "CDL" of a letter of MODELS; `check` has been asked before."""
    folder = _folder()
    assert folder is not None
    table = json.loads((folder / f"{kind}-{model}.json").read_text(encoding="utf-8"))
    with torch.inference_mode(mode=False):
        powers = 10 ** (torch.tensor(table["powers"], dtype=torch.float64) / 10)
        delays = torch.tensor(table["delays"], dtype=torch.float64)
        return Profile(delays, powers / powers.sum(), bool(table["los"]), table)


def _folder() -> Path | None:
    found = importlib.util.find_spec("sionna")
    places = (found.submodule_search_locations or []) if found else []
    return next((Path(place) / _TABLES for place in places if (Path(place) / _TABLES).is_dir()), None)
