"""Settings of the channel service, read from the environment."""

from pydantic import Field

from jscc.wire.settings import ServiceSettings


class ChannelSettings(ServiceSettings):
    """What the channel can be told."""

    threads: int = Field(default=1, ge=0, le=1024, description="CPU threads; 0 for one per core")
