"""Threads, device and precision of a process that runs networks: services and trainer decide alike, here."""

import re
from collections.abc import Callable

import torch

from jscc import machine
from jscc.machine import DEVICE_PATTERN, PRECISIONS


def start_torch(threads: int) -> None:
    """Set the number of CPU threads of this process, 0 for one per core; results depend on nothing else."""
    torch.set_num_threads(threads or machine.cores())
    # use_deterministic_algorithms(True, warn_only=True) would set the same, and import torch's compiler for a second.
    torch.set_deterministic_debug_mode("warn")


def pick_device(wanted: str) -> str:
    """Return cuda for auto where there is a GPU, else cpu; any other wish as it is.

    Args:
        wanted: auto, cpu, cuda or a GPU by its number, such as cuda:1.

    Raises:
        ValueError: it is none of these, or there is no such GPU.
    """
    if not re.fullmatch(DEVICE_PATTERN, wanted):
        raise ValueError(f"device: must be auto, cpu, cuda or such as cuda:1, got '{wanted}'")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if gpus else "cpu"
    if wanted != "cpu" and int(wanted.partition(":")[2] or 0) >= gpus:
        found = f"only {gpus} GPU(s)" if gpus else "no GPU"
        raise ValueError(f"device {wanted}: torch finds {found} on this machine; take auto or cpu")
    return wanted


def has_native_bfloat16(device: str) -> bool:
    """Return whether a device multiplies bfloat16 in hardware; elsewhere it is emulated, several times slower."""
    if device == "cpu":
        return machine.has_native_bfloat16()
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def pick_precision(wanted: str, device: str, is_native: Callable[[str], bool] = has_native_bfloat16) -> str:
    """Return bfloat16 for auto where the device multiplies it natively, else float32; any other wish as it is.

    Args:
        wanted: one of machine.PRECISIONS.
        device: as pick_device returns it.
        is_native: tells of a device whether bfloat16 is native there.

    Raises:
        ValueError: the wish is none of machine.PRECISIONS.
    """
    if wanted not in PRECISIONS:
        raise ValueError(f"precision: must be one of {', '.join(PRECISIONS)}, got '{wanted}'")
    if wanted != "auto":
        return wanted
    return "bfloat16" if is_native(device) else "float32"
