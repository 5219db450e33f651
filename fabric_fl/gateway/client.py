"""The gateway's gRPC services on a connection that belongs to somebody else."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import grpc
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.peer import events_pb2_grpc

from fabric_fl.gateway.errors import CommitStatusError, EndorseError, EvaluateError, GatewayError, SubmitError
from fabric_fl.gateway.rpc_status import error_details
from fabric_fl.gateway.timeouts import Timeouts

E = TypeVar("E", bound=GatewayError)


class Stream(Protocol):
    """A running server stream: its messages, and a way to end it from another thread."""

    def __iter__(self) -> Iterator[Any]: ...

    def cancel(self) -> object: ...


class Closeable(Protocol):
    def close(self) -> None: ...


class GatewayClient:
    """One method an RPC; failures become this package's errors, each naming its transaction."""

    def __init__(self, channel: grpc.Channel, timeouts: Timeouts) -> None:
        self._gateway = gateway_pb2_grpc.GatewayStub(channel)
        self._deliver = events_pb2_grpc.DeliverStub(channel)
        self.timeouts = timeouts
        self._streams: weakref.WeakSet[Closeable] = weakref.WeakSet()
        self._lock = threading.Lock()

    def register(self, stream: Closeable) -> None:
        """Remember a stream, to be closed with the gateway."""
        with self._lock:
            self._streams.add(stream)

    def close(self) -> None:
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def evaluate(self, request: gateway_pb2.EvaluateRequest, timeout: float | None) -> gateway_pb2.EvaluateResponse:
        limit = self.timeouts.evaluate if timeout is None else timeout
        return _call(self._gateway.Evaluate, request, limit, request.transaction_id, EvaluateError)

    def endorse(self, request: gateway_pb2.EndorseRequest, timeout: float | None) -> gateway_pb2.EndorseResponse:
        limit = self.timeouts.endorse if timeout is None else timeout
        return _call(self._gateway.Endorse, request, limit, request.transaction_id, EndorseError)

    def submit(self, request: gateway_pb2.SubmitRequest, timeout: float | None) -> None:
        limit = self.timeouts.submit if timeout is None else timeout
        _call(self._gateway.Submit, request, limit, request.transaction_id, SubmitError)

    def commit_status(
        self, request: gateway_pb2.SignedCommitStatusRequest, transaction_id: str, timeout: float | None
    ) -> gateway_pb2.CommitStatusResponse:
        limit = self.timeouts.commit_status if timeout is None else timeout
        return _call(self._gateway.CommitStatus, request, limit, transaction_id, CommitStatusError)

    def chaincode_events(self, request: gateway_pb2.SignedChaincodeEventsRequest) -> Stream:
        stream: Stream = self._gateway.ChaincodeEvents(request)
        return stream

    def deliver(self, envelope: Any) -> Stream:
        stream: Stream = self._deliver.Deliver(iter((envelope,)))
        return stream

    def deliver_filtered(self, envelope: Any) -> Stream:
        stream: Stream = self._deliver.DeliverFiltered(iter((envelope,)))
        return stream


def _call(method: Callable[..., Any], request: Any, timeout: float, transaction_id: str, error_class: type[E]) -> Any:
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise from_rpc(error, error_class, transaction_id) from error


def from_rpc(error: grpc.RpcError, error_class: type[E], transaction_id: str = "") -> E:
    """Return `error` as one of this package's, with what each peer said."""
    code = error.code()
    return error_class(
        f"{code.name}: {error.details()}",
        transaction_id=transaction_id,
        grpc_code=code,
        details=error_details(error),
    )
