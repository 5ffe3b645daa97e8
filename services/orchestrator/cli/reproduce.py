"""`jscc-link send --row`: what a row of a sweep sent, once more."""

from pathlib import Path

from jscc.data import open_dataset
from services.orchestrator.link.job import Job
from services.orchestrator.results.rows import Row
from services.orchestrator.results.store import DATABASE, Store


def job_of_row(folder: Path, number: int) -> tuple[Path, Job, Row]:
    """Return the image, the job and the row of a line of a run's results.csv.

    Args:
        folder: of the run.
        number: of the row, from 1 in the order of results.csv.

    Raises:
        FileNotFoundError: there is no database.
        ValueError: there is no such row, or its image is no longer there.
        StoreError: the database cannot be read.
    """
    if not (folder / DATABASE).is_file():
        raise FileNotFoundError(f"{folder / DATABASE} is missing: no sweep has written its results there")
    with Store(folder / DATABASE) as store:
        rows, settings = store.rows(), store.settings()
    if not 1 <= number <= len(rows):
        raise ValueError(f"--row: {number} is outside 1..{len(rows)}, the rows of {folder}")
    row = rows[number - 1]
    images = {image.id: image.path for image in open_dataset(settings.get("images_in", row.dataset)).images}
    if row.image not in images:
        raise ValueError(f"--row: the image {row.image} is not in {settings.get('images_in', row.dataset)} any more")
    job = Job(
        image_id=row.image,
        method=row.method,
        snr_db=row.snr_db,
        told_snr_db=row.told_snr_db,
        air=row.air,
        options=row.options,
        root_seed=int(settings["seed"]),
        draw=row.draw,
    )
    return images[row.image], job, row


def difference(kept: Row, now: Row) -> str:
    """Return in one line how two transmissions of one job differ, "" where they do not.

    Quality may differ by the rounding of another processor: 0.005 dB.
    """
    found = [
        f"{name}: {getattr(kept, name)} in the row, {getattr(now, name)} now"
        for name in ("image_digest", "transmitter_checkpoint", "checkpoint", "noise_digest")
        if getattr(kept, name) not in ("", getattr(now, name))
    ]
    if kept.psnr_db is not None and now.psnr_db is not None and abs(kept.psnr_db - now.psnr_db) > 0.005:
        found.append(f"psnr_db: {kept.psnr_db:.3f} in the row, {now.psnr_db:.3f} now")
    return "; ".join(found)
