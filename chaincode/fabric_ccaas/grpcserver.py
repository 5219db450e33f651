"""A gRPC server that no request can end.

grpcio's asyncio server decodes the path of every call for which no method is registered, in its main loop: one path
that is no UTF-8 ends the loop, and with it the port, for everybody and for good (seen in 1.85.1). Here such calls are
answered before that. Methods must therefore be registered, as generated code does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
from grpc._cython import cygrpc

_KNOWS_REGISTERED_METHODS = hasattr(cygrpc.AioServer, "_request_registered_call")
"""Older versions know generic handlers alone: their servers stay as they are."""


def new_server(
    interceptors: Sequence[Any] = (), options: Sequence[tuple[str, Any]] = (), *, unknown: str = "Method not found!"
) -> grpc.aio.Server:
    """Returns a server to which methods can be added, and ports.

    Args:
        interceptors: As for `grpc.aio.server`.
        options: As for `grpc.aio.server`.
        unknown: What callers of a method that is not there are told.
    """
    if not _KNOWS_REGISTERED_METHODS:
        return grpc.aio.server(interceptors=interceptors, options=options)

    class Server(_Server):
        refusal = unknown

    theirs = cygrpc.AioServer
    cygrpc.AioServer = Server  # `grpc.aio.server` has no parameter for it
    try:
        return grpc.aio.server(interceptors=interceptors, options=options)
    finally:
        cygrpc.AioServer = theirs


def add_methods(server: grpc.aio.Server, service: str, methods: Mapping[str, grpc.RpcMethodHandler]) -> None:
    """Adds a service for which there is no generated code."""
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    if _KNOWS_REGISTERED_METHODS:
        server.add_registered_method_handlers(service, methods)


class _Server(cygrpc.AioServer):  # type: ignore[misc] # untyped
    """Answers itself whoever calls what is not registered."""

    refusal: str

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._refusing: set[asyncio.Task[None]] = set()

    async def _request_call(self) -> None:
        """Never returns: what is returned would be decoded."""
        while True:
            call = await super()._request_call()
            task = asyncio.get_running_loop().create_task(_refuse(call, self.refusal))
            self._refusing.add(task)  # the loop alone would not keep it
            task.add_done_callback(self._refusing.discard)


async def _refuse(call: Any, reason: str) -> None:
    context = cygrpc._ServicerContext(call, None, None, asyncio.get_running_loop())
    with suppress(grpc.aio.AbortError, cygrpc.ExecuteBatchError):  # the answer is given, or nobody waits for it
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, reason)
