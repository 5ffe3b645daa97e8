"""Calls from the orchestrator to a service, timed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jscc.wire import codec, credentials, diagnosis
from jscc.wire.credentials import Credentials
from jscc.wire.errors import STATUS_DETAILS, LinkError, retry_after_s
from jscc.wire.timing import HopRecord, server_ns
from jscc.wire.transport import client_channel
from jscc.wire.v1 import symbols_pb2 as pb

PACKAGE = "jscc.wire.v1"
RECONNECT_S = 0.1
"""Pause before a health check that broke off is begun again."""

A = TypeVar("A", bound=Message)


class Client:
    """A connection to one service."""

    def __init__(self, hop: str, address: str, own: Credentials | None = None) -> None:
        """Connect lazily to the service `hop` (encoder, channel, decoder or orchestrator) at host:port.

        Args:
            hop: which service.
            address: where it is.
            own: what this end shows and trusts; None for what the environment says.

        Raises:
            CredentialsError: that cannot be used.
        """
        self.hop, self.address = hop, address
        self._prefix = f"/{PACKAGE}.{hop.capitalize()}Service/"
        self._own = own or credentials.of_environment()
        self._metadata = self._own.metadata(hop, address)
        self._channel = client_channel(address, own=self._own)

    async def close(self) -> None:
        """Close the connection; calls under way fail."""
        await self._channel.close()

    async def exchange(
        self, rpc: str, request: tuple[Message, codec.Array], answer_type: type[A], timeout_s: float
    ) -> tuple[A, codec.Array, HopRecord]:
        """Call an RPC whose request and answer both carry a tensor.

        Args:
            rpc: name of the RPC.
            request: the message without its tensor, and the tensor.
            answer_type: class of the answer; has the field `timing`.
            timeout_s: deadline in seconds, sent along.

        Returns:
            The answer without its tensor, the tensor, and where the time went.

        Raises:
            LinkError: the call failed.
            CodecError: the answer is not what it should be.
        """
        begun = time.perf_counter_ns()
        raw = codec.encode(*request)
        sent = time.perf_counter_ns()
        answer_raw = await self._call(rpc, raw, timeout_s)
        arrived = time.perf_counter_ns()
        answer, array = codec.decode(answer_type, answer_raw)
        done = time.perf_counter_ns()
        timing: pb.HopTiming = answer.timing  # type: ignore[attr-defined]
        network_ns, codec_ns = arrived - sent - server_ns(timing), sent - begun + done - arrived
        return answer, array, HopRecord.from_wire(self.hop, timing, network_ns, codec_ns)

    async def call(self, rpc: str, request: Message, answer_type: type[A], timeout_s: float) -> A:
        """Call an RPC of plain messages.

        Raises:
            LinkError: the call failed.
        """
        return answer_type.FromString(await self._call(rpc, request.SerializeToString(), timeout_s))

    async def stream(self, rpc: str, request: Message, answer_type: type[A]) -> AsyncIterator[A]:
        """Call an RPC that answers with a stream; yields its messages.

        Raises:
            LinkError: the call failed.
        """
        start: Any = self._channel.unary_stream(self._prefix + rpc)
        call = start(request.SerializeToString(), metadata=self._metadata)
        try:
            async for raw in call:
                yield answer_type.FromString(raw)
        except grpc.aio.AioRpcError as error:
            raise await self._link_error(error) from None
        finally:
            call.cancel()

    async def is_serving(self, timeout_s: float) -> bool:
        """Ask once whether the service's health is SERVING; its event loop answers, however long its model computes.

        Raises:
            LinkError: no answer within timeout_s seconds, or none of this service.
        """
        request = health_pb2.HealthCheckRequest(service=f"{PACKAGE}.{self.hop.capitalize()}Service")
        try:
            answer = await health_pb2_grpc.HealthStub(self._channel).Check(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self._link_error(error) from None
        serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
        return serving

    async def wait_until_serving(self, timeout_s: float) -> None:
        """Wait until the service's health is SERVING, whatever happens to the connection meanwhile.

        Raises:
            LinkError: it is not within timeout_s seconds.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return await self._watch_health(max(deadline_s - time.monotonic(), 0.001))
            except LinkError as error:
                if not error.is_outage or time.monotonic() + RECONNECT_S >= deadline_s:
                    raise
            await asyncio.sleep(RECONNECT_S)

    async def _watch_health(self, timeout_s: float) -> None:
        request = health_pb2.HealthCheckRequest(service=f"{PACKAGE}.{self.hop.capitalize()}Service")
        call = health_pb2_grpc.HealthStub(self._channel).Watch(request, wait_for_ready=True, timeout=timeout_s)
        try:
            async for answer in call:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        except grpc.aio.AioRpcError as error:
            failure = await self._link_error(error)
            if failure.code == "DEADLINE_EXCEEDED":
                failure.details = f"it has not served within {timeout_s:g} s"
            raise failure from None
        finally:
            call.cancel()
        raise LinkError(self.hop, self.address, "UNAVAILABLE", "the health check ended")

    async def _call(self, rpc: str, raw: bytes, timeout_s: float) -> bytes:
        """Call an RPC, and again whenever the service is too busy and says when to come again, until the deadline."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return await self._attempt(rpc, raw, max(deadline_s - time.monotonic(), 0.001))
            except LinkError as error:
                wait_s = error.retry_after_s
                if wait_s is None or time.monotonic() + wait_s >= deadline_s:
                    raise
            await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # not all at once

    async def _attempt(self, rpc: str, raw: bytes, timeout_s: float) -> bytes:
        try:
            start: Any = self._channel.unary_unary(self._prefix + rpc)
            answer: bytes = await start(raw, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise await self._link_error(error) from None
        return answer

    async def _link_error(self, error: grpc.aio.AioRpcError) -> LinkError:
        status_details = (error.trailing_metadata() or {}).get(STATUS_DETAILS)
        again_s = retry_after_s(status_details) if isinstance(status_details, bytes) else None
        failure = LinkError(self.hop, self.address, error.code().name, error.details() or "no details", again_s)
        if (
            again_s is None
            and failure.code == "UNAVAILABLE"
            and (why := await diagnosis.trouble(self.address, self._own))
        ):
            failure.code, failure.details = "FAILED_PRECONDITION", why  # no time heals it
        return failure
