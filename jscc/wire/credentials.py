"""What this process shows and trusts as a client, from its environment: the one place for all of its connections."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jscc.wire import bearer
from jscc.wire.tls import CredentialsError, TlsFiles

TRUSTED_NETWORK = "trusted-network"
"""The value of PLAIN_TEXT that lets plain text leave this machine."""


@dataclass(frozen=True)
class Credentials:
    """Of a client.

    Attributes:
        files: for TLS; None for plain text.
        token: for an orchestrator; "" for none.
        trusts_network: whether the token may leave this machine in plain text.
    """

    files: TlsFiles | None = None
    token: str = ""
    trusts_network: bool = False

    def metadata(self, hop: str, address: str) -> tuple[tuple[str, str], ...]:
        """Return what goes along with every call to a service: the token, to an orchestrator alone.

        Raises:
            CredentialsError: it would leave this machine in plain text.
        """
        if not self.token or hop != "orchestrator":
            return ()
        if self.files is None and not self.trusts_network and not is_loopback(address):
            raise CredentialsError(
                f"ORCHESTRATOR_TOKEN: would cross the network to {address} in plain text; "
                f"set TLS_CA, or PLAIN_TEXT={TRUSTED_NETWORK} if everybody on the way may read it"
            )
        return ((bearer.HEADER, bearer.SCHEME + self.token),)


def of_environment(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return what the environment says: TLS_CA for TLS, TLS_CERTIFICATE and TLS_KEY to be known by, and the token.

    Raises:
        CredentialsError: settings that do not go together, or no token where one should be.
    """
    ca, certificate, key = (_path(environment.get(name)) for name in ("TLS_CA", "TLS_CERTIFICATE", "TLS_KEY"))
    files = TlsFiles(certificate, key, ca, "TLS_CA") if ca else None
    token = environment.get("ORCHESTRATOR_TOKEN", ""), environment.get("ORCHESTRATOR_TOKEN_FILE", "")
    return Credentials(files, bearer.read(*token), environment.get("PLAIN_TEXT") == TRUSTED_NETWORK)


def is_loopback(address: str) -> bool:
    """Return whether host:port can be reached from this machine alone."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
