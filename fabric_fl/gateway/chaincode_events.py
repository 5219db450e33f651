"""Events that a contract set in transactions which turned out valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2

from fabric_fl.gateway.client import GatewayClient, Stream
from fabric_fl.gateway.event_stream import EventStream
from fabric_fl.gateway.signable import Signable, Signer


@dataclass(frozen=True)
class ChaincodeEvent:
    """One event; a transaction has at most one."""

    block_number: int
    transaction_id: str
    chaincode_name: str
    event_name: str
    payload: bytes = field(repr=False)


class ChaincodeEventsRequest(Signable):
    """The question for a chaincode's events from some position on."""

    def __init__(
        self, client: GatewayClient, signer: Signer, request: gateway_pb2.SignedChaincodeEventsRequest
    ) -> None:
        super().__init__(signer)
        self._client = client
        self._request = request

    def get_bytes(self) -> bytes:
        return bytes(self._request.SerializeToString())

    def get_events(self) -> EventStream[ChaincodeEvent]:
        """Return the events as they come; the stream ends with its connection, since the signature is for it alone.

        Raises:
            EventsError: While iterating: refused, or the connection broke.
        """
        return EventStream(self._client, self.open, chaincode_events, lambda _: None, resume=False)

    def open(self) -> Stream:
        """Send the request and return the running call."""
        self._sign()
        return self._client.chaincode_events(self._request)

    def _message(self) -> bytes:
        return bytes(self._request.request)

    def _signature(self) -> bytes:
        return bytes(self._request.signature)

    def _set_signature(self, signature: bytes) -> None:
        self._request.signature = signature


def chaincode_events_request(
    channel_name: str, chaincode_name: str, creator: bytes, start: ab_pb2.SeekPosition, after: str | None
) -> gateway_pb2.SignedChaincodeEventsRequest:
    """Return the unsigned question for events from `start`, skipping all up to the transaction `after`."""
    request = gateway_pb2.ChaincodeEventsRequest(
        channel_id=channel_name,
        chaincode_id=chaincode_name,
        identity=creator,
        start_position=start,
        after_transaction_id=after or "",
    )
    return gateway_pb2.SignedChaincodeEventsRequest(request=request.SerializeToString())


def chaincode_events(response: Any) -> Iterator[ChaincodeEvent]:
    """Yield the events of one block."""
    for event in response.events:
        yield ChaincodeEvent(
            block_number=response.block_number,
            transaction_id=event.tx_id,
            chaincode_name=event.chaincode_id,
            event_name=event.event_name,
            payload=event.payload,
        )
