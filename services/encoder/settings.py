"""Settings of the encoder service, read from the environment."""

from jscc.wire.settings import ModelSettings


class EncoderSettings(ModelSettings):
    """What the encoder can be told."""
