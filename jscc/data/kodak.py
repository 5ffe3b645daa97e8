"""Kodak, 24 photographs of 768x512 or 512x768 px, the field's common test set; downloaded at first use."""

import hashlib
import os
from pathlib import Path

from jscc.data.dataset import Dataset, DatasetError, listed
from jscc.data.download import DownloadError, data_folders, download, progress_bars, writable_folder
from jscc.data.samples import open_samples

NAME = "kodak"
URL = "https://r0k.us/graphics/kodak/kodak/"

_SHA256 = (
    "6b4fbe6f3e8e0e20150d5b0c32248bf072e22b5989d415f96f796c5b7004a70f",
    "1788370471429d992750a09caf6702ac74e56962447de02520d4b161738c0369",
    "b9c800ee568f0b18c983817df08d9f7f24a7ddb3abfdc31bde9234c4fde83137",
    "0c60c62599ad33fd78b29c36013fbe4120946f6c327c0ef0ec6983297fb48d23",
    "ccf694ceb6bbf431e0009ed0d5573a8ff0915095b69ddfb527b91d8325897f5e",
    "f4212cc927d1d579c712843cf8320c7eccb571e5ea80456022ffe99d67e9cd5d",
    "7cdd6d63ae0a245f6f9d983d740e11c6808c2efc24f8351aad9b5f676c27b55a",
    "5a6a089bdb47605287c00d89ebf2a5312981eb998c94b5853d917c93a9066cdb",
    "4d8d801592aeaf446978bbd1c83b76c498242d0f684769311a4e7248289500bf",
    "7aca487dc83db732a5690b7affe8558e9dadf5bb44a4589ba2b607480a07228b",
    "c7c02bd6e942d1181518e3ce2d97cf0451e4494a5e9d6ddee276940e4875d746",
    "df571f5e66d1aefd764ea77855e81e3be61528c34962a0fd1d50557502162c1e",
    "797949ce1152ef157ff0a1231c95cb8ed7641615e0b0f5f77f851a44aee19e8d",
    "08a1898d5702f32e7d9f94a94651d74a62cb9325475775a558b388c8d98f1846",
    "416c475f39b0eb9203ce7f77d2af8824f5bffc1a86a4605865017f04c41639b9",
    "5d03303693decdf7a1e1e930b5ca6684283aa80a9e7d8d6a842a74fa5f790640",
    "19d90e98e5835efae20a6e17e22e5ac6814ee2c8efb32d188ea4359abaf9f5bd",
    "83df267dfec61e9b9d3756c422502160b2fab595650c73a8b12940540ad09ec5",
    "86560efe85a13413b228ef7e42dde0d439b25a94fb8e2d6fb1dc1631cf48853b",
    "1ae187d92b3a4483b6717f7fd08592846ffdfc340c6424f6756627a27f3d8ea7",
    "26e193795108c4b5ec47206ae4ff07a353d2492947f7a7ae8d380e042b74027b",
    "627b76fccf714b4ddffb739b2eb63ba2817cf5b5a8e222079542dcf2cfdda939",
    "85c67d7ea758cb0604fb6980ab0c65091a2eefa7b3b50cbb1bc702a60206dfe5",
    "9f1c26df52217bd49f998a720a2ffeba41a535cf826f4ae32e355fb2b0bbc0fe",
)
FILES = {f"kodim{number:02d}.png": digest for number, digest in enumerate(_SHA256, start=1)}
"""The files and their SHA-256."""


def open_kodak() -> Dataset:
    """Find the photographs, download what is missing of them; the samples take their place without a network.

    Raises:
        DatasetError: a file is damaged or cannot be read; names it.
    """
    folder = next((folder for folder in data_folders(NAME) if not _missing(folder)), None)
    if folder is None:
        try:
            folder = _download()
        except DownloadError as error:
            samples = open_samples()
            return Dataset(samples.name, samples.images, f"dataset: samples instead of kodak ({error})")
    for file, expected in FILES.items():
        _check(folder / file, expected)
    return listed(NAME, folder, FILES)


def _missing(folder: Path) -> list[str]:
    return [file for file in FILES if not os.path.isfile(folder / file)]


def _download() -> Path:
    folder = writable_folder(NAME)
    with progress_bars() as progress:
        for file in _missing(folder):
            download(URL + file, folder / file, FILES[file], progress)
    return folder


def _check(path: Path, expected: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"dataset kodak: {path} cannot be read ({error.strerror})") from error
    if found != expected:
        raise DatasetError(f"dataset kodak: {path} is damaged (SHA-256 differs); delete it")
