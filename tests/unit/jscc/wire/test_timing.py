"""One record of a hop's time, from the wire to the results."""

from dataclasses import replace

from jscc.wire.timing import STAGES, HopRecord, labelled
from jscc.wire.v1 import symbols_pb2 as pb

HOP = HopRecord("encoder", 1, 20, 300, 4_000, 50_000, 600_000, 7, 8)


def test_a_record_is_the_services_own_and_what_the_caller_adds() -> None:
    timing = pb.HopTiming(
        queue_ns=20, deserialize_ns=300, compute_ns=4_000, serialize_ns=50_000, bytes_in=7, bytes_out=8
    )
    assert HopRecord.from_wire("encoder", timing, 1, 600_000) == HOP
    assert HOP.to_wire() == timing


def test_sums_are_of_what_their_names_say() -> None:
    assert HOP.server_ns == 54_320
    assert HOP.total_ns == 654_321
    assert [HOP.stage_ns(stage) for stage in STAGES] == [1, 20, 300, 4_000, 50_000]


def test_hops_of_one_name_are_numbered() -> None:
    channel = replace(HOP, hop="channel")
    way = (HOP, channel, replace(HOP, hop="relay"), replace(channel, network_ns=2), replace(channel, network_ns=3))
    named = labelled(way)
    assert list(named) == ["encoder", "channel", "relay", "channel_2", "channel_3"]
    assert tuple(named.values()) == way
