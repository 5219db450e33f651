"""What cannot be parsed is refused in Fabric's words, instead of ending in the log as a failure of devnet's."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

_UNARY = "grpc: error unmarshalling request: {}"
_STREAM = "grpc: failed to unmarshal the received message: {}"

Handler: TypeAlias = grpc.RpcMethodHandler
Parse: TypeAlias = Callable[[bytes], Any]


class UnmarshallingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # published without types
    """Parses requests itself, so that one which cannot be parsed gets the status that Fabric's servers give."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        method = handler_call_details.method
        if method not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._handlers[method] = _with_parsing(handler)
        return self._handlers[method]


def _with_parsing(handler: Handler) -> Handler:
    parse: Parse = handler.request_deserializer
    if handler.stream_stream is not None:
        method = _stream_stream(handler.stream_stream, parse)
        return grpc.stream_stream_rpc_method_handler(method, None, handler.response_serializer)
    if handler.unary_stream is not None:
        method = _unary_stream(handler.unary_stream, parse)
        return grpc.unary_stream_rpc_method_handler(method, None, handler.response_serializer)
    return grpc.unary_unary_rpc_method_handler(
        _unary_unary(handler.unary_unary, parse), None, handler.response_serializer
    )


def _unary_unary(method: Any, parse: Parse) -> Any:
    async def call(data: bytes, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await method(await _parsed(parse, data, context, _UNARY), context)
        except grpc.aio.AbortError as aborted:
            del data
            _release(aborted)
            raise

    return call


def _unary_stream(method: Any, parse: Parse) -> Any:
    async def call(data: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            async for response in method(await _parsed(parse, data, context, _STREAM), context):
                yield response
        except grpc.aio.AbortError as aborted:
            del data
            _release(aborted)
            raise

    return call


def _stream_stream(method: Any, parse: Parse) -> Any:
    async def call(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async def messages() -> AsyncIterator[Any]:
            async for data in requests:
                yield await _parsed(parse, data, context, _STREAM)

        responses = method(messages(), context)
        try:
            if inspect.isawaitable(responses):  # a method that does nothing but refuse
                await responses
                return
            async for response in responses:
                yield response
        except grpc.aio.AbortError as aborted:
            _release(aborted)
            raise

    return call


def _release(aborted: grpc.aio.AbortError) -> None:
    """Lets go of what an aborted call held.

    grpc keeps the exception in the call, and the exception's frames keep the call, the request and all that was made
    of it: a circle, which would stay until Python happens to look for circles, however many megabytes there are.
    """
    aborted.__context__ = aborted.__cause__ = aborted.__traceback__ = None


async def _parsed(parse: Parse, data: bytes, context: grpc.aio.ServicerContext, text: str) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        await context.abort(grpc.StatusCode.INTERNAL, text.format(error))
