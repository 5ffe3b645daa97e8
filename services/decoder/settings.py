"""Settings of the decoder service, read from the environment."""

from jscc.wire.settings import ModelSettings


class DecoderSettings(ModelSettings):
    """What the decoder can be told."""
