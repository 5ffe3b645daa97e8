"""`python -m services.orchestrator`: serve the orchestrator's API."""

import sys

from jscc.serving.runtime import start_torch
from jscc.wire import server
from jscc.wire.errors import LinkError
from jscc.wire.log import log_to_stderr
from jscc.wire.settings import clear_errors, read
from services.orchestrator.servicer import OrchestratorServicer
from services.orchestrator.settings import OrchestratorSettings


def main() -> None:
    """Read the settings, wait for the services, serve until SIGTERM."""
    settings = read(OrchestratorSettings)
    log_to_stderr("orchestrator", settings.log_level)
    settings.begin()
    start_torch(1)
    try:
        with clear_errors():
            server.run(OrchestratorServicer(settings).service(), settings.binding())
    except LinkError as error:
        print(f"the link does not come up: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
