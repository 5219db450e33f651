"""Blocks as the peer committed them, whole or filtered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.client import GatewayClient, Stream
from fabric_fl.gateway.errors import EventsError
from fabric_fl.gateway.event_stream import EventStream
from fabric_fl.gateway.signable import Signable, Signer

# The deliver service reports in HTTP's numbers; only this one passes by itself.
_GRPC_CODES = {common_pb2.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE}


class _DeliverRequest(Signable):
    """The question for blocks from some position on."""

    def __init__(self, client: GatewayClient, signer: Signer, envelope: common_pb2.Envelope) -> None:
        super().__init__(signer)
        self._client = client
        self._envelope = envelope

    def get_bytes(self) -> bytes:
        return bytes(self._envelope.SerializeToString())

    def get_events(self) -> EventStream[Any]:
        """Return the blocks as they come; the stream ends with its connection, since the signature is for it alone.

        Raises:
            EventsError: While iterating: refused, or the connection broke.
        """
        return EventStream(self._client, self.open, blocks, lambda _: None, resume=False)

    @abstractmethod
    def open(self) -> Stream:
        """Send the request and return the running call."""

    def _message(self) -> bytes:
        return bytes(self._envelope.payload)

    def _signature(self) -> bytes:
        return bytes(self._envelope.signature)

    def _set_signature(self, signature: bytes) -> None:
        self._envelope.signature = signature


class BlockEventsRequest(_DeliverRequest):
    """For whole blocks (`common.Block`)."""

    def open(self) -> Stream:
        self._sign()
        return self._client.deliver(self._envelope)


class FilteredBlockEventsRequest(_DeliverRequest):
    """For filtered blocks (`protos.FilteredBlock`): transaction ids and codes without contents."""

    def open(self) -> Stream:
        self._sign()
        return self._client.deliver_filtered(self._envelope)


def block_events_envelope(channel_name: str, creator: bytes, start: ab_pb2.SeekPosition) -> common_pb2.Envelope:
    """Return the unsigned question for all blocks from `start` on, for ever."""
    seek = ab_pb2.SeekInfo(start=start, stop=protoutil.seek_specified(protoutil.MAX_BLOCK))
    header = common_pb2.Header(
        channel_header=protoutil.channel_header(common_pb2.DELIVER_SEEK_INFO, channel_name).SerializeToString(),
        signature_header=protoutil.signature_header(creator).SerializeToString(),
    )
    payload = common_pb2.Payload(header=header, data=seek.SerializeToString())
    return common_pb2.Envelope(payload=payload.SerializeToString())


def blocks(response: Any) -> Iterator[Any]:
    """Yield the block that a deliver response holds.

    Raises:
        EventsError: It holds a status instead.
    """
    kind = response.WhichOneof("Type")
    if kind == "status":
        raise EventsError(
            f"the peer ended the stream: {common_pb2.Status.Name(response.status)}",
            grpc_code=_GRPC_CODES.get(response.status, grpc.StatusCode.UNKNOWN),
        )
    if kind is not None:
        yield getattr(response, kind)
