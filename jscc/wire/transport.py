"""Transport settings that both ends share, stated once."""

import ctypes
import json
from typing import Any

import grpc

from jscc.limits import MAX_BESIDE_BYTES, MAX_CONNECTIONS, MAX_MESSAGE_BYTES, MAX_METADATA_BYTES, MAX_STREAMS
from jscc.wire import credentials, tls
from jscc.wire.credentials import Credentials
from jscc.wire.tls import CredentialsError, TlsFiles

HANDSHAKE_S = 10
"""How long a new connection may take to say what it speaks; 120 s by default."""

_LARGEST_BYTES = MAX_MESSAGE_BYTES + MAX_BESIDE_BYTES

_LIMITS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", _LARGEST_BYTES),
    ("grpc.max_receive_message_length", _LARGEST_BYTES),
)
_RETRY_POLICY = {
    "methodConfig": [
        {"name": [{"service": "grpc.health.v1.Health"}]},  # never again by itself: who asks for health wants it now
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ],
    "loadBalancingConfig": [{"round_robin": {}}],
}

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_LIMITS,
    ("grpc.so_reuseport", 0),  # two servers on one port would share calls silently
    ("grpc.max_connection_age_ms", 10 * 60 * 1000),  # lets round_robin see new replicas; calls under way go on
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 5 * 60 * 1000),  # our own clients connect again by themselves
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_S * 1000),
    ("grpc.keepalive_time_ms", 60_000),  # with the next: a caller that has gone without a word is noticed after 80 s
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),  # else what is between the two is refused by chance
)
CLIENT_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_LIMITS,
    ("grpc.per_rpc_retry_buffer_size", _LARGEST_BYTES),  # 256 KiB by default: no retries above it
    ("grpc.keepalive_time_ms", 20_000),  # with the next two: a service that falls silent is noticed after 30 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # of gRPC's other pings; one of them in flight takes keepalive's place
    ("grpc.min_reconnect_backoff_ms", 5_000),  # how long a service may accept a connection and say nothing; else 20 s
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", json.dumps(_RETRY_POLICY)),
)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 1024 * 1024


def client_channel(address: str, retries: bool = True, own: Credentials | None = None) -> grpc.aio.Channel:
    """Connect lazily to host:port; the only place where a client's channel is made.

    Args:
        address: its name is resolved by DNS, so that every replica behind it is used.
        retries: whether gRPC tries again by itself when the service is away.
        own: what this end shows and trusts; None for what the environment says.

    Raises:
        CredentialsError: that cannot be used.
    """
    is_target = "://" in address or address.startswith("unix:")
    options = (*CLIENT_OPTIONS, ("grpc.enable_retries", int(retries)))
    target, files = address if is_target else f"dns:///{address}", (own or credentials.of_environment()).files
    if files is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, tls.channel_credentials(files), options=options)


def listen(server: Any, address: str, files: TlsFiles | None = None, trusts_network: bool = False) -> int:
    """Let a server listen on host:port, 0 for a free port; the only place where a server's port is opened.

    Args:
        server: of gRPC.
        address: where.
        files: for TLS; None for plain text.
        trusts_network: whether plain text may leave this machine.

    Returns:
        The port.

    Raises:
        CredentialsError: the files cannot be used, or plain text would leave this machine.
        OSError: the address cannot be listened on.
    """
    if files is None and not trusts_network and not credentials.is_loopback(address):
        raise CredentialsError(
            f"LISTEN_ADDRESS={address}: plain text would leave this machine; set TLS_CERTIFICATE and TLS_KEY, "
            f"or PLAIN_TEXT={credentials.TRUSTED_NETWORK} where everybody on the network may read and call"
        )
    secure = None if files is None else tls.server_credentials(files)
    try:
        port: int = server.add_secure_port(address, secure) if secure else server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(f"LISTEN_ADDRESS={address}: cannot listen there; is the port taken?") from None
    return port


def keep_freed_memory() -> None:
    """Let glibc keep freed buffers of megabytes instead of faulting them in again for every message."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    except (OSError, AttributeError):  # not glibc: nothing to tune
        return
