"""The weights of LPIPS's network, which no package ships."""

import os
from dataclasses import dataclass
from pathlib import Path

from jscc.data.download import DownloadError, data_folders, download, progress_bars, writable_folder

ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
ALEXNET_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"


@dataclass(frozen=True)
class Backbone:
    """Where AlexNet's weights for LPIPS are.

    Attributes:
        path: the file; None if there is none.
        note: one line for the user if there is none.
    """

    path: Path | None
    note: str | None = None


def lpips_backbone() -> Backbone:
    """Find AlexNet's weights, `alexnet_features.pth` or torchvision's file; without either download the latter."""
    downloaded = ALEXNET_URL.rpartition("/")[2]
    for folder in data_folders("lpips"):
        for path in (folder / "alexnet_features.pth", folder / downloaded):
            if os.path.isfile(path):
                return Backbone(path)
    try:
        path = writable_folder("lpips") / downloaded
        with progress_bars() as progress:
            download(ALEXNET_URL, path, ALEXNET_SHA256, progress)
    except DownloadError as error:
        return Backbone(None, f"lpips: the LPIPS columns stay empty, no AlexNet weights ({error})")
    return Backbone(path)
