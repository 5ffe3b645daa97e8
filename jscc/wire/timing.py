"""Where the time of one hop went: one record from the wire to the results."""

from collections.abc import Iterable
from dataclasses import dataclass

from jscc.wire.v1 import symbols_pb2 as pb

SERVER_STAGES = ("queue", "deserialize", "compute", "serialize")
"""What a service counts of its own time."""
STAGES = ("network", *SERVER_STAGES)
"""What a caller waits for, in the order of the columns."""
NS_PER_MS = 1e6


@dataclass(frozen=True)
class HopRecord:
    """One hop as its caller saw it: monotonic durations in nanoseconds, and sizes of messages.

    Attributes:
        hop: name of the service; a way that passes two of them has two records of one name.
        network_ns: the caller's wait, from handing the request to gRPC until its answer was there, less `server_ns`;
            waiting to come again to a service that was too busy is part of it.
        queue_ns: waiting for the service's model thread.
        deserialize_ns: bytes to tensors on the service's device, checks included.
        compute_ns: the model or the channel.
        serialize_ns: tensors to bytes.
        codec_ns: the caller's own serialising of the request and parsing of the answer.
        bytes_in: size of the request.
        bytes_out: size of the answer.
    """

    hop: str
    network_ns: int
    queue_ns: int
    deserialize_ns: int
    compute_ns: int
    serialize_ns: int
    codec_ns: int
    bytes_in: int
    bytes_out: int

    @classmethod
    def from_wire(cls, hop: str, timing: pb.HopTiming, network_ns: int, codec_ns: int = 0) -> "HopRecord":
        """Return the record of a service's own times and what its caller adds to them."""
        own = {f"{stage}_ns": getattr(timing, f"{stage}_ns") for stage in SERVER_STAGES}
        return cls(hop, network_ns, **own, codec_ns=codec_ns, bytes_in=timing.bytes_in, bytes_out=timing.bytes_out)

    def to_wire(self) -> pb.HopTiming:
        """Return the service's own times and the sizes."""
        names = (*(f"{stage}_ns" for stage in SERVER_STAGES), "bytes_in", "bytes_out")
        return pb.HopTiming(**{name: getattr(self, name) for name in names})

    def stage_ns(self, stage: str) -> int:
        """Return the time of one of `STAGES`."""
        duration_ns: int = getattr(self, f"{stage}_ns")
        return duration_ns

    @property
    def server_ns(self) -> int:
        """The service's own time, from the arrival of the request to the end of its serialisation."""
        return sum(self.stage_ns(stage) for stage in SERVER_STAGES)

    @property
    def total_ns(self) -> int:
        """All that the hop cost its caller."""
        return self.network_ns + self.server_ns + self.codec_ns


def server_ns(timing: pb.HopTiming) -> int:
    """Return the service's own time of a record on the wire."""
    return sum(getattr(timing, f"{stage}_ns") for stage in SERVER_STAGES)


def labelled(hops: Iterable[HopRecord]) -> dict[str, HopRecord]:
    """Return hops by their names, in order; a name's second hop is "<name>_2"."""
    found: dict[str, HopRecord] = {}
    for record in hops:
        number = 1 + sum(other.hop == record.hop for other in found.values())
        found[record.hop if number == 1 else f"{record.hop}_{number}"] = record
    return found
