"""What a run writes while it runs: CSV, TensorBoard, pictures, a progress bar."""

import csv
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Never

from tqdm import tqdm

from jscc.images import Pixels, write_image

LOG_FILE = "log.csv"
VALIDATION_FILE = "validation.csv"
SAMPLES_FOLDER = "samples"
LOG_COLUMNS = ("step", "elapsed_s", "crops", "learning_rate", "loss", "psnr_db", "gradient_norm", "crops_per_s")

_TERMINAL_INTERVAL_S = 0.5
_FILE_INTERVAL_S = 10.0


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
        for file in self._samples.glob("step_*.png"):
            if int(file.stem.removeprefix("step_")) > last_step:
                file.unlink()
        columns = ["step", "elapsed_s", "mean_psnr_db", *(snr_column(snr_db) for snr_db in snrs_db)]
        _start(self._validation, columns, last_step)
        self._writer = _summary_writer(folder / "tensorboard", last_step) if tensorboard else None
        self._bar: tqdm[Never] = tqdm(
            total=100.0,
            mininterval=interval_s(),
            maxinterval=float("inf"),
            miniters=0,
            smoothing=0,
            bar_format="{percentage:5.1f}% |{bar:20}| {elapsed}<{remaining}{postfix}",
        )

    def __enter__(self) -> "Journal":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the bar and the event file."""
        self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def begin(self, position: float) -> None:
        """Tell the bar where a resumed run stands (0..1), so that the time left is right."""
        self._bar.reset()
        self._bar.initial = self._bar.n = self._bar.last_print_n = 100 * position

    def progress(self, position: float) -> None:
        """Move the bar to a position 0..1."""
        self._bar.update(100 * min(position, 1.0) - self._bar.n)

    def log(self, row: dict[str, float]) -> None:
        """Write one row of log.csv, keys as in LOG_COLUMNS and the loss's terms."""
        _append(self._log, {column: row[column] for column in self._log_columns})
        text = f"step {row['step']:.0f} loss {row['loss']:.3f} {row['crops_per_s']:.1f} crops/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._scalars("train", row)

    def validation(self, row: dict[str, float]) -> None:
        """Write one row of validation.csv and say it."""
        _append(self._validation, row)
        self._scalars("validation", row)
        self.say("validation: " + "  ".join(f"{key} {value:.2f}" for key, value in row.items() if "psnr" in key))

    def samples(self, step: int, picture: Pixels) -> None:
        """Write a picture [H, W, 3] of what is received after some steps."""
        self._samples.mkdir(exist_ok=True)
        write_image(self._samples / f"step_{step:08}.png", picture)
        if self._writer is not None:
            self._writer.add_image("validation/samples", picture, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        self._bar.write(text, file=sys.stderr)

    def _scalars(self, group: str, row: dict[str, float]) -> None:
        if self._writer is None:
            return
        for key, value in row.items():
            if key != "step":
                self._writer.add_scalar(f"{group}/{key}", value, int(row["step"]))


class Silence:
    """A journal that writes nothing: that of all processes of a team but the first."""

    def __enter__(self) -> "Silence":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Do nothing."""

    def begin(self, position: float) -> None:
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


def interval_s() -> float:
    """Return the time between two updates of a bar: short on a terminal, long in a log file."""
    return _TERMINAL_INTERVAL_S if sys.stderr.isatty() else _FILE_INTERVAL_S


def snr_column(snr_db: float) -> str:
    """Return the name of an SNR's column in validation.csv."""
    return f"psnr_at_{snr_db:g}_db"


def read_rows(path: Path) -> list[dict[str, float]]:
    """Read a CSV file of numbers; empty when there is none."""
    return [{key: float(value) for key, value in row.items()} for row in _read(path)]


def _read(path: Path) -> list[dict[str, str]]:
    """Read the complete rows; the last line may be torn when its writer was killed."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row.values()) and None not in row]


def _start(path: Path, columns: list[str], last_step: int) -> None:
    kept = [row for row in _read(path) if float(row["step"]) <= last_step]
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(kept)
    os.replace(temporary, path)


def _append(path: Path, row: dict[str, float]) -> None:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, list(row)).writerow(row)


def _summary_writer(folder: Path, last_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("tensorboard is not installed: no event files, log.csv has the same numbers", file=sys.stderr)
        return None
    return SummaryWriter(str(folder), purge_step=last_step + 1)
