"""`python -m services.encoder`: serve the encoder."""

from jscc.serving.host import Host
from jscc.serving.runtime import start_torch
from jscc.wire import server
from jscc.wire.log import log_to_stderr
from jscc.wire.settings import clear_errors, read
from services.encoder.servicer import EncoderServicer
from services.encoder.settings import EncoderSettings


def main() -> None:
    """Read the settings, load the transmitters, serve until SIGTERM."""
    settings = read(EncoderSettings)
    log_to_stderr("encoder", settings.log_level)
    settings.begin()
    start_torch(settings.threads)
    with clear_errors():
        host = Host(settings.checkpoints, "transmitter", settings.methods, settings.device, settings.precision)
        server.run(EncoderServicer(host, settings.in_force()).service(), settings.binding())


if __name__ == "__main__":
    main()
