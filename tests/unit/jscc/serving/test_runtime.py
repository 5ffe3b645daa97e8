"""Device and precision: one decision for services and trainer, from a wish and what the hardware can do."""

import pytest
import torch

from jscc import machine
from jscc.serving.runtime import has_native_bfloat16, pick_device, pick_precision


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
