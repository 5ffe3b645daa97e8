"""How air is written, and what of a frame follows from a channel."""

import pytest

from jscc import channels
from jscc.air import AWGN, STEADY, AirSpec, FrameChoice, filled
from jscc.grid import PLAIN, Grid
from jscc.options import ChosenOptions


@pytest.mark.parametrize(
    ("fades", "options", "frame", "expected"),
    [
        (False, {}, {}, ("none", 0, "none", 0, True)),
        (False, {}, {"pilots": 8}, ("none", 0, "pilots", 8, True)),
        (True, {}, {}, ("block", 0, "pilots", 64, True)),
        (True, {"k_factor_db": 3.0}, {}, ("block", 0, "pilots", 64, True)),
        (True, {"coherence": 128}, {}, ("fast", 128, "pilots", 8, True)),
        (True, {"coherence": 20}, {}, ("fast", 20, "pilots", 1, True)),
        (True, {"coherence": 2**24}, {}, ("fast", 2**24, "pilots", 1024, True)),
        (True, {"coherence": 1}, {"csi": "perfect"}, ("fast", 1, "perfect", 0, True)),
        (True, {"doppler": 0.0005}, {}, ("fast", 200, "pilots", 12, True)),
        (True, {"doppler": 0.05}, {}, ("fast", 4, "pilots", 1, True)),
        (True, {"doppler": 1e-12}, {}, ("fast", 2**24, "pilots", 1024, True)),
        (True, {"coherence": 128}, {"block": 64}, ("fast", 64, "pilots", 4, True)),
        (True, {}, {"csi": "none"}, ("block", 0, "none", 0, True)),
        (True, {}, {"csi": "perfect", "pilots": 4}, ("block", 0, "perfect", 4, True)),
        (True, {}, {"told": "none", "interleaved": False}, ("none", 0, "pilots", 64, False)),
        (True, {"coherence": "block"}, {}, ("block", 0, "pilots", 64, True)),  # of a channel of another build
    ],
)
def test_what_is_not_asked_for_follows_from_the_channel(
    fades: bool, options: dict[str, int], frame: dict[str, object], expected: tuple[object, ...]
) -> None:
    assert tuple(filled(fades, options, FrameChoice(**frame))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("air", "text"),
    [
        (AWGN, "awgn"),
        (AirSpec("noiseless"), "noiseless"),
        (AirSpec("awgn", ChosenOptions({"papr_db": 8.0})), "awgn:papr_db=8.0"),
        (AirSpec("awgn", grid=Grid(pilots=4), csi="pilots"), "awgn:csi=pilots,pilots=4"),
        (AirSpec("rayleigh", grid=Grid("block", pilots=64), csi="pilots"), "rayleigh"),
        (AirSpec("rayleigh", grid=Grid("block"), csi="perfect"), "rayleigh:csi=perfect"),
        (AirSpec("rayleigh"), "rayleigh:told=none,csi=none"),
        (
            AirSpec("rayleigh", ChosenOptions({"coherence": 128}), Grid("fast", 128, 2, False), "pilots"),
            "rayleigh:coherence=128,pilots=2,interleaved=false",
        ),
        (
            AirSpec("rayleigh", ChosenOptions({"doppler": 0.001}), Grid("block", 50, 3), "pilots"),
            "rayleigh:doppler=0.001,told=block,block=50",
        ),
        (AirSpec("steam", ChosenOptions({"coherence": "block"}), PLAIN), "steam:coherence=block,told=none,csi=none"),
    ],
)
def test_air_is_written_with_what_does_not_follow(air: AirSpec, text: str) -> None:
    assert str(air) == text


def test_what_is_called_steady_does_not_fade() -> None:
    assert not any(channels.load(name).fades for name in STEADY)
