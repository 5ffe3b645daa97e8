"""Settings of the orchestrator service, read from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from jscc.wire.settings import ServiceSettings
from services.orchestrator.link.addresses import check_address


def _checked(text: str) -> str:
    return ",".join(check_address("address", item) for item in text.split(","))


Address = Annotated[str, AfterValidator(lambda text: check_address("address", text))]
Addresses = Annotated[str, AfterValidator(_checked)]


class OrchestratorSettings(ServiceSettings):
    """What the orchestrator can be told."""

    encoder_address: Address = Field(default="127.0.0.1:50051", description="host:port of the encoder")
    channel_address: Address = Field(default="127.0.0.1:50052", description="host:port of the channel")
    decoder_address: Addresses = Field(
        default="127.0.0.1:50053", description="host:port of the decoder; several with commas"
    )
    runs: Path = Field(default=Path("runs"), description="folder of the sweeps' results")
    concurrency: int = Field(default=4, ge=1, le=64, description="transmissions under way at once")
    start_timeout_s: float = Field(default=300.0, gt=0, le=3600, description="how long the services are waited for")
