"""Transport settings that both ends share, stated once."""

import ctypes
import json

from jscc.wire.codec import MAX_MESSAGE_BYTES

_FRAME_BYTES = 64 * 1024
"""Room for the fields beside the largest tensor."""

_LIMITS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES + _FRAME_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + _FRAME_BYTES),
)
_RETRY_POLICY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "loadBalancingConfig": [{"round_robin": {}}],
}

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_LIMITS,
    ("grpc.so_reuseport", 0),  # two servers on one port would share calls silently
    ("grpc.max_connection_age_ms", 10 * 60 * 1000),  # lets round_robin see new replicas; calls under way go on
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
CLIENT_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_LIMITS,
    (
        "grpc.per_rpc_retry_buffer_size",
        MAX_MESSAGE_BYTES + _FRAME_BYTES,
    ),  # 256 KiB by default: no retries above it
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", json.dumps(_RETRY_POLICY)),
)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 1024 * 1024


def target(address: str) -> str:
    """Return the gRPC target of host:port, resolved by DNS so that every replica behind a name is used."""
    return address if "://" in address or address.startswith("unix:") else f"dns:///{address}"


def keep_freed_memory() -> None:
    """Let glibc keep freed buffers of megabytes instead of faulting them in again for every message."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    except (OSError, AttributeError):  # not glibc: nothing to tune
        return
