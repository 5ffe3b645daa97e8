"""Digital lines over fading: what a codec with an ideal code reaches at the gains that a run's methods meet.

A line is planned for the SNR that a transmitter is told and for how the channel's gains are distributed, and realised
with the gains of every draw: those that the channel service draws from the same seed.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch

from jscc import channels
from jscc.air import AWGN, STEADY, AirSpec
from jscc.baselines import fading, ideal, rate_quality
from jscc.baselines.curves import ERGODIC, FADING_CURVES, FEEDBACK, ONE_RATE, TWO_LAYERS
from jscc.baselines.fading import SingleRate, TwoLayer
from jscc.baselines.outlook import DRAWS, Outlook, drawn, ergodic_bits, mutual_information, rayleigh
from jscc.baselines.rate_quality import Curve
from jscc.baselines.spectrum import FloatArray
from jscc.draws import Draws
from jscc.options import ChosenOptions
from jscc.seeds import derive_seed
from jscc.signals import noise_generator

MOST_SNR_DB = 35.0
"""SNR of the best gain that matters: a mean SNR of 20 dB has a better one with a probability of e^-32."""
FILES = 70
"""That the curve of an image takes, as measured on Kodak."""
_SEED = 20261125


class CurvePoint(NamedTuple):
    """One reference of one image to compute; the fields are those of `Reference`."""

    curve: str
    rho: float
    snr_db: float
    channel: str = AWGN.channel
    channel_options: ChosenOptions = AWGN.options
    told_above_db: float = 0.0
    draw: int = 0


class Value(NamedTuple):
    """What a line makes of an image: bits that were sent, whether any arrived, and the PSNR in dB of what is shown."""

    bits: int
    delivered: bool
    psnr_db: float


class Fading(NamedTuple):
    """A channel that fades, by name, and its options."""

    channel: str
    options: ChosenOptions

    @property
    def coherence(self) -> int:
        """Complex symbols that have one gain, 0 for all of an image."""
        return int(self.options.get("coherence", 0))

    @property
    def lack(self) -> str:
        """Why there are no lines over it; "" if there are."""
        if self.channel != "rayleigh" or self.options.get("doppler"):
            return f"lines over {self}: known for rayleigh with blocks of one gain"
        if self.coherence and "k_factor_db" in self.options:
            return f"lines over {self}: of k_factor_db known for one gain per image"
        return ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Names of the lines that there are."""
        if self.lack:
            return ()
        more = {0: (TWO_LAYERS,), 1: (ERGODIC,)}.get(self.coherence, ())
        return (ONE_RATE, *more, FEEDBACK)

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.channel}:{options}" if options else self.channel


@dataclass(frozen=True)
class LineSpec:
    """Which lines.

    Attributes:
        codecs: keys of FADING_CURVES.
        fadings: channels that fade.
        rhos: rates, real channel uses per source value.
        told: pairs of SNR in dB and by how much what the transmitter is told is above.
        draws: of the gains, for each image and SNR.
        seed: root seed of the run.
    """

    codecs: tuple[str, ...] = ()
    fadings: tuple[Fading, ...] = ()
    rhos: tuple[float, ...] = ()
    told: tuple[tuple[float, float], ...] = ()
    draws: int = 1
    seed: int = 0

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why there are no lines over some of the channels, a text for each."""
        return tuple(fading.lack for fading in self.fadings if self.codecs)

    def points(self, codec: str) -> Iterator[CurvePoint]:
        """Yield every point of an image; a line that is not planned has none for what is told wrong."""
        if codec not in self.codecs:
            return
        kinds = ((fading, line, rho) for fading in self.fadings for line in fading.lines for rho in self.rhos)
        for fade, line, rho in kinds:
            draws = 1 if line == ERGODIC else self.draws
            told = self.told if line in (ONE_RATE, TWO_LAYERS) else sorted({(snr_db, 0.0) for snr_db, _ in self.told})
            for snr_db, above_db in told:
                for draw in range(draws):
                    yield CurvePoint(f"{codec}_{line}", rho, snr_db, fade.channel, fade.options, above_db, draw)


def fadings_of(airs: Iterable[AirSpec]) -> tuple[Fading, ...]:
    """Return the channels of airs that fade, each once: a line needs neither pilots nor blocks."""
    found = dict.fromkeys(Fading(air.channel, air.options) for air in airs if air.channel not in STEADY)
    return tuple(fading for fading in found if channels.load(fading.channel).fades)


def is_line(curve: str) -> bool:
    """Whether a curve is a line over fading."""
    return any(curve in names for names in FADING_CURVES.values())


def computed(
    image: ideal.CodedImage, image_id: str, points: Sequence[CurvePoint], spec: LineSpec
) -> Iterator[list[tuple[CurvePoint, Value]]]:
    """Compute lines of an image, a list for each channel, rate and SNR.

    Args:
        image: the image and its codec; some FILES are made of it.
        image_id: part of what the gains come from.
        points: what is wanted, some of the spec's.
        spec: all of it, so that a part that is computed later is what it had been.

    Raises:
        ValueError: see `rate_quality.measure`.
    """
    groups: dict[tuple[Fading, float, float], list[CurvePoint]] = defaultdict(list)
    for point in points:
        groups[Fading(point.channel, point.channel_options), point.rho, point.snr_db].append(point)
    most_bits = ideal.budget_bits(_uses(image, max(spec.rhos)), MOST_SNR_DB) if groups else 0
    curve = rate_quality.measure(image, most_bits) if groups else None
    for (fade, rho, snr_db), wanted in groups.items():
        assert curve is not None
        uses, seeds = _uses(image, rho), {it.draw: derive_seed(spec.seed, image_id, snr_db, it.draw) for it in wanted}
        gains = {draw: power_gains(fade, snr_db, uses, seed) for draw, seed in seeds.items()}
        yield [(point, _value(point, curve, uses, gains[point.draw])) for point in wanted]


def power_gains(fade: Fading, snr_db: float, uses: int, seed: int) -> FloatArray:
    """Return the gains |h|^2 [blocks] that symbols meet, a last block that is shorter included."""
    channel = channels.make(fade.channel, torch.tensor([snr_db]), fade.options)
    gain = channel.draw(torch.Size((1, uses)), Draws(noise_generator(seed))).gain
    assert gain is not None  # of a channel that fades
    return gain[0].abs().double().square().numpy()


def _uses(image: ideal.CodedImage, rho: float) -> int:
    return ideal.channel_uses(rho, *image.pixels.shape[:2])


def _value(point: CurvePoint, curve: Curve, uses: int, gains: FloatArray) -> Value:
    line, snr_db = point.curve.partition("_")[2], point.snr_db
    if line == ERGODIC:
        bits = ergodic_bits(uses, snr_db)
        return Value(int(bits), bool(bits >= curve.sizes_bits[0]), fading.ergodic_db(curve, uses, snr_db))
    if line == FEEDBACK:
        received = fading.csit_realised(curve, uses, gains, snr_db)
        bits = uses * float(mutual_information(gains, snr_db))
        return Value(int(bits), not received.outage, float(received.psnr_db))
    plan, rate_bits = _planned(line, curve, uses, _outlook_of(point, uses))
    received = plan.realised(gains, snr_db)
    return Value(int(uses * rate_bits), not received.outage, float(received.psnr_db))


@lru_cache(maxsize=64)
def _planned(line: str, curve: Curve, uses: int, outlook: Outlook) -> tuple[SingleRate | TwoLayer, float]:
    """Return a line's plan, and the bits per channel use that are sent: of what is worth sending."""
    if line == ONE_RATE:
        one = fading.single_rate(curve, uses, outlook)
        return one, _finite(one.rate_bits)
    two = fading.two_layer(curve, uses, outlook)
    return two, sum(map(_finite, two.rates_bits))


def _finite(rate_bits: float) -> float:
    return rate_bits if math.isfinite(rate_bits) else 0.0


def _outlook_of(point: CurvePoint, uses: int) -> Outlook:
    fade = Fading(point.channel, point.channel_options)
    blocks = math.ceil(math.ceil(uses / 2) / fade.coherence) if fade.coherence else 1
    return _outlook(fade, round(point.snr_db + point.told_above_db, 6), blocks)


@lru_cache(maxsize=64)
def _outlook(fade: Fading, snr_db: float, blocks: int) -> Outlook:
    """Return what is known of a channel at an SNR in dB: in closed form, or from draws of one gain per image."""
    if "k_factor_db" not in fade.options:
        return rayleigh(snr_db, blocks)
    channel = channels.make(fade.channel, torch.full((DRAWS,), snr_db), fade.options)
    gain = channel.draw(torch.Size((DRAWS, 2)), Draws(noise_generator(_SEED))).gain
    assert gain is not None  # of a channel that fades
    return drawn(gain.abs().double().square().numpy(), snr_db)
