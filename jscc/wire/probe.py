"""`python -m jscc.wire.probe HOST:PORT [SERVICE]`: exit 0 when the service reports SERVING. Imports no torch."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 5.0


def main(arguments: list[str]) -> int:
    """Ask once; return the exit code."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m jscc.wire.probe HOST:PORT [SERVICE]", file=sys.stderr)
        return 2
    request = health_pb2.HealthCheckRequest(service=arguments[1] if len(arguments) == 2 else "")
    with grpc.insecure_channel(arguments[0]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            print(f"{arguments[0]}: {error.code().name}", file=sys.stderr)
            return 1
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    print(f"{arguments[0]}: {status}")
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
