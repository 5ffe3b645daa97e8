"""The API's messages: what is asked of the link, and what is answered, with everything that air is."""

from dataclasses import replace
from typing import Any

import factories
import pytest

from jscc.air import AWGN, AirSpec
from jscc.grid import Grid
from jscc.options import ChosenOptions
from jscc.wire import convert
from jscc.wire.v1 import orchestrator_pb2 as pb
from jscc.wire.v1 import symbols_pb2
from services.orchestrator import messages
from services.orchestrator.link.job import Job
from services.orchestrator.results.rows import air_fields

BLOCKS = AirSpec("rayleigh", ChosenOptions({"coherence": 128}), Grid("fast", 128, 8, False), "pilots")
GENIE = AirSpec("rayleigh", grid=Grid("block"), csi="perfect")
AIRS = [AWGN, AirSpec("noiseless"), BLOCKS, GENIE, AirSpec("rayleigh")]


@pytest.mark.parametrize("air", AIRS, ids=str)
def test_a_job_is_asked_for_as_it_is(air: AirSpec) -> None:
    job = Job("set/a", "softcast", 5.0, 7.0, air, {"K": 1}, root_seed=3, draw=2)
    request = pb.SendImageRequest.FromString(messages.send_request(job, b"").SerializeToString())
    assert messages.job_of(request) == job


@pytest.mark.parametrize("air", AIRS, ids=str)
def test_a_transmission_is_answered_with_its_air(air: AirSpec) -> None:
    row = replace(factories.row(**air_fields(air)), pilot_uses=air.grid.pilot_uses(294_912))
    report = pb.TransmissionReport.FromString(messages.report_of(row).SerializeToString())
    found = messages.row_of_report(report)
    assert (found.air, found.pilot_uses, found.key) == (air, row.pilot_uses, row.key._replace(dataset=""))


def test_the_report_of_a_version_without_frames_is_of_air_that_does_not_fade() -> None:
    report = messages.report_of(factories.row())
    report.ClearField("grid")
    report.ClearField("csi")
    assert messages.row_of_report(report).air == AWGN


def spec_of(**fields: Any) -> Any:
    return messages.spec_of(pb.RunSweepRequest(methods=["softcast"], snr_db=[5.0], **fields), 4, 300.0)


def test_a_sweep_is_asked_for_over_one_air_or_several() -> None:
    options = convert.options_to_wire({"coherence": 128, "interleaved": False})
    assert spec_of().airs == (AWGN,)
    assert spec_of(channel="rayleigh", channel_options=options).airs == (BLOCKS,)
    assert spec_of(channels=["awgn", "rayleigh:csi=perfect"]).airs == (AWGN, GENIE)
    with pytest.raises(ValueError, match=r"^channels: give them or channel and channel_options, not both$"):
        spec_of(channels=["awgn"], channel="awgn")
    with pytest.raises(ValueError, match=r"^channel rayleigh: unknown key 'colour'"):
        spec_of(channels=["rayleigh:colour=2"])


def test_a_sweep_is_asked_for_with_one_mismatch_or_several() -> None:
    assert spec_of().told_above_db == (0.0,)
    assert spec_of(told_above_db=3.0).told_above_db == (3.0,)
    assert spec_of(mismatches_db=[0.0, 3.0]).told_above_db == (0.0, 3.0)
    with pytest.raises(ValueError, match=r"^mismatches_db: give them or told_above_db, not both$"):
        spec_of(mismatches_db=[0.0], told_above_db=3.0)
    assert symbols_pb2.Grid() == messages.report_of(factories.row()).grid
