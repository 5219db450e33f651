"""What a failed call says beyond its code: google.rpc.Status from the trailing metadata."""

from __future__ import annotations

from typing import Any

import grpc
from fabric_protos.gateway import gateway_pb2
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from fabric_fl.gateway.errors import ErrorDetail

METADATA_KEY = "grpc-status-details-bin"


def _status_class() -> Any:
    # google.rpc.Status is published in googleapis-common-protos alone. Its three fields are described here, in a
    # pool of their own, so that they cannot collide with that package where it is installed.
    file = descriptor_pb2.FileDescriptorProto(
        name="google/rpc/status.proto", package="google.rpc", syntax="proto3", dependency=[any_pb2.DESCRIPTOR.name]
    )
    field = descriptor_pb2.FieldDescriptorProto
    file.message_type.add(
        name="Status",
        field=[
            field(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL),
            field(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL),
            field(
                name="details",
                number=3,
                type=field.TYPE_MESSAGE,
                type_name=".google.protobuf.Any",
                label=field.LABEL_REPEATED,
            ),
        ],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))


Status = _status_class()


def error_details(error: grpc.RpcError) -> tuple[ErrorDetail, ...]:
    """Return what each peer said, in the gateway's order; nothing where the server attached nothing readable."""
    for key, value in error.trailing_metadata() or ():
        if key == METADATA_KEY:
            return _parse(value)
    return ()


def _parse(value: bytes) -> tuple[ErrorDetail, ...]:
    found: list[ErrorDetail] = []
    try:
        for packed in Status.FromString(value).details:
            if packed.type_url.rpartition("/")[2] != gateway_pb2.ErrorDetail.DESCRIPTOR.full_name:
                continue
            detail = gateway_pb2.ErrorDetail.FromString(packed.value)
            found.append(ErrorDetail(address=detail.address, msp_id=detail.msp_id, message=detail.message))
    except DecodeError:
        return tuple(found)
    return tuple(found)
