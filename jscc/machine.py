"""The machine that this process runs on: cores, CPU model, arithmetic."""

import os
import platform
from functools import cache
from pathlib import Path

PRECISIONS = ("auto", "float32", "bfloat16")
"""What can be wished for; networks run in one of the last two."""
DEVICE_PATTERN = r"auto|cpu|cuda(:\d+)?"
"""What can be wished for: whichever there is, the CPU, a GPU, or a GPU by its number."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    """Return the CPU's name, or the architecture's where nothing tells it."""
    return _info("model name") or platform.machine()


def has_native_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 natively; elsewhere it is several times slower than float32."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_info("flags").split())


@cache
def _info(key: str) -> str:
    """Return the first value of a key of /proc/cpuinfo, "" where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")
