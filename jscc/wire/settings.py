"""Settings that every service reads from its environment."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings

from jscc.cards import default_folder
from jscc.limits import MAX_QUEUE_BYTES
from jscc.wire import ending
from jscc.wire.credentials import TRUSTED_NETWORK
from jscc.wire.server import Binding
from jscc.wire.tls import CredentialsError, TlsFiles

S = TypeVar("S", bound="ServiceSettings")

File = Annotated[Path | None, BeforeValidator(lambda text: text or None)]
"""A file that need not be named; naming "" names none."""


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    listen_address: str = Field(default="127.0.0.1:0", pattern=r"^\S+:\d{1,5}$", description="host:port to listen on")
    max_queue: int = Field(default=64, ge=0, le=10_000, description="requests that may wait")
    max_queue_bytes: int = Field(
        default=MAX_QUEUE_BYTES, ge=0, le=2**40, description="bytes that they and those under way may hold"
    )
    tls_certificate: File = Field(default=None, description="PEM file of the certificate, for TLS")
    tls_key: File = Field(default=None, description="PEM file of its private key")
    tls_client_ca: File = Field(default=None, description="PEM file of the authorities that clients must be known by")
    tls_ca: File = Field(default=None, description="PEM file of the authorities that other services are known by")
    plain_text: Literal["loopback", "trusted-network"] = Field(
        default="loopback", description="how far plain text may go where there is no TLS"
    )
    reflection: Literal["auto"] | bool = Field(
        default="auto", description="whether clients may ask for the .proto files; auto where there is no TLS"
    )
    grace_s: float = Field(default=30.0, ge=0, le=3600, description="time for the work under way after SIGTERM")
    end_with_stdin: bool = Field(default=False, description="whether the service ends when its standard input does")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least level logged")

    def binding(self) -> Binding:
        """Return where and how to serve.

        Raises:
            CredentialsError: settings of TLS that do not go together.
        """
        files = self._files()
        reflection = files is None if self.reflection == "auto" else self.reflection
        bounds = self.max_queue, reflection, self.grace_s, self.max_queue_bytes
        return Binding(self.listen_address, *bounds, files, self.plain_text == TRUSTED_NETWORK)

    def _files(self) -> TlsFiles | None:
        if self.tls_certificate or self.tls_key:
            return TlsFiles(self.tls_certificate, self.tls_key, self.tls_client_ca, "TLS_CLIENT_CA")
        if self.tls_client_ca:
            raise CredentialsError("TLS_CLIENT_CA: there is no TLS without TLS_CERTIFICATE and TLS_KEY")
        return None

    def begin(self) -> None:
        """Let the process end quietly from now on, whoever asks for it."""
        ending.end_at_once_on_signals()
        if self.end_with_stdin:
            ending.end_with_stdin()

    def in_force(self) -> dict[str, str]:
        """Return every setting by the name of its environment variable."""
        return {name.upper(): str(value) for name, value in self.model_dump().items()}


class ModelSettings(ServiceSettings):
    """What a service that hosts models can be told besides."""

    methods: str = Field(
        default="",
        description="methods or checkpoints to serve, separated by commas; empty or all for all that have weights, "
        "-NAME leaves one out",
    )
    checkpoints: Path = Field(default_factory=default_folder, description="folder of weights and cards")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where the models run")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="arithmetic of the networks")
    threads: int = Field(default=0, ge=0, le=1024, description="CPU threads of the models; 0 for one per core")


def read(settings_type: type[S]) -> S:
    """Read settings from the environment; end the process with a line per bad value."""
    try:
        return settings_type()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name}={problem['input']!r}: {problem['msg']}", file=sys.stderr)
        sys.exit(2)


@contextmanager
def clear_errors() -> Iterator[None]:
    """End the process with exit code 2 and one line for what a person can mend: settings, checkpoints, addresses."""
    try:
        yield
    except (ValueError, LookupError, OSError) as error:
        print(str(error.args[0] if len(error.args) == 1 else error), file=sys.stderr)
        sys.exit(2)
