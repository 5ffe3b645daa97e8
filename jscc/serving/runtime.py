"""Threads, device and precision of a process that runs networks."""

import torch

from jscc import machine


def start_torch(threads: int) -> None:
    """Set the number of CPU threads of this process, 0 for one per core; results depend on nothing else."""
    torch.set_num_threads(threads or machine.cores())
    torch.use_deterministic_algorithms(True, warn_only=True)


def pick_device(wanted: str) -> str:
    """Return cuda for auto where there is a GPU, else cpu.

    Raises:
        ValueError: cuda is wanted and not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("DEVICE=cuda: this machine has no CUDA device that torch can use")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def pick_precision(wanted: str, device: str) -> str:
    """Return bfloat16 for auto where the hardware multiplies it natively, else float32."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device == "cuda" or machine.has_native_bfloat16() else "float32"
