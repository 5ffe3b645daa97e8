"""The training loop: budget, logs, validation, checkpoints, signals."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from jscc.images import Pixels
from trainer import run_folder, sample_grid
from trainer.evaluate import SNRS_DB, mean_psnr_db, receive
from trainer.journal import Journal, Silence, snr_column
from trainer.learner import Learner
from trainer.optimisation import Budget, rate_factor


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
        self._has_signal = self._save_is_due = False
        self._clock_s = self._saved_s = self._logged_s = 0.0
        self._logged_step = 0

    def go(self) -> bool:
        """Train until the budget is used or a signal comes; the state is saved either way.

        Returns:
            Whether the budget is used.
        """
        progress = self.learner.progress
        with self._journal() as journal, self._signals():
            if progress.step == 0:
                self._validate(journal)
            journal.progress(self._position())
            self._clock_s = self._saved_s = self._logged_s = time.monotonic()
            self._logged_step = progress.step
            self._agree()
            while not self.stopped and self._position() < 1:
                self._step(journal)
            if not self.stopped:
                self._validate(journal)
                self._agree()
            self._save()
            state = "stopped; --resume goes on" if self.stopped else "done"
            journal.say(f"{self.folder}: {state} at step {progress.step}, {progress.elapsed_s / 60:.1f} minutes")
        return not self.stopped

    def _journal(self) -> Journal | Silence:
        learner = self.learner
        if not learner.team.leads:
            return Silence()
        return Journal(self.folder, learner.progress.step, SNRS_DB, learner.recipe.run.tensorboard, learner.loss_terms)

    def _step(self, journal: Journal | Silence) -> None:
        recipe, progress, position = self.learner.recipe, self.learner.progress, self._position()
        rate = recipe.optimiser.learning_rate * rate_factor(position, recipe.optimiser.warmup_fraction)
        self.learner.step(rate, recipe.snrs_db(position))
        self._tick()
        self._agree()
        if progress.step % recipe.run.log_steps == 0:
            self._log(journal, rate)
        if progress.elapsed_s - progress.validated_s >= 60 * recipe.run.validate_minutes:
            self._validate(journal)
            self._tick()
            self._agree()
        if self._save_is_due:
            self._save()
        journal.progress(self._position())

    def _position(self) -> float:
        return self.budget.position(self.learner.progress.step, self.learner.progress.elapsed_s)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self.learner.progress.elapsed_s += now_s - self._clock_s
        self._clock_s = now_s

    def _agree(self) -> None:
        """Let the first process's clock, and a signal to any process, count for the whole team."""
        progress, team = self.learner.progress, self.learner.team
        due = self._clock_s - self._saved_s >= 60 * self.learner.recipe.run.checkpoint_minutes
        told = [progress.elapsed_s, float(due)] if team.leads else [0.0, 0.0]
        progress.elapsed_s, is_due, stopped = team.largest([*told, float(self._has_signal)])
        self._save_is_due, self.stopped = is_due > 0, stopped > 0

    def _log(self, journal: Journal | Silence, rate: float) -> None:
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

    def _validate(self, journal: Journal | Silence) -> None:
        """Score the averaged weights; the other processes of a team go on and wait where they next agree."""
        self.learner.check()
        progress, precision = self.learner.progress, self.learner.recipe.run.precision
        scores: dict[str, float] = {}
        shown: dict[float, list[Pixels]] = {}
        for snr_db in SNRS_DB if self.learner.team.leads else ():
            if self._has_signal:  # who sends SIGTERM does not wait for long; the resumed run does it again
                return
            received = receive(self.learner.average, self.validation, snr_db, precision)
            scores[snr_column(snr_db)] = mean_psnr_db(self.validation.values(), received)
            if snr_db in sample_grid.SNRS_DB:
                shown[snr_db] = received[: sample_grid.PHOTOS]
        progress.validated_s = progress.elapsed_s
        if scores:
            self._write_validation(journal, scores)
            journal.samples(
                progress.step, sample_grid.grid(list(self.validation.values())[: sample_grid.PHOTOS], shown)
            )

    def _write_validation(self, journal: Journal | Silence, scores: dict[str, float]) -> None:
        progress, mean = self.learner.progress, sum(scores.values()) / len(scores)
        if mean > progress.best_psnr_db:
            progress.best_psnr_db, progress.best_step = mean, progress.step
        elapsed_s = round(progress.elapsed_s, 3)
        journal.validation({"step": progress.step, "elapsed_s": elapsed_s, "mean_psnr_db": mean, **scores})

    def _save(self) -> None:
        self.learner.check()
        self.learner.share_sums()
        if self.learner.team.leads:
            run_folder.save_state(self.folder, self.learner.state())
        self._saved_s = time.monotonic()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT end the loop after the step under way."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._has_signal = True

        former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
