"""`python -m jscc.wire.probe HOST:PORT [SERVICE]`: exit 0 when the service reports SERVING. Imports no torch."""

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc.wire.tls import CredentialsError
from jscc.wire.transport import client_channel

TIMEOUT_S = 5.0


def main(arguments: list[str]) -> int:
    """Ask once; return the exit code."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m jscc.wire.probe HOST:PORT [SERVICE]", file=sys.stderr)
        return 2
    address, service = arguments[0], arguments[1] if len(arguments) == 2 else ""
    try:
        status = asyncio.run(_ask(address, service))
    except grpc.aio.AioRpcError as error:
        print(f"{address}: {error.code().name}", file=sys.stderr)
        return 1
    except CredentialsError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}")
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


async def _ask(address: str, service: str) -> int:
    async with client_channel(address, retries=False) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        status: int = (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)).status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
