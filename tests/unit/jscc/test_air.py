"""How air is written, and what of a frame follows from a channel."""

import pytest

from jscc import channels, ofdm
from jscc.air import AWGN, STEADY, AirSpec, FrameChoice, filled
from jscc.grid import PLAIN, Grid
from jscc.ofdm import Ofdm
from jscc.options import ChosenOptions, OptionValue


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
        (True, {"doppler": 0.0004}, {}, ("fast", 50, "pilots", 1, True)),
        (True, {"doppler": 0.0004}, {"block": 200}, ("fast", 200, "pilots", 4, True)),
        (True, {"doppler": 0.0004}, {"expected_doppler": 0.0025}, ("fast", 20, "pilots", 1, True)),
        (True, {"doppler": 0.5}, {}, ("fast", 2, "pilots", 1, True)),
        (True, {"doppler": 1e-12}, {}, ("fast", 64, "pilots", 1, True)),
        (True, {"doppler": 0.0005}, {"expected_doppler": 0.0}, ("fast", 200, "pilots", 12, True)),
        (True, {"doppler": 0.05}, {"expected_doppler": 0.0}, ("fast", 4, "pilots", 1, True)),
        (True, {"doppler": 1e-12}, {"expected_doppler": 0.0}, ("fast", 2**24, "pilots", 1024, True)),
        (True, {"doppler": 0.0005}, {"csi": "perfect"}, ("fast", 200, "perfect", 0, True)),
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
    found = filled("rayleigh" if fades else "awgn", fades, options, FrameChoice(**frame))  # type: ignore[arg-type]
    assert (found.told, found.block, found.csi, found.pilots, found.interleaved) == expected
    assert (found.row_length, found.expected_spread) == (1, 0.0)


@pytest.mark.parametrize(
    ("options", "frame", "expected"),
    [
        ({"doppler": 0.0005}, {}, 0.0005),
        ({"doppler": 0.0005}, {"expected_doppler": 0.002}, 0.002),
        ({"doppler": 0.0005}, {"expected_doppler": 0.0}, 0.0),
        ({"doppler": 0.0005}, {"csi": "perfect"}, 0.0),
        ({"doppler": 0.0005}, {"csi": "none"}, 0.0),
        ({"coherence": 16}, {}, 0.0),
    ],
)
def test_a_receiver_that_estimates_expects_the_doppler_of_the_channel(
    options: dict[str, float], frame: dict[str, object], expected: float
) -> None:
    assert filled("rayleigh", True, options, FrameChoice(**frame)).expected_doppler == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told", "block", "doppler", "spread"),
    [
        ({}, "block", 37, 0.00125087, 0.003),
        ({"model": "C", "delay_spread_ns": 300.0}, "block", 19, 0.00125087, 0.009),
        ({"delay_spread_ns": 1000.0}, "fast", 11, 0.00125087, 0.03),
        ({"speed_m_s": 30.0, "carrier_ghz": 35.0}, "block", 37, 0.125087, 0.003),
        ({"delay_spread_ns": 0.0}, "block", 61, 0.00125087, 0.0),
        ({"speed_m_s": 0.0, "delay_spread_ns": 0.0}, "block", 0, 0.0, 0.0),
        ({"spacing_khz": 15.0, "delay_spread_ns": "long"}, "block", 49, 0.00250173, 0.0015),
    ],
)
def test_what_a_receiver_expects_of_an_ofdm_link_is_what_it_is(
    options: dict[str, OptionValue], told: str, block: int, doppler: float, spread: float
) -> None:
    """Doppler: 15/14 v f / c over the spacing, of 3 m/s, 3.5 GHz and 30 kHz unless they are given."""
    found = filled("tdl", True, options, FrameChoice())
    assert (found.told, found.block, found.row_length) == (told, block, 612)
    assert (found.expected_doppler, found.expected_spread) == pytest.approx((doppler, spread), rel=1e-5)
    genie = filled("tdl", True, options, FrameChoice(csi="perfect"))
    assert (genie.row_length, genie.expected_doppler, genie.expected_spread, genie.pilots) == (1, 0.0, 0.0, 0)


def test_ofdm_links_are_known_before_they_are_loaded() -> None:
    assert set(ofdm.CHANNELS) == {
        name for name in channels.names() if issubclass(channels.load(name).options_type, Ofdm)
    }


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
            "rayleigh:doppler=0.001,told=block,expected_doppler=0.0,block=50",
        ),
        (
            AirSpec("rayleigh", ChosenOptions({"doppler": 0.0025}), Grid("fast", 20, 1, True, 1, 0.0025), "pilots"),
            "rayleigh:doppler=0.0025",
        ),
        (
            AirSpec("awgn", grid=Grid("none", 8, 1, True, 12, 0.1, 0.2), csi="pilots"),
            "awgn:csi=pilots,row_length=12,expected_doppler=0.1,expected_spread=0.2,block=8,pilots=1",
        ),
        (AirSpec("steam", ChosenOptions({"coherence": "block"}), PLAIN), "steam:coherence=block,told=none,csi=none"),
    ],
)
def test_air_is_written_with_what_does_not_follow(air: AirSpec, text: str) -> None:
    assert str(air) == text


def test_what_is_called_steady_does_not_fade() -> None:
    assert not any(channels.load(name).fades for name in STEADY)
