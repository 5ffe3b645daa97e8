"""The training loop: budget, logs, validation, checkpoints, signals."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from jscc.images import Pixels
from trainer import data, runs
from trainer.data import Photos
from trainer.evaluate import SNRS_DB, mean_psnr_db
from trainer.journal import Journal, snr_column
from trainer.learner import Learner
from trainer.link import build
from trainer.optimisation import Budget, rate_factor
from trainer.settings import DataSettings, Recipe

CACHE_FOLDER = Path("runs/cache")


class Run:
    """A learner, its folder and its budget."""

    def __init__(self, learner: Learner, folder: Path, budget: Budget, validation: Mapping[str, Pixels]) -> None:
        """Join them.

        Args:
            learner: at step 0 or restored.
            folder: the run's folder, opened.
            budget: when to end.
            validation: images by id.
        """
        self.learner = learner
        self.folder = folder
        self.budget = budget
        self.validation = validation
        self.stopped = False
        self._clock_s = self._saved_s = self._logged_s = 0.0
        self._logged_step = 0

    def go(self) -> bool:
        """Train until the budget is used or a signal comes; the state is saved either way.

        Returns:
            Whether the budget is used.
        """
        run, progress = self.learner.recipe.run, self.learner.progress
        with Journal(self.folder, progress.step, SNRS_DB, run.tensorboard) as journal, self._signals():
            if progress.step == 0:
                self._validate(journal)
            journal.begin(self._position())
            self._clock_s = self._saved_s = self._logged_s = time.monotonic()
            self._logged_step = progress.step
            while not self.stopped and self._position() < 1:
                self._step(journal)
            if not self.stopped:
                self._validate(journal)
            self._save()
            state = "stopped; --resume goes on" if self.stopped else "done"
            journal.say(f"{self.folder}: {state} at step {progress.step}, {progress.elapsed_s / 60:.1f} minutes")
        return not self.stopped

    def _step(self, journal: Journal) -> None:
        recipe, progress = self.learner.recipe, self.learner.progress
        rate = recipe.optimiser.learning_rate * rate_factor(self._position(), recipe.optimiser.warmup_fraction)
        self.learner.step(rate)
        self._tick()
        if progress.step % recipe.run.log_steps == 0:
            self._log(journal, rate)
        if progress.elapsed_s - progress.validated_s >= 60 * recipe.run.validate_minutes:
            self._validate(journal)
            self._tick()
        if self._clock_s - self._saved_s >= 60 * recipe.run.checkpoint_minutes:
            self._save()
        journal.progress(self._position())

    def _position(self) -> float:
        return self.budget.position(self.learner.progress.step, self.learner.progress.elapsed_s)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self.learner.progress.elapsed_s += now_s - self._clock_s
        self._clock_s = now_s

    def _log(self, journal: Journal, rate: float) -> None:
        means, progress = self.learner.take_means(), self.learner.progress
        batch_size, now_s = self.learner.recipe.data.batch_size, time.monotonic()
        crops = batch_size * (progress.step - self._logged_step)
        journal.log(
            {
                "step": progress.step,
                "elapsed_s": round(progress.elapsed_s, 3),
                "crops": progress.step * batch_size,
                "learning_rate": rate,
                **means,
                "crops_per_s": round(crops / max(now_s - self._logged_s, 1e-9), 2),
            }
        )
        self._logged_s, self._logged_step = now_s, progress.step

    def _validate(self, journal: Journal) -> None:
        self.learner.check()
        progress, precision = self.learner.progress, self.learner.recipe.run.precision
        scores: dict[str, float] = {}
        for snr_db in SNRS_DB:
            if self.stopped:  # who sends SIGTERM does not wait for long; the resumed run does it again
                return
            scores[snr_column(snr_db)] = mean_psnr_db(self.learner.average, self.validation, snr_db, precision)
        mean = sum(scores.values()) / len(scores)
        progress.validated_s = progress.elapsed_s
        if mean > progress.best_psnr_db:
            progress.best_psnr_db, progress.best_step = mean, progress.step
        elapsed_s = round(progress.elapsed_s, 3)
        journal.validation({"step": progress.step, "elapsed_s": elapsed_s, "mean_psnr_db": mean, **scores})

    def _save(self) -> None:
        self.learner.check()
        runs.save_state(self.folder, self.learner.state())
        self._saved_s = time.monotonic()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT end the loop after the step under way."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True

        former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def load_photos(settings: DataSettings) -> tuple[Photos, Photos]:
    """Return the (training, validation) photos of a recipe, through the cache ($JSCC_CACHE or runs/cache).

    Raises:
        ValueError: there are none, or they are smaller than a crop.
    """
    cache = Path(os.environ.get("JSCC_CACHE") or CACHE_FOLDER)
    photos = data.load(data.find(settings.folders), cache)
    training, validation = data.split(photos.names, settings.validation_every)
    if not training:
        raise ValueError(
            f"data: {len(photos)} photo(s) are too few: one in {settings.validation_every} is for validation"
        )
    data.require_side(photos, settings.crop_px)
    return photos.subset(training), photos.subset(validation)


def validation_images(photos: Photos, settings: DataSettings) -> dict[str, Pixels]:
    """Return centre crops of some validation photos by id."""
    chosen = data.spread(len(photos), settings.validation_photos)
    return {
        f"validation/{photos.names[index]}": data.centre_crop(photos.image(index), settings.validation_crop_px)
        for index in chosen
    }


def start(recipe: Recipe, folder: Path, budget: Budget, has_state: bool) -> Run:
    """Prepare a run: photos, the method's own initialisation at step 0, or the checkpoint.

    Raises:
        ValueError: photos, method or checkpoint do not fit the recipe.
    """
    device = runs.choose_device(recipe.run.device)
    training, validation = load_photos(recipe.data)
    link = build(recipe.method, recipe.run.seed, str(folder / runs.RECIPE_FILE))
    if not has_state and link.method.initialise is not None and recipe.data.initialise_photos:
        chosen = data.spread(len(training), recipe.data.initialise_photos)
        link.method.initialise(link.transmitter, link.receiver, [training.image(index) for index in chosen])
    learner = Learner(recipe, link, training, device)
    if has_state:
        _restore(learner, folder)
    runs.write_environment(folder, device)
    return Run(learner, folder, budget, validation_images(validation, recipe.data))


def _restore(learner: Learner, folder: Path) -> None:
    state = runs.load_state(folder)
    if state["photos"] != len(learner.photos):
        raise ValueError(f"{folder}: was trained on {state['photos']} photos, now there are {len(learner.photos)}")
    learner.restore(state)
