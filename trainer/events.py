"""TensorBoard's event files: a convenience, which a run does without where they cannot be written."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jscc.images import Pixels


class Events:
    """Writes scalars and pictures, until the disk refuses."""

    def __init__(self, folder: Path, last_step: int, say: Callable[[str], None]) -> None:
        """Open an event file; without the package, or where it cannot be written, say so and write nothing.

        Args:
            folder: of the event files.
            last_step: later steps of older files no longer count.
            say: tells the user a line.
        """
        self._folder, self._say = folder, say
        self._writer: Any = None
        self._former_hook = threading.excepthook
        try:
            from torch.utils.tensorboard import SummaryWriter

            threading.excepthook = self._except
            self._writer = SummaryWriter(str(folder), purge_step=last_step + 1)
        except ImportError:
            say("tensorboard is not installed: no event files, log.csv has the same numbers")
        except OSError as error:
            self._give_up(error)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write a number."""
        self._do(lambda writer: writer.add_scalar(name, value, step))

    def picture(self, name: str, pixels: Pixels, step: int) -> None:
        """Write a picture [H, W, 3]."""
        self._do(lambda writer: writer.add_image(name, pixels, step, dataformats="HWC"))

    def close(self) -> None:
        """Write what is left."""
        self._do(lambda writer: writer.close())
        threading.excepthook = self._former_hook

    def _do(self, work: Callable[[Any], object]) -> None:
        if self._writer is None:
            return
        try:
            work(self._writer)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        self._say(f"{self._folder}: no more event files ({error.strerror or error}); log.csv has the same numbers")

    def _except(self, arguments: threading.ExceptHookArgs) -> None:
        """Print nothing of the package's own thread: what stopped it is raised by the next call."""
        if not type(arguments.thread).__module__.startswith("tensorboard"):
            self._former_hook(arguments)
