"""What a run keeps: transmissions, computed references, methods, pictures and events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jscc.air import AWGN, AirSpec
from jscc.grid import PLAIN, Grid
from jscc.options import ChosenOptions, OptionValue
from jscc.wire.timing import STAGES, HopRecord, labelled


class ImageKey(NamedTuple):
    """What tells one image from every other; the digest is that of its pixels (`jscc.images.pixel_digest`)."""

    dataset: str
    image: str
    image_digest: str


class Key(NamedTuple):
    """What tells one transmission from every other; the fields are those of `Row`."""

    dataset: str
    image: str
    image_digest: str
    method: str
    transmitter_checkpoint: str
    checkpoint: str
    channel: str
    channel_options: ChosenOptions
    snr_db: float
    told_snr_db: float
    draw: int
    seed: int
    options: ChosenOptions
    fading: str = PLAIN.fading
    block: int = PLAIN.coherence
    pilots: int = PLAIN.pilots
    interleaved: bool = PLAIN.interleaved
    csi: str = "none"
    row_length: int = PLAIN.row_length
    expected_doppler: float = PLAIN.expected_doppler
    expected_spread: float = PLAIN.expected_spread


def air_fields(air: AirSpec) -> dict[str, Any]:
    """Return the fields of a `Key` or `Row` that tell the condition under which an image is sent."""
    return {
        "channel": air.channel,
        "channel_options": air.options,
        "fading": air.grid.fading,
        "block": air.grid.coherence,
        "pilots": air.grid.pilots,
        "interleaved": air.grid.interleaved,
        "csi": air.csi,
        "row_length": air.grid.row_length,
        "expected_doppler": air.grid.expected_doppler,
        "expected_spread": air.grid.expected_spread,
    }


class ReferenceKey(NamedTuple):
    """What tells one computed reference from every other; the fields are those of `Reference`."""

    dataset: str
    image: str
    image_digest: str
    curve: str
    snr_db: float
    rho: float
    channel: str = AWGN.channel
    channel_options: ChosenOptions = AWGN.options
    told_above_db: float = 0.0
    draw: int = 0


@dataclass(frozen=True)
class Row:
    """One finished transmission; durations are in nanoseconds.

    Attributes:
        dataset: name of the data set that was really used.
        image: name of the image in it.
        image_digest: of the pixels, 16 hex digits; "" in a run of a version that did not keep it.
        method: served name of the method.
        transmitter_checkpoint: digest of the checkpoint that made the symbols.
        checkpoint: digest of the checkpoint that decoded, as the decoder's answer has it.
        channel: name of the channel.
        channel_options: its options that were not left at their defaults.
        snr_db: SNR in dB that the channel had.
        told_snr_db: SNR in dB that the transmitter was told.
        draw: which noise realisation, from 0.
        seed: of the noise, derived from the root seed, image, SNR and draw; 0 to 2**63 - 1.
        options: the method's options that were not left at their defaults.
        rho: real symbols sent per source value, k / (3 H W), header and padding included.
        channel_uses: real symbols sent, k.
        header_bits: information that the header tells.
        noise_digest: of the noise realisation.
        psnr_db, ssim, ms_ssim, lpips: quality; None where not measured. Of LPIPS, less is better.
        total_ns: the orchestrator's clock from loading the image to the last score.
        load_ns, score_ns: its own work: reading the image, scoring.
        hops: in the order of the way, any number of them.
        started: ISO 8601.
        warm_up: True if the latencies are not to be counted: of the first transmissions, and of those whose frame had
            been encoded for another draw, so that the encoder's time is that of the wait for it.
        header_uses: real symbols of the header, of k; None in a run of a version whose header crossed no air.
        header_share: of the power that the header took, 0..1; likewise.
        peak_to_average_db: of the squared symbols; likewise.
        lost: "header" if it was lost, and the image with it; "payload" if other bits were; "" if nothing; likewise.
        fading: what the transmitter was told of it, see `jscc.grid.Grid`.
        block: complex symbols over which the receiver took the gain for constant; 0 for the whole frame.
        pilots: known complex symbols in each block.
        interleaved: whether neighbours of the method's symbols were spread over the frame.
        csi: what the receiver knew of the gains, see `jscc.air.AirSpec`.
        pilot_uses: real symbols of pilots, of k; None in a run of a version without them.
        row_length: complex symbols that lay beside each other in frequency at one instant.
        expected_doppler: of the gains, as the receiver expected, see `jscc.grid.Grid`.
        expected_spread: of the delays, likewise.
    """

    dataset: str
    image: str
    image_digest: str
    method: str
    transmitter_checkpoint: str
    checkpoint: str
    channel: str
    channel_options: ChosenOptions
    snr_db: float
    told_snr_db: float
    draw: int
    seed: int
    options: ChosenOptions
    rho: float
    channel_uses: int
    header_bits: int
    noise_digest: str
    psnr_db: float | None
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None
    total_ns: int
    load_ns: int
    score_ns: int
    hops: tuple[HopRecord, ...]
    started: str
    warm_up: bool
    header_uses: float | None = None
    header_share: float | None = None
    peak_to_average_db: float | None = None
    lost: str | None = None
    fading: str = PLAIN.fading
    block: int = PLAIN.coherence
    pilots: int = PLAIN.pilots
    interleaved: bool = PLAIN.interleaved
    csi: str = "none"
    pilot_uses: float | None = None
    row_length: int = PLAIN.row_length
    expected_doppler: float = PLAIN.expected_doppler
    expected_spread: float = PLAIN.expected_spread

    @property
    def air(self) -> AirSpec:
        """The condition under which it was sent."""
        beside = (self.row_length, self.expected_doppler, self.expected_spread)
        grid = Grid(self.fading, self.block, self.pilots, self.interleaved, *beside)
        return AirSpec(self.channel, self.channel_options, grid, self.csi)

    @property
    def key(self) -> Key:
        """What tells it from every other transmission."""
        return Key(*(getattr(self, name) for name in Key._fields))

    @property
    def image_key(self) -> ImageKey:
        """The image that was sent."""
        return ImageKey(self.dataset, self.image, self.image_digest)

    @property
    def has_old_frame(self) -> bool:
        """Whether nothing went to the encoder, as the frame had been encoded for another draw."""
        return any(hop.hop == "encoder" and not hop.bytes_in for hop in self.hops)

    @property
    def codec_ns(self) -> int:
        """The orchestrator's packing and unpacking of all hops' messages."""
        return sum(hop.codec_ns for hop in self.hops)

    @property
    def named_hops(self) -> dict[str, HopRecord]:
        """The hops by name, in order; the second of a name is "<name>_2"."""
        return labelled(self.hops)

    def parts_ns(self) -> dict[str, int]:
        """Every part of `total_ns` by name: those of the hops in order, then the orchestrator's own work."""
        parts = {f"{name}_{stage}": hop.stage_ns(stage) for name, hop in self.named_hops.items() for stage in STAGES}
        return parts | {"load": self.load_ns, "codec": self.codec_ns, "score": self.score_ns}


class Event(NamedTuple):
    """Something that happened to a run: `time` is ISO 8601 in UTC."""

    time: str
    text: str


class Reference(NamedTuple):
    """One scored image of a reference that was computed, not transmitted: over white noise, or a line over fading.

    Attributes:
        dataset: name of the data set that was really used.
        image: name of the image.
        image_digest: of the pixels, as in a `Row`.
        curve: which reference, such as "jpeg_adaptive"; `jscc.baselines.curves.CURVES` and `FADING_CURVES` list them.
        snr_db: SNR of the channel in dB.
        rho: real channel uses per source value that the reference may spend.
        bits: size of the file in bits, headers included; 0 where there is no file.
        delivered: whether the channel could carry the file; if not, the image's mean colour was scored.
        psnr_db, ssim, ms_ssim, lpips: quality; None where not measured. Of LPIPS, less is better.
        channel: name of the channel.
        channel_options: its options that were not left at their defaults.
        told_above_db: by how much the SNR that the transmitter is told is above the channel's, in dB.
        draw: which realisation of the gains, from 0; they are those that a transmission of this draw meets.
    """

    dataset: str
    image: str
    image_digest: str
    curve: str
    snr_db: float
    rho: float
    bits: int
    delivered: bool
    psnr_db: float | None
    ssim: float | None
    ms_ssim: float | None
    lpips: float | None
    channel: str = AWGN.channel
    channel_options: ChosenOptions = AWGN.options
    told_above_db: float = 0.0
    draw: int = 0

    @property
    def told_snr_db(self) -> float:
        """SNR in dB that the transmitter is told."""
        return self.snr_db + self.told_above_db

    @property
    def key(self) -> ReferenceKey:
        """What tells it from every other reference."""
        return ReferenceKey(*(getattr(self, name) for name in ReferenceKey._fields))

    @property
    def image_key(self) -> ImageKey:
        """The image that was scored."""
        return ImageKey(self.dataset, self.image, self.image_digest)


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
        options: every option with its default.
        learned: learned values worth looking at, by name.
        label: what figures call it; "" where the link did not say.
        family: "learned", "analog" or "digital"; "" where the link did not say.
    """

    name: str
    method: str
    checkpoint: str
    transmitter_checkpoint: str
    transmitter_parameters: int
    receiver_parameters: int
    rho: float
    options: Mapping[str, OptionValue]
    learned: Mapping[str, tuple[float, ...]]
    label: str = ""
    family: str = ""

    @property
    def parameters(self) -> int:
        """Number of parameters of both ends."""
        return self.transmitter_parameters + self.receiver_parameters


class Picture(NamedTuple):
    """A PNG file of what one key names: an original, or what a transmission or a reference made of it."""

    of: ImageKey | Key | ReferenceKey
    png: bytes
