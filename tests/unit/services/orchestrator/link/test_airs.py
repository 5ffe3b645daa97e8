"""Air as it is asked for: what texts and options mean, and one sentence for what there is not."""

import re
import subprocess
import sys

import pytest

from jscc.air import AWGN, AirSpec
from jscc.channels import UnknownChannelError
from jscc.grid import Grid
from jscc.options import ChosenOptions
from services.orchestrator.link.airs import air_of, airs_of

RAYLEIGH = AirSpec("rayleigh", grid=Grid("block", pilots=64), csi="pilots")
BLOCKS = AirSpec("rayleigh", ChosenOptions({"coherence": 128}), Grid("fast", 128, 4), "pilots")
FAST = AirSpec("rayleigh", ChosenOptions({"coherence": 1}), Grid("fast", 1), "perfect")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["awgn"], (AWGN,)),
        (["rayleigh"], (RAYLEIGH,)),
        (["awgn,rayleigh"], (AWGN, RAYLEIGH)),
        (["awgn, rayleigh:coherence=128, pilots=4"], (AWGN, BLOCKS)),
        (["rayleigh:coherence=128,pilots=4,awgn"], (BLOCKS, AWGN)),
        (
            ["rayleigh:coherence=128,pilots=4,rayleigh:coherence=1,csi=perfect,noiseless"],
            (BLOCKS, FAST, AirSpec("noiseless")),
        ),
        (
            ["awgn;rayleigh:coherence=64"],
            (AWGN, AirSpec("rayleigh", ChosenOptions({"coherence": 64}), Grid("fast", 64, 4), "pilots")),
        ),
        (["awgn", "rayleigh:coherence=128,pilots=4"], (AWGN, BLOCKS)),
        (["rayleigh:coherence=0,doppler=0,k_factor_db=-30,block=0"], (RAYLEIGH,)),
        (["rayleigh:told=fast"], (AirSpec("rayleigh", grid=Grid("fast", pilots=64), csi="pilots"),)),
        (
            ["rayleigh:doppler=0.01"],
            (AirSpec("rayleigh", ChosenOptions({"doppler": 0.01}), Grid("fast", 10, 1, True, 1, 0.01), "pilots"),),
        ),
        (
            ["rayleigh:expected_doppler=0.01,expected_spread=0.1,row_length=12,block=6"],
            (AirSpec("rayleigh", grid=Grid("block", 6, 1, True, 12, 0.01, 0.1), csi="pilots"),),
        ),
        (["awgn:pilots=4"], (AirSpec("awgn", grid=Grid(pilots=4), csi="pilots"),)),
    ],
)
def test_a_text_names_air(texts: list[str], expected: tuple[AirSpec, ...]) -> None:
    assert airs_of(texts) == expected
    for air in expected:  # what is written is read again, and so is what is asked of the API
        assert airs_of([str(air)]) == (air,)
        assert air_of(air.channel, air.asked()) == air


@pytest.mark.parametrize(
    "text",
    ["tdl", "cdl:model=D", "tdl:delay_spread_ns=300.0,model=C", "tdl:csi=perfect", "tdl:expected_doppler=0.0,block=34"],
)
def test_an_ofdm_link_is_written_as_it_is_asked_for(text: str) -> None:
    (air,) = airs_of([text])
    assert str(air) == text
    assert air_of(air.channel, air.asked()) == air


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "channel: unknown channel ''"),
        ("awgn,,rayleigh", "channel: unknown channel ''"),
        ("smoke", "channel: unknown channel 'smoke' (known: awgn"),
        ("pilots=4", "channels: expected a channel's name first, got 'pilots=4'"),
        ("awgn,awgn", "channels: awgn is there twice"),
        ("rayleigh,rayleigh:coherence=0", "channels: rayleigh is there twice"),
        ("rayleigh:coherence", "option: 'coherence' is not of the form name=value"),
        ("rayleigh:coherence=2,coherence=4", "channel rayleigh: coherence is given twice"),
        (
            "rayleigh:colour=2",
            "channel rayleigh: unknown key 'colour' (known: coherence, doppler, k_factor_db, papr_db; of ",
        ),
        (
            "rayleigh:colour=2",
            "of the frame: block, csi, expected_doppler, expected_spread, interleaved, pilots, row_length, told)",
        ),
        ("rayleigh:coherence=-1", "channel rayleigh: coherence must be in 0..16777216"),
        ("rayleigh:coherence=8,doppler=0.1", "channel rayleigh: doppler excludes coherence"),
        ("rayleigh:k_factor_db=-31", "channel rayleigh: k_factor_db must be in -30..60"),
        ("rayleigh:coherence=8,pilots=8", "channel rayleigh: pilots: 8 of a block of 8 complex symbols leave nothing"),
        ("rayleigh:pilots=1025", "channel rayleigh: pilots must be in 0..1024, got 1025"),
        ("rayleigh:pilots=0.5", "channel rayleigh: pilots: expected a whole number, got 0.5"),
        ("rayleigh:block=-1", "channel rayleigh: block must be in 0..16777216, 0 for the whole frame, got -1"),
        ("rayleigh:pilots=0", "channel rayleigh: csi=pilots needs at least one; give pilots, csi=perfect or csi=none"),
        ("tdl:model=G", "channel tdl: model must be one of A, B, C, D, E, got 'G'"),
        (
            "tdl:papr_db=6",
            "channel tdl: unknown key 'papr_db' (known: carrier_ghz, delay_spread_ns, model, spacing_khz, speed_m_s, s",
        ),
        ("rayleigh:row_length=5000", "channel rayleigh: row_length must be in 1..4096, got 5000"),
        ("rayleigh:doppler=0.01,block=0", "channel rayleigh: expected_doppler and expected_spread want blocks of 2.."),
        ("rayleigh:csi=good", "channel rayleigh: csi must be one of pilots, perfect, none, got 'good'"),
        ("rayleigh:told=slow", "channel rayleigh: told must be one of none, fast, block, got 'slow'"),
        (
            "rayleigh:csi=none,pilots=4",
            "channel rayleigh: csi=none, and pilots=4 that tell the gains; leave one of them",
        ),
        ("rayleigh:coherence=1", "a block of 1 complex symbol has no room for pilots; give csi=perfect or csi=none"),
        (
            "awgn:csi=perfect",
            "channel awgn: csi=perfect has no gains to tell, the channel does not fade; leave csi out",
        ),
        (",".join(["noiseless"] * 21), "channels: expected 1 to 20, got 21"),
    ],
)
def test_what_there_is_not_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises((ValueError, UnknownChannelError), match=re.escape(sentence)):
        airs_of([text])


def test_air_that_does_not_fade_is_known_without_torch() -> None:
    code = (
        "import sys; from services.orchestrator.link.airs import airs_of; airs_of(['awgn,noiseless']);"
        " sys.exit('torch' in sys.modules or 'grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
