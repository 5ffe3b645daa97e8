"""Settings of the orchestrator service, read from the environment."""

from pathlib import Path

from pydantic import Field

from jscc.wire.settings import ServiceSettings


class OrchestratorSettings(ServiceSettings):
    """What the orchestrator can be told."""

    encoder_address: str = Field(
        default="127.0.0.1:50051", pattern=r"^\S+:\d{1,5}$", description="host:port of the encoder"
    )
    channel_address: str = Field(
        default="127.0.0.1:50052", pattern=r"^\S+:\d{1,5}$", description="host:port of the channel"
    )
    decoder_address: str = Field(
        default="127.0.0.1:50053", pattern=r"^\S+:\d{1,5}$", description="host:port of the decoder; several with commas"
    )
    runs: Path = Field(default=Path("runs"), description="folder of the sweeps' results")
    concurrency: int = Field(default=4, ge=1, le=64, description="transmissions under way at once")
    start_timeout_s: float = Field(default=300.0, gt=0, le=3600, description="how long the services are waited for")
