"""`python -m services.decoder`: serve the decoder."""

from jscc.serving.host import Host
from jscc.serving.runtime import start_torch
from jscc.wire import server
from jscc.wire.log import log_to_stderr
from jscc.wire.settings import clear_errors, read
from services.decoder.servicer import DecoderServicer
from services.decoder.settings import DecoderSettings


def main() -> None:
    """Read the settings, load the receivers, serve until SIGTERM."""
    settings = read(DecoderSettings)
    log_to_stderr("decoder", settings.log_level)
    settings.begin()
    start_torch(settings.threads)
    with clear_errors():
        host = Host(settings.checkpoints, "receiver", settings.methods, settings.device, settings.precision)
        server.run(DecoderServicer(host, settings.in_force()).service(), settings.binding())


if __name__ == "__main__":
    main()
