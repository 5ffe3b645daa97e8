"""Data: evaluation images, training photographs and the weights of LPIPS. Importing it is cheap."""

from jscc.data.dataset import Dataset, DatasetError, ImageRef, check_images, unreadable
from jscc.data.download import Bars, DownloadError
from jscc.data.folders import is_image
from jscc.data.named import names, open_dataset, open_offered
from jscc.data.weights import Backbone, lpips_backbone

__all__ = [
    "Backbone",
    "Bars",
    "Dataset",
    "DatasetError",
    "DownloadError",
    "ImageRef",
    "check_images",
    "is_image",
    "lpips_backbone",
    "names",
    "open_dataset",
    "open_offered",
    "unreadable",
]
