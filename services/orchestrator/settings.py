"""Settings of the orchestrator service, read from the environment."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from jscc.wire import bearer
from jscc.wire.server import Binding
from jscc.wire.settings import File, ServiceSettings
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
    orchestrator_token: SecretStr | None = Field(default=None, description="what callers must show")
    orchestrator_token_file: File = Field(default=None, description="file that holds it instead")
    runs: Path = Field(default=Path("runs"), description="folder of the sweeps' results")
    concurrency: int = Field(default=4, ge=1, le=64, description="transmissions under way at once")
    start_timeout_s: float = Field(default=300.0, gt=0, le=3600, description="how long the services are waited for")

    def binding(self) -> Binding:
        """Return where and how to serve, and what callers must show.

        Raises:
            CredentialsError: settings of TLS or of the token cannot be used.
        """
        token, file = self.orchestrator_token, self.orchestrator_token_file
        return replace(super().binding(), token=bearer.read(token.get_secret_value() if token else "", str(file or "")))
