"""The standard services beside our own, health and reflection, whose streams end when the service stops.

Those of the libraries end with their callers alone, so that one open stream would keep a stopping service up until its
grace is over. Requests are parsed here, by the same rules as our own, so that what is no message is the caller's fault.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from jscc.wire import codec
from jscc.wire.errors import status_of
from jscc.wire.fields import CodecError

_Answer = health_pb2.HealthCheckResponse


class Health:
    """Health of a service and its parts by name, "" for the whole: NOT_SERVING, SERVING, and NOT_SERVING at the end."""

    def __init__(self, names: Iterable[str]) -> None:
        """Report NOT_SERVING for every name."""
        self._status = dict.fromkeys(names, _Answer.NOT_SERVING)
        self._has_ended = False
        self._changed = asyncio.Condition()

    async def serve(self) -> None:
        """Report SERVING."""
        await self._report(_Answer.SERVING)

    async def end(self) -> None:
        """Report NOT_SERVING, the last that watches tell before they end."""
        self._has_ended = True
        await self._report(_Answer.NOT_SERVING)

    async def _report(self, status: int) -> None:
        async with self._changed:
            self._status = dict.fromkeys(self._status, status)
            self._changed.notify_all()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return gRPC's handlers."""
        written = _Answer.SerializeToString
        check: Any = grpc.unary_unary_rpc_method_handler(self.check, response_serializer=written)
        watch: Any = grpc.unary_stream_rpc_method_handler(self.watch, response_serializer=written)
        return grpc.method_handlers_generic_handler(health.SERVICE_NAME, {"Check": check, "Watch": watch})

    async def check(self, raw: bytes, context: Any) -> Any:
        """Answer with the status of a name."""
        request = await _parsed(health_pb2.HealthCheckRequest, raw, context)
        if request.service not in self._status:
            await context.abort(grpc.StatusCode.NOT_FOUND, "service: unknown")
        return _Answer(status=self._status[request.service])

    async def watch(self, raw: bytes, context: Any) -> AsyncIterator[Any]:
        """Answer with the status of a name, and with every later one until the service stops or the caller leaves."""
        request = await _parsed(health_pb2.HealthCheckRequest, raw, context)
        told = None
        while True:
            has_ended, status = self._has_ended, self._status.get(request.service, _Answer.SERVICE_UNKNOWN)
            if status != told:
                yield _Answer(status=status)
                told = status
            if has_ended:
                return
            async with self._changed:
                if not self._has_ended and self._status.get(request.service, told) == told:
                    await self._changed.wait()


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # the library has no types
    """The .proto files of the services, for whoever asks."""

    def __init__(self, names: Iterable[str]) -> None:
        """Offer the services of these names."""
        super().__init__(names)
        self._ended = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return gRPC's handlers."""
        written = reflection_pb2.ServerReflectionResponse.SerializeToString
        info: Any = grpc.stream_stream_rpc_method_handler(self.ServerReflectionInfo, response_serializer=written)
        return grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {"ServerReflectionInfo": info})

    def end(self) -> None:
        """End what is open."""
        self._ended.set()

    async def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Answer requests until the service stops or the caller has no more."""
        async for answer in super().ServerReflectionInfo(self._until_end(request_iterator, context), context):
            yield answer

    async def _until_end(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        ended, following = asyncio.ensure_future(self._ended.wait()), aiter(requests)
        try:
            while True:
                coming = asyncio.ensure_future(anext(following))
                await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    return
                yield await _parsed(reflection_pb2.ServerReflectionRequest, coming.result(), context)
        except StopAsyncIteration:
            return
        finally:
            ended.cancel()


async def _parsed(request_type: Any, raw: bytes, context: Any) -> Any:
    """Return a request, or end its call with the status of what is none."""
    try:
        return codec.decode_plain(request_type, raw)
    except CodecError as error:
        await context.abort(*status_of(error))


class Standard:
    """Both services beside one of our own."""

    def __init__(self, server: Any, full_name: str, parts: Iterable[str], with_reflection: bool) -> None:
        """Add them to a server.

        Args:
            server: of gRPC.
            full_name: of our own service.
            parts: names beside it whose health can be asked for.
            with_reflection: whether there is reflection.
        """
        self.health = Health(("", full_name, *parts))
        self._reflection = Reflection((full_name, health.SERVICE_NAME, reflection.SERVICE_NAME))
        offered = (self.health.handlers(), *((self._reflection.handlers(),) if with_reflection else ()))
        server.add_generic_rpc_handlers(offered)

    async def end(self) -> None:
        """Report NOT_SERVING and end every open stream."""
        await self.health.end()
        self._reflection.end()
