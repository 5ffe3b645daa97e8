"""What a failure of a command becomes: one line on standard error, exit code 2 for bad input and 1 for the rest."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer

from services.orchestrator.cli import output

T = TypeVar("T")

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


def checked(function: Callable[..., T], *values: Any) -> T:
    """Return what a function makes of a user's input; refused input ends the command.

    Raises:
        typer.Exit: with code 2, after one line.
    """
    try:
        return function(*values)
    except (ValueError, LookupError, OSError) as error:
        output.fail(sentence_of(error))
        raise typer.Exit(BAD_INPUT) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what the work of a command results in.

    Raises:
        typer.Exit: with code 1, 2 where a file that the user named is no image, or 130 when the user ended it.
    """
    return attempt(lambda: asyncio.run(work))


def attempt(function: Callable[..., T], *values: Any) -> T:
    """Return what a function of a command's work returns.

    Raises:
        typer.Exit: as `run` does.
    """
    try:
        return function(*values)
    except KeyboardInterrupt:
        sys.unraisablehook = lambda _: None  # of an event loop that was interrupted while it was made
        output.say("interrupted; what is done is kept")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        output.fail(sentence_of(error))
        raise typer.Exit(code) from None


def main_of(app: typer.Typer) -> int:
    """Run the command line and return its exit code; every failure is one line."""
    try:
        return int(app(sys.argv[1:] or ["--help"], prog_name="jscc-link", standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered has nowhere to go
        return FAILED
    except Exception as error:
        return _refused_or_unexpected(error)


def sentence_of(error: BaseException) -> str:
    """Return what an error says, without Python's numbers of the system's errors."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _code_of(error: Exception) -> int | None:
    """Return the exit code of a failure of the work; None of a mistake in the code."""
    from jscc.wire.errors import LinkError
    from services.orchestrator.link.routes import RouteError
    from services.orchestrator.sweep.recovery import SweepError

    if isinstance(error, ValueError):
        from jscc.images import ImageError
        from jscc.wire.tls import CredentialsError

        return BAD_INPUT if isinstance(error, ImageError | CredentialsError) else FAILED
    return FAILED if isinstance(error, LinkError | RouteError | SweepError | OSError) else None


def _refused_or_unexpected(error: Exception) -> int:
    """Return the exit code of arguments that the parser refused, or of a mistake in the code."""
    refusal = getattr(error, "format_message", None)
    if refusal is None:
        if os.environ.get("JSCC_TRACE"):
            raise error
        output.fail(f"unexpected {type(error).__name__}: {error}; JSCC_TRACE=1 shows where")
        return FAILED
    context = getattr(error, "ctx", None)
    where = f"{context.command_path} --help" if context is not None else "jscc-link --help"
    output.fail(f"{refusal().rstrip('.')}; see `{where}`")
    return BAD_INPUT
