"""How a service's process ends while nothing serves in it yet, or no longer; and with the process that started it."""

import os
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What asks a service to end."""


def end_at_once_on_signals() -> None:
    """End the process with 0 when it is asked to: nothing is under way, and loading cannot be broken off otherwise."""
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(0))


def end_with_stdin() -> None:
    """Ask this process to end when its standard input does: a pipe of which only its parent has the other end.

    However the parent dies, the kernel closes the pipe. Linux's signal on a parent's death is tied to the thread that
    started the process, so it may come while the parent lives, and Python would have to set it between fork and exec.
    """
    threading.Thread(target=_wait_for_end, name="parent", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
