"""DIV2K, 800 photographs of about 2040 px for training, downloaded at first use.

Source: E. Agustsson and R. Timofte, "NTIRE 2017 Challenge on Single Image Super-Resolution: Dataset and Study", CVPR
Workshops 2017. For research only: https://data.vision.ee.ethz.ch/cvl/DIV2K/.
"""

import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from jscc.data.download import Bars, DownloadError, data_folders, download, writable_folder

NAME = "div2k"
URL = "http://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip"
SHA256 = "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"
"""Of the 3 530 603 713 bytes. Source: the checksums that TensorFlow Datasets keeps (url_checksums/div2k.txt)."""
PHOTOS = 800

_FOLDER = "DIV2K_train_HR"


def open_folder(progress: Bars) -> Path:
    """Return the folder of the photos `0001.png` to `0800.png`; download and unpack them if they are missing.

    They are looked for in `$JSCC_DATA/div2k/DIV2K_train_HR`, then in the same folder of the cache.

    Args:
        progress: shows bars meanwhile.

    Raises:
        DownloadError: no connection, a wrong checksum, a damaged archive, other than 800 photos, or no space.
    """
    for root in data_folders(NAME):
        if len(list((root / _FOLDER).glob("*.png"))) == PHOTOS:
            return root / _FOLDER
    root = writable_folder(NAME)
    archive = root / f"{_FOLDER}.zip"
    if not archive.is_file():
        download(URL, archive, SHA256, progress)
    _unpack(archive, root / _FOLDER, progress)
    archive.unlink()
    return root / _FOLDER


def _unpack(archive: Path, target: Path, progress: Bars) -> None:
    """Write the archive's photos into a folder that appears complete or not at all; zipfile checks every CRC."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        with zipfile.ZipFile(archive) as files:
            photos = [entry for entry in files.infolist() if entry.filename.endswith(".png")]
            if len(photos) != PHOTOS:
                raise DownloadError(f"{archive}: {len(photos)} photos in it, expected {PHOTOS}; delete it")
            task = progress.add_task(f"unpacking {archive.name}", total=sum(entry.file_size for entry in photos))
            for entry in photos:  # by their last names: nothing is written outside the folder
                with files.open(entry) as source, (part / PurePosixPath(entry.filename).name).open("wb") as file:
                    shutil.copyfileobj(source, file)
                progress.advance(task, entry.file_size)
            progress.remove_task(task)
        shutil.rmtree(target, ignore_errors=True)
        part.replace(target)
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise DownloadError(f"{archive}: cannot be unpacked ({error}); delete it") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
