"""`environment.json`: what a run runs on and how its steps are executed, one record for each start or resume."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from jscc import machine
from trainer.files import read_json, write_json

FILE = "environment.json"


def write(folder: Path, device: torch.device, processes: int, execution: dict[str, Any], anew: bool = False) -> None:
    """Append a record, or begin with it.

    Args:
        folder: the run's.
        device: where it trains.
        processes: how many share its batches.
        execution: how its steps are executed.
        anew: drop the records that are there: of a run that ended before its first checkpoint.

    Raises:
        OSError: it cannot be written; names it.
    """
    record = _environment(device) | {"processes": processes} | execution
    write_json(folder / FILE, [*([] if anew else read(folder)), record])


def read(folder: Path) -> list[dict[str, Any]]:
    """Read the records; empty when there is no file.

    Raises:
        ValueError: the file is damaged; names it.
    """
    records: list[dict[str, Any]] = read_json(folder / FILE, [])
    return records


def first(folder: Path) -> dict[str, Any]:
    """Return the record of a run's beginning; empty when there is none."""
    return next(iter(read(folder)), {})


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git": _git("rev-parse", "HEAD"),
        "git_changes": len(_git("status", "--porcelain").splitlines()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": hardware(device),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }


def hardware(device: torch.device) -> str:
    """Name a device: the GPU's model, or the CPU's with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{machine.cpu_model()}, {machine.cores()} cores"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
