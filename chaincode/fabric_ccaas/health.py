"""The standard health service, ``grpc.health.v1``, for probes and for whoever starts a network.

Its two messages are declared here, in a descriptor pool of their own, because the package that ships them is
no dependency worth having for two fields.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from fabric_ccaas.grpcserver import add_methods

SERVICE = "grpc.health.v1.Health"
SERVING = 1
NOT_SERVING = 2
SERVICE_UNKNOWN = 3

_STRING, _ENUM = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_ENUM
_OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


def _messages() -> tuple[type[Message], type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="grpc/health/v1/health.proto", package="grpc.health.v1", syntax="proto3"
    )
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=_STRING, label=_OPTIONAL)
    response = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        status.value.add(name=name, number=number)
    response.field.add(
        name="status",
        number=1,
        type=_ENUM,
        label=_OPTIONAL,
        type_name=".grpc.health.v1.HealthCheckResponse.ServingStatus",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindFileByName(file.name).message_types_by_name
    return tuple(message_factory.GetMessageClass(found[m.name]) for m in file.message_type)  # type: ignore[return-value]


HealthCheckRequest, HealthCheckResponse = _messages()


class Health:
    """Answers for the server as a whole ("") and for the services by name, until it is told to stop."""

    def __init__(self, *services: str) -> None:
        self._services = {"", *services}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Answer NOT_SERVING from now on."""
        self._stopping.set()

    def add_to(self, server: grpc.aio.Server) -> None:
        codec = {
            "request_deserializer": HealthCheckRequest.FromString,
            "response_serializer": HealthCheckResponse.SerializeToString,
        }
        add_methods(
            server,
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, **codec),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, **codec),
            },
        )

    def _status(self) -> Message:
        return HealthCheckResponse(status=NOT_SERVING if self._stopping.is_set() else SERVING)

    async def _check(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        if request.service not in self._services:  # type: ignore[attr-defined]
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._status()

    async def _watch(self, request: Message, _context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
        if request.service not in self._services:  # type: ignore[attr-defined]
            yield HealthCheckResponse(status=SERVICE_UNKNOWN)
            return
        yield self._status()
        if not self._stopping.is_set():
            await self._stopping.wait()
            yield self._status()
