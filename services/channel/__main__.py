"""`python -m services.channel`: serve the channel."""

from jscc.serving.runtime import start_torch
from jscc.wire import server
from jscc.wire.log import log_to_stderr
from jscc.wire.settings import clear_errors, read
from services.channel.servicer import ChannelServicer
from services.channel.settings import ChannelSettings


def main() -> None:
    """Read the settings, serve until SIGTERM."""
    settings = read(ChannelSettings)
    log_to_stderr("channel", settings.log_level)
    settings.begin()
    start_torch(settings.threads)
    with clear_errors():
        server.run(ChannelServicer(settings.in_force()).service(), settings.binding())


if __name__ == "__main__":
    main()
