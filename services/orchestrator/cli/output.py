"""Where the command line writes: results on standard output, everything else on standard error."""

import json
import math
import sys
from typing import Any

from rich.console import Console

console = Console(emoji=False)  # an address such as a:b:c is no emoji
"""Results for people."""
errors = Console(stderr=True, emoji=False)
"""Everything else."""


def say(line: str) -> None:
    """Show a line that a person should know."""
    errors.print(line, markup=False, highlight=False, soft_wrap=True)


def fail(sentence: str) -> None:
    """Show in one line what went wrong."""
    errors.print(f"error: {' '.join(sentence.split())}", style="red", markup=False, highlight=False, soft_wrap=True)


def show(line: str) -> None:
    """Show a line of the result, as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_json(document: Any) -> None:
    """Write one JSON document, the only thing on standard output; what is no number is null."""
    sys.stdout.write(json.dumps(_strict(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
