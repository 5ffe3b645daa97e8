"""Recipes: the typed form of a file `configs/<method>.toml`."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jscc import config
from jscc.limits import FAMILIES, MAX_LABEL

PRECISIONS = ("float32", "bfloat16")
LOSSES = ("log_mse", "mse", "snr_balanced_mse")
SNR_LIMITS_DB = (-30.0, 60.0)


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
        validation_every: every n-th photo by name is for validation, never for training.
        validation_photos: number of these that are scored during a run.
        validation_crop_px: largest side of their centre crops.
        initialise_photos: training photos shown to the method's `initialise`; 0 leaves the random start.
    """

    folders: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    crop_px: int = 128
    batch_size: int = 16
    flips: bool = True
    rotations: bool = False
    validation_every: int = 25
    validation_photos: int = 16
    validation_crop_px: int = 256
    initialise_photos: int = 300

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(self.initialise_photos >= 0, f"initialise_photos must not be negative, got {self.initialise_photos}")
        for name in ("crop_px", "batch_size", "validation_photos", "validation_crop_px"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        _require(self.validation_every >= 2, f"validation_every must be at least 2, got {self.validation_every}")
        _require(all(weight > 0 for weight in self.weights), f"weights must be positive, got {self.weights}")
        fitting = not self.weights or len(self.weights) == len(self.folders)
        _require(fitting, f"weights must be {len(self.folders)}, one for each folder, got {len(self.weights)}")


@dataclass(frozen=True)
class ChannelSettings:
    """AWGN with an SNR per sample, uniform in [snr_low_db, snr_high_db].

    Attributes:
        snr_low_db: lowest SNR in dB.
        snr_high_db: highest SNR in dB.
    """

    snr_low_db: float = -6.0
    snr_high_db: float = 21.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require_snrs(self.snr_low_db, self.snr_high_db)


@dataclass(frozen=True)
class StageSettings:
    """One stage of a curriculum: other SNRs than those of [channel] for a part of the budget.

    Attributes:
        until_fraction: share of the budget at which the stage ends, in (0, 1).
        snr_low_db: lowest SNR in dB.
        snr_high_db: highest SNR in dB; equal to the lowest for a fixed SNR.
    """

    until_fraction: float
    snr_low_db: float
    snr_high_db: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(0 < self.until_fraction < 1, f"until_fraction must be in (0, 1), got {self.until_fraction}")
        _require_snrs(self.snr_low_db, self.snr_high_db)


def _require_snrs(low_db: float, high_db: float) -> None:
    least_db, most_db = SNR_LIMITS_DB
    ordered = least_db <= low_db <= high_db <= most_db
    _require(ordered, f"snr_low_db..snr_high_db must lie in {least_db:g}..{most_db:g}, got {low_db}..{high_db}")


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

    kind: str = "log_mse"
    epsilon: float = 1e-6
    pixel_weight: float = 1.0
    ms_ssim_weight: float = 0.0
    lpips_weight: float = 0.0
    reference_snr_db: tuple[float, ...] = ()
    reference_mse: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(self.kind in LOSSES, f"kind must be one of {', '.join(LOSSES)}, got '{self.kind}'")
        _require(self.epsilon > 0, f"epsilon must be positive, got {self.epsilon}")
        weights = {name: getattr(self, name) for name in ("pixel_weight", "ms_ssim_weight", "lpips_weight")}
        for name, weight in weights.items():
            _require(weight >= 0, f"{name} must not be negative, got {weight}")
        _require(sum(weights.values()) > 0, f"one of {', '.join(weights)} must be above 0")
        self._check_reference()

    def _check_reference(self) -> None:
        snrs_db, errors = self.reference_snr_db, self.reference_mse
        _require(not snrs_db or self.kind == "snr_balanced_mse", "reference_snr_db is for kind 'snr_balanced_mse' only")
        same = len(snrs_db) == len(errors)
        _require(same, f"reference_mse must have {len(snrs_db)} values, as reference_snr_db, got {len(errors)}")
        rising = all(low < high for low, high in itertools.pairwise(snrs_db))
        _require(rising, f"reference_snr_db must rise, got {snrs_db}")
        _require(all(error > 0 for error in errors), f"reference_mse must be positive, got {errors}")


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

    learning_rate: float = 4e-4
    warmup_fraction: float = 0.02
    beta2: float = 0.99
    weight_decay: float = 1e-4
    no_decay: tuple[str, ...] = ("attention",)
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    lr_scale: dict[str, float] = field(default_factory=dict)
    muon: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}")
        _require(0 <= self.warmup_fraction < 1, f"warmup_fraction must be in [0, 1), got {self.warmup_fraction}")
        _require(0 <= self.beta2 < 1, f"beta2 must be in [0, 1), got {self.beta2}")
        _require(self.weight_decay >= 0, f"weight_decay must not be negative, got {self.weight_decay}")
        _require(self.clip_norm > 0, f"clip_norm must be positive, got {self.clip_norm}")
        _require(0 <= self.ema_decay < 1, f"ema_decay must be in [0, 1), got {self.ema_decay}")
        negative = [name for name, scale in self.lr_scale.items() if scale < 0]
        _require(not negative, f"lr_scale must not be negative, got {negative}")


@dataclass(frozen=True)
class RunSettings:
    """How a run behaves.

    Attributes:
        minutes: budget of training time; 0 for none. `--minutes` and `--steps` take its place.
        steps: budget of steps; 0 for none.
        seed: seed of weights, crops, SNRs and noise.
        device: "auto", "cpu" or "cuda".
        precision: of the networks; channel, power, loss and metrics are float32 in any case.
        compile: compile the two halves with torch.compile; needs a C++ compiler, or Triton on a GPU.
        log_steps: steps between two rows of log.csv.
        checkpoint_minutes: minutes between two checkpoints.
        validate_minutes: minutes between two validations.
        tensorboard: write event files too.
    """

    minutes: float = 0.0
    steps: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "bfloat16"
    compile: bool = False
    log_steps: int = 20
    checkpoint_minutes: float = 3.0
    validate_minutes: float = 10.0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(self.precision in PRECISIONS, f"precision must be one of {PRECISIONS}, got '{self.precision}'")
        _require(self.log_steps >= 1, f"log_steps must be at least 1, got {self.log_steps}")
        _require(self.minutes >= 0 and self.steps >= 0, "minutes and steps must not be negative")


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run is made of; one table of the file each."""

    method: MethodSettings
    data: DataSettings = field(default_factory=DataSettings)
    channel: ChannelSettings = field(default_factory=ChannelSettings)
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
    return config.from_mapping(Recipe, config.load_toml(path), str(path))
