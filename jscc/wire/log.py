"""Logs of a service: one JSON object per line on standard error, each with the request that it is about.

The names of a request are kept where the code that works for it runs, in its task of the event loop and in the model
thread, so that no line has to repeat them.
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

MAX_NAME = 200
"""Characters of a name that a line keeps, since callers choose them; a request_id may have as many."""

_request: ContextVar[Mapping[str, str]] = ContextVar("request", default=MappingProxyType({}))


def about(**names: str) -> None:
    """Say which request the further lines of this task, and of the work that it hands over, are about.

    It holds until it is said anew: every call has a task of its own, so nothing is left to be undone.

    Args:
        names: such as request_id and method; empty ones are left out.
    """
    _request.set({name: value[:MAX_NAME] for name, value in names.items() if value})


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object."""

    def __init__(self, service: str) -> None:
        """Name the service in every line."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return service, request, event, level, time in UTC and, where there is one, the exception."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line = {"service": self._service, **_request.get(), "event": record.getMessage()}
        line |= {"level": record.levelname.lower(), "timestamp": time.replace("+00:00", "Z")}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(service: str, level: str) -> None:
    """Log lines of at least a level to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
