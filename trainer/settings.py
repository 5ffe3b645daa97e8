"""Recipes: the typed form of a file `configs/<method>.toml`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jscc import config

PRECISIONS = ("float32", "bfloat16")
LOSSES = ("log_mse", "mse")


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


@dataclass(frozen=True)
class MethodSettings:
    """What is trained.

    Attributes:
        name: one of jscc.models.names().
        config: the method's own Config.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSettings:
    """Photos and crops.

    Attributes:
        folders: folders with photos; none means $JSCC_DATA/train.
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
        ordered = -30.0 <= self.snr_low_db <= self.snr_high_db <= 60.0
        _require(ordered, f"snr_low_db..snr_high_db must lie in -30..60, got {self.snr_low_db}..{self.snr_high_db}")


@dataclass(frozen=True)
class LossSettings:
    """What is minimised.

    Attributes:
        kind: "log_mse", the mean over samples of log(MSE + epsilon), which weighs every SNR alike; or "mse".
        epsilon: floor inside the logarithm, in squared units of the [0, 1] image.
    """

    kind: str = "log_mse"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(self.kind in LOSSES, f"kind must be one of {', '.join(LOSSES)}, got '{self.kind}'")
        _require(self.epsilon > 0, f"epsilon must be positive, got {self.epsilon}")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with warm-up and cosine decay to zero.

    Attributes:
        learning_rate: peak learning rate.
        warmup_fraction: share of the budget during which the rate rises from zero.
        beta2: decay of Adam's second moment.
        weight_decay: decoupled decay; never of biases, PReLU slopes and `no_decay`.
        no_decay: parts of parameter names without decay.
        clip_norm: largest gradient norm.
        ema_decay: decay of the averaged weights after their warm-up.
        lr_scale: part of a parameter's dotted name -> factor on its learning rate; the longest match counts.
    """

    learning_rate: float = 4e-4
    warmup_fraction: float = 0.02
    beta2: float = 0.99
    weight_decay: float = 1e-4
    no_decay: tuple[str, ...] = ("attention",)
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    lr_scale: dict[str, float] = field(default_factory=dict)

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
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    run: RunSettings = field(default_factory=RunSettings)


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ValueError: the file is missing, is no TOML, or holds an unknown key or a bad value; names file and key.
    """
    return config.from_mapping(Recipe, config.load_toml(path), str(path))
