"""TLS by PEM files: what one end shows and whom it trusts, read again when the files change.

gRPC speaks TLS 1.2 and 1.3 alone.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]
"""What changes with a file: when it was written, its size and its inode, of each file."""


class CredentialsError(ValueError):
    """Certificates, keys or tokens that cannot be used; names the setting."""


@dataclass(frozen=True)
class TlsFiles:
    """The PEM files of one end of a connection.

    Attributes:
        certificate: what it shows, with those between it and the authority; None for a client that shows nothing.
        key: private, of the certificate.
        authorities: those whose certificates it trusts: for a server None, where clients need to show none.
        trust_setting: name of the setting of `authorities`, for errors.
    """

    certificate: Path | None
    key: Path | None
    authorities: Path | None
    trust_setting: str

    def __post_init__(self) -> None:
        """Check that nothing stands alone.

        Raises:
            CredentialsError: a certificate without its key, or the other way round.
        """
        if (self.certificate is None) != (self.key is None):
            missing = "TLS_KEY" if self.key is None else "TLS_CERTIFICATE"
            raise CredentialsError(f"{missing}: missing; TLS_CERTIFICATE and TLS_KEY go together")

    def stamp(self) -> Stamp:
        """Return what tells the files from later ones.

        Raises:
            CredentialsError: one is not there.
        """
        return tuple(_stamp(name, path) for name, path in self._named)

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return certificate, key and authorities, having checked them.

        Raises:
            CredentialsError: a file cannot be read or is no such PEM file, or the key is another certificate's.
        """
        self.context()
        return _content(self.certificate), _content(self.key), _content(self.authorities)

    def context(self) -> ssl.SSLContext:
        """Return Python's own context of these files, as a client's.

        Raises:
            CredentialsError: as `read` does.
        """
        self.stamp()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authorities is not None:
            self._trust(context)
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=_no_password)
            except (OSError, ValueError) as error:  # of ssl too
                why = error.reason if isinstance(error, ssl.SSLError) else error
                raise CredentialsError(
                    f"TLS_CERTIFICATE={self.certificate}, TLS_KEY={self.key}: no certificate and its key ({why})"
                ) from None
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        try:
            context.load_verify_locations(self.authorities)
        except (OSError, ValueError):  # of ssl too
            raise CredentialsError(f"{self.trust_setting}={self.authorities}: no certificate in PEM form") from None

    @property
    def _named(self) -> list[tuple[str, Path]]:
        names = ("TLS_CERTIFICATE", self.certificate), ("TLS_KEY", self.key), (self.trust_setting, self.authorities)
        return [(name, path) for name, path in names if path is not None]


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return the credentials of a server; connections made after the files have changed get the new ones.

    Raises:
        CredentialsError: the files cannot be used.
    """
    kept = Kept(files)
    demands = files.authorities is not None
    changed: Any = kept.changed  # may return None, which the types leave out
    return grpc.dynamic_ssl_server_credentials(kept.configuration(), changed, demands)


class Kept:
    """The certificates of a server, the last that could be used."""

    def __init__(self, files: TlsFiles) -> None:
        """Read them.

        Raises:
            CredentialsError: the files cannot be used.
        """
        self._files, self._stamp = files, files.stamp()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return what the files hold.

        Raises:
            CredentialsError: they cannot be used.
        """
        certificate, key, authorities = self._files.read()
        assert certificate is not None
        assert key is not None
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what the files hold now, None where that is what they held or cannot be used: gRPC keeps what it has.

        Called for every new connection.
        """
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            configuration = self.configuration()
            if self._files.stamp() != stamp:  # they are being written; the next connection finds them whole
                return None
        except (CredentialsError, OSError) as error:
            _log.warning("certificates: %s; the earlier ones stay", error)
            return None
        self._stamp = stamp
        _log.info("certificates: read again")
        return configuration


def channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Return the credentials of a client.

    Raises:
        CredentialsError: the files cannot be used.
    """
    certificate, key, authorities = files.read()
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def _stamp(name: str, path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise CredentialsError(f"{name}={path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _no_password() -> str:
    raise CredentialsError("TLS_KEY: has a password, and nobody is there to give it; give one that has none")
