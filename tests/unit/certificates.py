"""Certificates for tests, made by the project's own script."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from factories import REPOSITORY

from jscc.wire.credentials import Credentials
from jscc.wire.tls import TlsFiles


class Authority:
    """A certificate authority with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl, which makes the certificates")
        self.folder = folder

    def make(self, name: str, **settings: str) -> None:
        """Make a certificate for a name; settings are those of the script."""
        script = REPOSITORY / "deploy" / "certificates.sh"
        subprocess.run(
            ["sh", str(script), str(self.folder), name],
            env=os.environ | settings,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        return self.folder / name / "certificate.pem"

    def key(self, name: str) -> Path:
        return self.folder / name / "key.pem"

    def server(self, name: str, client_ca: Path | None = None) -> TlsFiles:
        return TlsFiles(self.certificate(name), self.key(name), client_ca, "TLS_CLIENT_CA")

    def client(self, name: str = "", ca: Path | None = None) -> Credentials:
        shown = (self.certificate(name), self.key(name)) if name else (None, None)
        return Credentials(TlsFiles(*shown, ca or self.ca, "TLS_CA"))
