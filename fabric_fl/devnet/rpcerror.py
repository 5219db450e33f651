"""Failed calls as Fabric's gateway reports them: a code, a text, and what each peer said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import grpc
import grpc.aio
from fabric_protos.gateway import gateway_pb2

from fabric_fl.fabric.wire import field, varint

_DETAILS_KEY = "grpc-status-details-bin"


class RpcError(Exception):
    """A call that fails with a status; the service turns it into gRPC's abort, once.

    Attributes:
        code: gRPC's status code.
        details: What each peer or orderer said.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Sequence[gateway_pb2.ErrorDetail] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = tuple(details)

    async def abort(self, context: grpc.aio.ServicerContext) -> NoReturn:
        """Ends the call, with the details where Fabric's clients look for them."""
        metadata: tuple[tuple[str, bytes], ...] = ()
        if self.details:
            metadata = ((_DETAILS_KEY, _status(self.code.value[0], str(self), self.details)),)
        await context.abort(self.code, str(self), metadata)
        raise AssertionError("grpc.aio's abort does not return")


def error_detail(address: str, msp_id: str, message: str) -> gateway_pb2.ErrorDetail:
    return gateway_pb2.ErrorDetail(address=address, msp_id=msp_id, message=message)


def _status(code: int, message: str, details: Sequence[gateway_pb2.ErrorDetail]) -> bytes:
    """Encodes google.rpc.Status, whose bindings come with a package that nothing else here needs.

    References:
        https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto (code = 1, message = 2,
        details = 3) and google.protobuf.Any (type_url = 1, value = 2).
    """
    type_url = f"type.googleapis.com/{gateway_pb2.ErrorDetail.DESCRIPTOR.full_name}".encode()
    packed = [field(1, type_url) + field(2, detail.SerializeToString()) for detail in details]
    return b"\x08" + varint(code) + field(2, message.encode()) + b"".join(field(3, each) for each in packed)
