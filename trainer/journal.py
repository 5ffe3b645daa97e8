"""What a run writes while it runs: CSV, TensorBoard, pictures, how far it is."""

import csv
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from jscc.images import Pixels, write_image
from trainer import progress
from trainer.events import Events
from trainer.files import naming

LOG_FILE = "log.csv"
VALIDATION_FILE = "validation.csv"
SAMPLES_FOLDER = "samples"
LOG_COLUMNS = ("step", "elapsed_s", "crops", "learning_rate", "loss", "psnr_db", "gradient_norm", "crops_per_s")


class Journal:
    """Writes rows and scalars; a context manager that closes what it opened."""

    def __init__(
        self,
        folder: Path,
        last_step: int,
        snrs_db: tuple[float, ...],
        tensorboard: bool,
        loss_terms: tuple[str, ...] = (),
    ) -> None:
        """Open the logs of a run.

        Args:
            folder: the run's folder.
            last_step: later rows are dropped: they come from steps after the checkpoint that the run goes on from.
            snrs_db: the columns of validation.csv.
            tensorboard: write event files too.
            loss_terms: further columns of log.csv.
        """
        self._log = folder / LOG_FILE
        self._validation = folder / VALIDATION_FILE
        self._samples = folder / SAMPLES_FOLDER
        self._log_columns = (*LOG_COLUMNS, *loss_terms)
        _start(self._log, list(self._log_columns), last_step)
        for file in self._samples.glob(f"step_{'[0-9]' * 8}.png"):
            if int(file.stem.removeprefix("step_")) > last_step:
                file.unlink()
        columns = ["step", "elapsed_s", "mean_psnr_db", *(snr_column(snr_db) for snr_db in snrs_db)]
        _start(self._validation, columns, last_step)
        self._opened = ExitStack()
        self._shown = self._opened.enter_context(progress.shown())
        self._events = Events(folder / "tensorboard", last_step, self.say) if tensorboard else None
        self._text = "training"
        self._task = self._shown.add_task(self._text, total=100.0)

    def __enter__(self) -> "Journal":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the bar and the event file."""
        if self._events is not None:
            self._events.close()
        self._opened.close()

    def progress(self, position: float) -> None:
        """Tell that the run is at a position 0..1."""
        self._shown.tell(self._task, 100 * min(position, 1.0), self._text)

    def log(self, row: dict[str, float]) -> None:
        """Write one row of log.csv, keys as in LOG_COLUMNS and the loss's terms."""
        _append(self._log, {column: row[column] for column in self._log_columns})
        self._text = f"step {row['step']:.0f} loss {row['loss']:.3f} {row['crops_per_s']:.1f} crops/s"
        self._scalars("train", row)

    def validation(self, row: dict[str, float]) -> None:
        """Write one row of validation.csv and say it."""
        _append(self._validation, row)
        self._scalars("validation", row)
        self.say("validation: " + "  ".join(f"{key} {value:.2f}" for key, value in row.items() if "psnr" in key))

    def samples(self, step: int, picture: Pixels) -> None:
        """Write a picture [H, W, 3] of what is received after some steps."""
        file = self._samples / f"step_{step:08}.png"
        with naming(file):
            self._samples.mkdir(exist_ok=True)
            write_image(file, picture)
        if self._events is not None:
            self._events.picture("validation/samples", picture, step)

    def say(self, text: str) -> None:
        """Write a line without breaking the bar."""
        self._shown.say(text)

    def _scalars(self, group: str, row: dict[str, float]) -> None:
        for key, value in row.items():
            if key != "step" and self._events is not None:
                self._events.scalar(f"{group}/{key}", value, int(row["step"]))


class Silence:
    """A journal that writes nothing: that of all processes of a team but the first."""

    def __enter__(self) -> "Silence":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Do nothing."""

    def progress(self, position: float) -> None:
        """Do nothing."""

    def log(self, row: dict[str, float]) -> None:
        """Do nothing."""

    def validation(self, row: dict[str, float]) -> None:
        """Do nothing."""

    def samples(self, step: int, picture: Pixels) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


def snr_column(snr_db: float) -> str:
    """Return the name of an SNR's column in validation.csv."""
    return f"psnr_at_{snr_db:g}_db"


def read_rows(path: Path) -> list[dict[str, float]]:
    """Read a CSV file of numbers; empty when there is none."""
    return [{key: float(value) for key, value in row.items()} for row in _read(path)]


def _read(path: Path) -> list[dict[str, str]]:
    """Read the rows that are whole; a line may be torn when its writer was killed or the disk was full."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [row for row in csv.DictReader(file) if None not in row and all(map(_is_number, row.values()))]


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _start(path: Path, columns: list[str], last_step: int) -> None:
    kept = [row for row in _read(path) if float(row["step"]) <= last_step]
    temporary = path.with_name(path.name + ".tmp")
    with naming(path), temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(kept)
    os.replace(temporary, path)


def _append(path: Path, row: dict[str, float]) -> None:
    with naming(path), path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, list(row)).writerow(row)
