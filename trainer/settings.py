"""Recipes: the typed form of a file `configs/<method>.toml`."""

import itertools
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from jscc import config
from jscc.grid import FADINGS, MAX_COHERENCE, MAX_PILOTS, PLAIN, Grid
from jscc.limits import FAMILIES, MAX_LABEL, MAX_SEED, MAX_SIDE_PX, MAX_SNR_DB, MIN_SNR_DB
from jscc.machine import DEVICE_PATTERN, PRECISIONS
from jscc.seeds import derive_seed
from trainer.ranges import OneOf, Range, check

MEMORY_FORMATS = ("auto", "channels_last", "contiguous")
LOSSES = ("log_mse", "mse", "snr_balanced_mse")

_SNR = Range(MIN_SNR_DB, MAX_SNR_DB)
_SIDE = Range(16, MAX_SIDE_PX)
"""Crops of less than a patch or than what the deepest layer sees as one pixel teach nothing."""
_WEIGHT = Range(0, 10**6)
_POSITIVE = Range(0, 10**6, above=True)
_MINUTES = Range(0, 10**7)
_SHARE = Range(0, 1, below=True)


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


@dataclass(frozen=True)
class MethodSettings:
    """What is trained.

    Attributes:
        name: one of jscc.models.names().
        config: the method's own Config.
        listens_to: for a method that is only another receiver: checkpoint `<folder>/<name>` of the method whose
            transmitter it listens to. That transmitter stays as it is.
        label: what figures call its checkpoint; the checkpoint's name when empty.
        family: what kind of transmission it is, one of jscc.limits.FAMILIES.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    listens_to: str = ""
    label: str = field(default="", compare=False)  # a run may be called something else without being another one
    family: str = field(default=FAMILIES[0], compare=False)

    def __post_init__(self) -> None:
        """Check what the card would refuse after the training."""
        _require(self.family in FAMILIES, f"family must be one of {', '.join(FAMILIES)}, got '{self.family}'")
        _require(len(self.label) <= MAX_LABEL, f"label must have at most {MAX_LABEL} characters")


@dataclass(frozen=True)
class DataSettings:
    """Photos and crops.

    Attributes:
        folders: folders with photos, or "div2k", which is downloaded; none means $JSCC_DATA/train.
        weights: share of the crops of each folder, in any unit; none means that every photo is equally likely.
        crop_px: side of the square training crops.
        batch_size: crops per step.
        flips: mirror half of the crops left to right.
        rotations: turn the crops by a random multiple of 90 degrees.
        validation_every: where no photo is of the data set "validation", which is never trained on, every n-th by name
            is for validation.
        validation_photos: number of these that are scored during a run.
        validation_crop_px: largest side of their centre crops.
        initialise_photos: training photos shown to the method's `initialise`; 0 leaves the random start.
    """

    folders: tuple[str, ...] = ()
    weights: Annotated[tuple[float, ...], _POSITIVE] = ()
    crop_px: Annotated[int, _SIDE] = 128
    batch_size: Annotated[int, Range(1, 4096)] = 16
    flips: bool = True
    rotations: bool = False
    validation_every: Annotated[int, Range(2, 10**6)] = 25
    validation_photos: Annotated[int, Range(1, 10**4)] = 16
    validation_crop_px: Annotated[int, _SIDE] = 256
    initialise_photos: Annotated[int, Range(0, 10**6)] = 300

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)
        _require(
            all(name.strip() for name in self.folders), "folders: a name is empty; '.' is the folder one stands in"
        )
        fitting = not self.weights or len(self.weights) == len(self.folders)
        _require(fitting, f"weights must be {len(self.folders)}, one for each folder, got {len(self.weights)}")


@dataclass(frozen=True)
class AirSettings:
    """What the air does: an SNR per sample, uniform in [snr_low_db, snr_high_db], the mean one where it fades.

    Attributes:
        snr_low_db: lowest SNR in dB.
        snr_high_db: highest SNR in dB.
        fading: share of the steps, in any unit, by how the channel fades in them and the transmitter is told so, see
            `Grid.fading`; "block" has one gain per sample.
        coherence: complex symbols that share a gain where the fading is fast.
        pilots: complex symbols of each block from which its gain is estimated; 0 for gains that are known.
    """

    snr_low_db: Annotated[float, _SNR] = -6.0
    snr_high_db: Annotated[float, _SNR] = 21.0
    fading: Annotated[dict[str, float], Range(0, 10**6)] = field(default_factory=lambda: {"none": 1.0})
    coherence: Annotated[int, Range(1, MAX_COHERENCE)] = 1
    pilots: Annotated[int, Range(0, MAX_PILOTS)] = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)
        _require_snrs(self.snr_low_db, self.snr_high_db)
        unknown = sorted(set(self.fading) - set(FADINGS))
        _require(not unknown, f"fading: unknown '{''.join(unknown[:1])}' (known: {', '.join(FADINGS)})")
        _require(sum(self.fading.values()) > 0, "fading: one of the shares must be above 0")
        self._grids()

    def _grids(self) -> list[tuple[Grid, float]]:
        of = {"none": PLAIN, "fast": Grid("fast", self.coherence, self.pilots), "block": Grid("block", 0, self.pilots)}
        return [(of[name], self.fading[name]) for name in sorted(self.fading)]

    def grid_of(self, step: int, seed: int) -> Grid:
        """Return the grid of a step: which fading it has follows from the seed and the step alone."""
        grids, shares = zip(*self._grids(), strict=True)
        drawn: Grid = random.Random(derive_seed(seed, "fading", 0.0, step)).choices(grids, shares)[0]
        return drawn


@dataclass(frozen=True)
class StageSettings:
    """One stage of a curriculum: other SNRs than those of [channel] for a part of the budget.

    Attributes:
        until_fraction: share of the budget at which the stage ends, in (0, 1).
        snr_low_db: lowest SNR in dB.
        snr_high_db: highest SNR in dB; equal to the lowest for a fixed SNR.
    """

    until_fraction: Annotated[float, Range(0, 1, above=True, below=True)]
    snr_low_db: Annotated[float, _SNR]
    snr_high_db: Annotated[float, _SNR]

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)
        _require_snrs(self.snr_low_db, self.snr_high_db)


def _require_snrs(low_db: float, high_db: float) -> None:
    _require(low_db <= high_db, f"snr_low_db: must be at most snr_high_db, got {low_db:g} and {high_db:g}")


@dataclass(frozen=True)
class LossSettings:
    """What is minimised: pixel_weight * kind + ms_ssim_weight * (1 - MS-SSIM) + lpips_weight * LPIPS.

    Attributes:
        kind: "log_mse", the mean over samples of log(MSE + epsilon), which weighs every SNR alike; "mse"; or
            "snr_balanced_mse", the mean of MSE / MSE_ref(SNR).
        epsilon: floor inside the logarithm, in squared units of the [0, 1] image.
        pixel_weight: weight of the kind.
        ms_ssim_weight: weight of 1 - MS-SSIM; 0 leaves it out.
        lpips_weight: weight of LPIPS (AlexNet, v0.1); 0 leaves it out.
        reference_snr_db: rising SNRs of the table MSE_ref; none takes the error of the linear code of equal rho.
        reference_mse: MSE_ref at these SNRs, in squared units of the [0, 1] image.
    """

    kind: Annotated[str, OneOf(LOSSES)] = "log_mse"
    epsilon: Annotated[float, Range(0, 1, above=True)] = 1e-6
    pixel_weight: Annotated[float, _WEIGHT] = 1.0
    ms_ssim_weight: Annotated[float, _WEIGHT] = 0.0
    lpips_weight: Annotated[float, _WEIGHT] = 0.0
    reference_snr_db: Annotated[tuple[float, ...], _SNR] = ()
    reference_mse: Annotated[tuple[float, ...], _POSITIVE] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)
        weighted = self.pixel_weight + self.ms_ssim_weight + self.lpips_weight > 0
        _require(weighted, "pixel_weight, ms_ssim_weight, lpips_weight: one of them must be above 0")
        self._check_reference()

    def _check_reference(self) -> None:
        snrs_db, errors = self.reference_snr_db, self.reference_mse
        _require(not snrs_db or self.kind == "snr_balanced_mse", "reference_snr_db: for kind 'snr_balanced_mse' only")
        same = len(snrs_db) == len(errors)
        _require(same, f"reference_mse: must have {len(snrs_db)} values, as reference_snr_db, got {len(errors)}")
        rising = all(low < high for low, high in itertools.pairwise(snrs_db))
        _require(rising, f"reference_snr_db: must rise, got {snrs_db}")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW, or Muon for some kernels, with warm-up and cosine decay to zero.

    Attributes:
        learning_rate: peak learning rate.
        warmup_fraction: share of the budget during which the rate rises from zero.
        beta2: decay of Adam's second moment.
        weight_decay: decoupled decay; never of biases, PReLU slopes and `no_decay`.
        no_decay: parts of parameter names without decay.
        clip_norm: largest gradient norm.
        ema_decay: decay of the averaged weights after their warm-up.
        lr_scale: part of a parameter's dotted name -> factor on its learning rate; the longest match counts.
        muon: parts of parameter names whose convolution kernels Muon updates.
    """

    learning_rate: Annotated[float, Range(0, 10, above=True)] = 4e-4
    warmup_fraction: Annotated[float, _SHARE] = 0.02
    beta2: Annotated[float, _SHARE] = 0.99
    weight_decay: Annotated[float, Range(0, 10)] = 1e-4
    no_decay: tuple[str, ...] = ("attention",)
    clip_norm: Annotated[float, _POSITIVE] = 1.0
    ema_decay: Annotated[float, _SHARE] = 0.999
    lr_scale: Annotated[dict[str, float], Range(0, 1000)] = field(default_factory=dict)
    muon: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)


@dataclass(frozen=True)
class RunSettings:
    """How a run behaves.

    Attributes:
        minutes: budget of training time; 0 for none. `--minutes` and `--steps` take its place.
        steps: budget of steps; 0 for none.
        seed: seed of weights, crops, SNRs and noise.
        device: "auto", "cpu", "cuda" or such as "cuda:1".
        precision: of the networks, "float32", "bfloat16" or, by what the hardware is good at, "auto"; channel, power,
            loss and metrics are float32 in any case.
        memory_format: of weights and images, "channels_last", "contiguous" or, by a measurement at the start, "auto".
        fused: whether AdamW updates all weights in one pass; by a measurement at the start unless the recipe says.
        compile: compile the two halves with torch.compile; needs a C++ compiler, or Triton on a GPU.
        log_steps: steps between two rows of log.csv.
        checkpoint_minutes: minutes between two checkpoints.
        validate_minutes: minutes between two validations.
        tensorboard: write event files too.
    """

    minutes: Annotated[float, _MINUTES] = 0.0
    steps: Annotated[int, Range(0, 10**9)] = 0
    seed: Annotated[int, Range(0, MAX_SEED)] = 0
    device: str = "auto"
    precision: Annotated[str, OneOf(PRECISIONS)] = "auto"
    memory_format: Annotated[str, OneOf(MEMORY_FORMATS)] = "auto"
    fused: bool | None = None
    compile: bool = False
    log_steps: Annotated[int, Range(1, 10**9)] = 20
    checkpoint_minutes: Annotated[float, _MINUTES] = 3.0
    validate_minutes: Annotated[float, _MINUTES] = 10.0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)
        known = re.fullmatch(DEVICE_PATTERN, self.device) is not None
        _require(known, f"device: must be auto, cpu, cuda or such as cuda:1, got '{self.device}'")


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run is made of; one table of the file each."""

    method: MethodSettings
    data: DataSettings = field(default_factory=DataSettings)
    channel: AirSettings = field(default_factory=AirSettings)
    curriculum: tuple[StageSettings, ...] = ()
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Check what concerns several values."""
        ends = [stage.until_fraction for stage in self.curriculum]
        _require(ends == sorted(set(ends)), f"curriculum: until_fraction must rise from stage to stage, got {ends}")

    def snrs_db(self, position: float) -> tuple[float, float]:
        """Return the lowest and the highest SNR at a position in the budget, 0..1."""
        for stage in self.curriculum:
            if position < stage.until_fraction:
                return stage.snr_low_db, stage.snr_high_db
        return self.channel.snr_low_db, self.channel.snr_high_db


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ValueError: the file is missing, is no TOML, or holds an unknown key or a bad value; names file and key.
    """
    try:
        table = config.load_toml(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no TOML: byte {error.start} is not UTF-8") from error
    return config.from_mapping(Recipe, table, str(path))
