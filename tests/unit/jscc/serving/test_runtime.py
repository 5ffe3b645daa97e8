"""Device and precision: one decision for services and trainer, from a wish and what the hardware can do."""

import subprocess
import sys

import pytest
import torch

from jscc import machine
from jscc.serving.runtime import has_native_bfloat16, pick_device, pick_precision


def test_a_start_asks_for_deterministic_algorithms_and_loads_no_compiler() -> None:
    """In a process of its own, as both stay for the life of one."""
    code = """
import sys, torch
from jscc.serving.runtime import start_torch
before = set(sys.modules)
start_torch(1)
assert torch.get_num_threads() == 1
assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
print(*set(sys.modules) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[1] for name in done.stdout.split() if name.startswith("torch.")} == set()
    assert "sympy" not in done.stdout


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
@pytest.mark.parametrize(
    ("wanted", "native", "expected"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),  # a CPU with AVX2, or a GPU from before Ampere
        ("float32", True, "float32"),
        ("bfloat16", False, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_only_where_it_is_native(device: str, wanted: str, native: bool, expected: str) -> None:
    asked: list[str] = []
    assert pick_precision(wanted, device, lambda name: asked.append(name) or native) == expected
    assert set(asked) <= {device}


def test_unknown_precision_is_named() -> None:
    with pytest.raises(ValueError, match="precision: must be one of auto, float32, bfloat16, got 'float16'"):
        pick_precision("float16", "cpu")


def test_the_cpu_is_asked_for_itself() -> None:
    assert has_native_bfloat16("cpu") == machine.has_native_bfloat16()


class TestDevice:
    def test_cpu_is_always_there(self) -> None:
        assert pick_device("cpu") == "cpu"
        assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")

    @pytest.mark.parametrize("wanted", ["tpu", "", "cuda:", "cuda:-1", "cpu:0", "cuda:1 "])
    def test_other_names_are_refused(self, wanted: str) -> None:
        with pytest.raises(ValueError, match="device: must be auto, cpu, cuda or such as cuda:1"):
            pick_device(wanted)

    @pytest.mark.parametrize("wanted", ["cuda:99", "cuda"])
    def test_a_gpu_that_is_not_there_is_named(self, wanted: str) -> None:
        if wanted == "cuda" and torch.cuda.is_available():
            pytest.skip("there is one")
        with pytest.raises(ValueError, match=f"device {wanted}: torch finds .*; take auto or cpu"):
            pick_device(wanted)
