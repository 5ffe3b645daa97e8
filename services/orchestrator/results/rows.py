"""What a run's database holds: transmissions, computed references, methods, pictures and events.

The columns of every table come from the fields of its class here, so the two cannot drift apart.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal, NamedTuple, get_type_hints

HOPS = ("encoder", "channel", "decoder")
STAGES = ("network", "queue", "deserialize", "compute", "serialize")
SAME_RATE = 0.02
"""Rates that differ by less than this share are one: padding makes them differ a little from image to image."""

_SQL_TYPES: Mapping[Any, str] = {
    str: "TEXT NOT NULL",
    int: "INTEGER NOT NULL",
    bool: "INTEGER NOT NULL",
    float: "REAL NOT NULL",
    float | None: "REAL",
}


def same_rate(rho: float, other: float) -> bool:
    """Whether two rates may be compared."""
    return math.isclose(rho, other, rel_tol=SAME_RATE)


class Key(NamedTuple):
    """What tells one transmission from every other; the fields are those of `Row`."""

    dataset: str
    image: str
    method: str
    checkpoint: str
    channel: str
    snr_db: float
    draw: int
    seed: int
    options: str


@dataclass(frozen=True)
class HopTiming:
    """Where the time of one hop went, in milliseconds, and the bytes of its request and its answer."""

    network_ms: float
    queue_ms: float
    deserialize_ms: float
    compute_ms: float
    serialize_ms: float
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class Row:
    """One finished transmission.

    Attributes:
        dataset: name of the data set that was really used.
        method: served name of the method.
        checkpoint: digest of the checkpoint that decoded; it names the one that made the symbols too.
        draw: which noise realisation, from 0.
        seed: of the noise, derived from the root seed, image, SNR and draw; 0 to 2**63 - 1.
        rho: real symbols sent per source value, k / (3 H W).
        channel_uses: real symbols sent, k.
        header_bits: side information sent next to the symbols.
        psnr_db, ssim, ms_ssim, lpips: quality; None (NULL) where not measured. Of LPIPS, less is better.
        total_ms: the orchestrator's clock from loading the image to the last score.
        load_ms, codec_ms, score_ms: its own work: reading the image, packing and unpacking messages, scoring.
        options: the options that were not left at their defaults, as JSON text with sorted keys; "" for none.
        started: ISO 8601.
        warm_up: True if the latencies are not to be counted.

    Raises:
        ValueError: if `hops` does not have exactly `HOPS`.
    """

    dataset: str
    image: str
    method: str
    checkpoint: str
    channel: str
    snr_db: float
    draw: int
    seed: int
    rho: float
    channel_uses: int
    header_bits: int
    noise_digest: str
    psnr_db: float | None
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None
    total_ms: float
    hops: Mapping[str, HopTiming]
    load_ms: float
    codec_ms: float
    score_ms: float
    options: str
    started: str
    warm_up: bool

    def __post_init__(self) -> None:
        """Refuse a missing or an unknown hop."""
        if set(self.hops) != set(HOPS):
            raise ValueError(f"hops: need {', '.join(HOPS)}, not {', '.join(self.hops) or 'nothing'}")

    @property
    def key(self) -> Key:
        """The primary key of the row."""
        return Key(*(getattr(self, name) for name in Key._fields))

    def parts_ms(self) -> dict[str, float]:
        """Every part of `total_ms` by its column name, in the order of the columns."""
        parts: dict[str, float] = {}
        for hop in HOPS:
            parts |= {f"{hop}_{stage}_ms": getattr(self.hops[hop], f"{stage}_ms") for stage in STAGES}
        return parts | {"load_ms": self.load_ms, "codec_ms": self.codec_ms, "score_ms": self.score_ms}


class Event(NamedTuple):
    """Something that happened to a run: `time` is ISO 8601 in UTC."""

    time: str
    text: str


class Reference(NamedTuple):
    """One scored image of a reference that was computed, not transmitted.

    Attributes:
        dataset: name of the data set that was really used.
        image: name of the image.
        curve: which reference, such as "jpeg_adaptive"; `references.CURVES` lists them.
        snr_db: SNR of the channel in dB.
        rho: real channel uses per source value that the reference may spend.
        bits: size of the file in bits, headers included; 0 where there is no file.
        delivered: whether the channel could carry the file; if not, the image's mean colour was scored.
        psnr_db, ssim, ms_ssim, lpips: quality; None (NULL) where not measured. Of LPIPS, less is better.
    """

    dataset: str
    image: str
    curve: str
    snr_db: float
    rho: float
    bits: int
    delivered: bool
    psnr_db: float | None
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None


class MethodInfo(NamedTuple):
    """What a link said of one served method when it was swept.

    Attributes:
        name: the name on the wire, which is `Row.method`; file name of the checkpoint.
        method: name of the transmission method that the checkpoint is of.
        checkpoint: digest of the receiver's checkpoint, which is `Row.checkpoint`.
        transmitter_checkpoint: digest of the checkpoint that makes the symbols; another one than `checkpoint` for a
            method that is only another receiver.
        transmitter_parameters: number of parameters of the transmitter that was used.
        receiver_parameters: number of parameters of the receiver.
        rho: real channel uses per source value, for sizes that need no padding.
        options: defaults of the decode options as JSON text, name -> value; "{}" for none.
        learned: learned values worth looking at as JSON text, name -> list of numbers; "{}" for none.
    """

    name: str
    method: str
    checkpoint: str
    transmitter_checkpoint: str
    transmitter_parameters: int
    receiver_parameters: int
    rho: float
    options: str
    learned: str


PictureKind = Literal["original", "received"]


class Picture(NamedTuple):
    """A picture for the strip of visual comparison; method and SNR of an original mean nothing.

    `method` is the name of a served method with default options, or the curve of a reference.
    """

    image: str
    method: str
    snr_db: float
    kind: PictureKind
    png: bytes


def _row_types() -> dict[str, str]:
    hop_types = get_type_hints(HopTiming)
    columns: dict[str, str] = {}
    for name, kind in get_type_hints(Row).items():
        if name == "hops":
            columns |= {f"{hop}_{part}": _SQL_TYPES[t] for hop in HOPS for part, t in hop_types.items()}
        else:
            columns[name] = _SQL_TYPES[kind]
    return columns


def _types(of: type[Any]) -> dict[str, str]:
    return {name: _SQL_TYPES[kind] for name, kind in get_type_hints(of).items()}


def _create(table: str, columns: Mapping[str, str], key: Collection[str]) -> str:
    lines = ",\n  ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {table} (\n  {lines},\n  PRIMARY KEY ({', '.join(key)})\n) STRICT"


_COLUMN_TYPES = _row_types()
COLUMNS = tuple(_COLUMN_TYPES)
"""Columns of the table of transmissions, in order."""
REFERENCE_KEY = ("dataset", "image", "curve", "snr_db", "rho")
SCHEMA = {
    "results": _create("results", _COLUMN_TYPES, Key._fields),
    "settings": "CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "events": "CREATE TABLE events (time TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    "pictures": "CREATE TABLE pictures (image TEXT NOT NULL, method TEXT NOT NULL, snr_db REAL NOT NULL,"
    " kind TEXT NOT NULL, png BLOB NOT NULL, PRIMARY KEY (image, method, snr_db, kind)) STRICT",
    "computed": _create("computed", _types(Reference), REFERENCE_KEY),
    "methods": _create("methods", _types(MethodInfo), ("name",)),
}
"""The statement that makes each table; `computed` holds the references, whose name SQL keeps for itself."""


def flat(row: Row) -> list[object]:
    """Return the values of a row in the order of `COLUMNS`."""
    values: list[object] = [getattr(row, field.name) for field in fields(row)]
    hops_at = COLUMNS.index("encoder_network_ms")
    values[hops_at : hops_at + 1] = [value for hop in HOPS for value in astuple(row.hops[hop])]
    return values


def row_of(values: Collection[Any]) -> Row:
    """Return the row whose values these are, in the order of `COLUMNS`."""
    named = dict(zip(COLUMNS, values, strict=True))
    parts = [field.name for field in fields(HopTiming)]
    hops = {hop: HopTiming(**{part: named.pop(f"{hop}_{part}") for part in parts}) for hop in HOPS}
    return Row(**named | {"hops": hops, "warm_up": bool(named["warm_up"])})
