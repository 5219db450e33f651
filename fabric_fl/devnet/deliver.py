"""Fabric's deliver protocol: a signed seek, then blocks, then a status, then perhaps another seek.

Peers serve their own view of blocks, whole or filtered; the orderer serves it without validation flags.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import events_pb2, events_pb2_grpc

from fabric_fl.devnet.acl import AccessDenied
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.events import filtered_block
from fabric_fl.devnet.handler import NO_PRIVATE_DATA
from fabric_fl.devnet.rpcerror import RpcError
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.fabric.ledger.blockstore import orderer_view
from fabric_fl.fabric.protoutil import MalformedMessage, UnpackedEnvelope, unmarshal, unpack_envelope

_log = logging.getLogger(__name__)

_TIME_WINDOW = datetime.timedelta(minutes=15)

Blocks = AsyncIterator[Any]


class _Refused(Exception):  # noqa: N818 -- control flow
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Seek:
    """An understood request: from which block to which, and what if one is not there yet."""

    start: int
    stop: int
    fail_if_not_ready: bool
    headers_only: bool
    creator: bytes


class DeliverHandler:
    """Serves blocks to whoever may read them.

    Args:
        channel: The channel.
        msp_id: The organisation whose node this is: its peer may lag, its streams may be cut.
        check: Raises `AccessDenied` for those who may not read.
        block_response: Makes a response of a block.
        status_response: Makes a response of a status.
    """

    def __init__(
        self,
        channel: Channel,
        msp_id: str,
        check: Callable[[SignedData], None],
        block_response: Callable[[common_pb2.Block], Any],
        status_response: Callable[[int], Any],
    ) -> None:
        self._channel = channel
        self._msp_id = msp_id
        self._check = check
        self._block_response = block_response
        self._status_response = status_response

    async def __call__(self, requests: AsyncIterator[common_pb2.Envelope], context: grpc.aio.ServicerContext) -> Blocks:
        """Answers seeks until the client ends, or one fails."""
        try:
            with self._channel.faults.stream(self._msp_id):
                async for envelope in requests:
                    status = common_pb2.SUCCESS
                    try:
                        async for response in self._deliver(envelope):
                            yield response
                    except _Refused as refused:
                        _log.warning("%s: deliver refused: %s", self._msp_id, refused)
                        status = refused.status
                    yield self._status_response(status)
                    if status != common_pb2.SUCCESS:
                        return
        except RpcError as error:
            await error.abort(context)

    async def _deliver(self, envelope: common_pb2.Envelope) -> Blocks:
        seek = self._seek(envelope)
        number = seek.start
        while True:
            if seek.fail_if_not_ready and number >= self._channel.height(self._msp_id):
                raise _Refused(common_pb2.NOT_FOUND, f"block {number} is not there yet")
            await self._channel.wait_for_height(number + 1, self._msp_id)
            self._check_session(seek.creator)
            block = self._channel.ledger.block(number)
            assert block is not None  # below the height
            if seek.headers_only and not _is_config(block):
                block.ClearField("data")
            yield self._block_response(block)
            if number == seek.stop:
                return
            number += 1

    def _seek(self, envelope: common_pb2.Envelope) -> Seek:
        try:
            request = unpack_envelope(envelope)
            _check_timestamp(request)
            if request.channel_header.channel_id != self._channel.id:
                raise _Refused(common_pb2.NOT_FOUND, f"channel {request.channel_header.channel_id} not found")
            seek = unmarshal(ab_pb2.SeekInfo, request.payload.data)
        except MalformedMessage as error:
            raise _Refused(common_pb2.BAD_REQUEST, str(error)) from error
        creator = request.signature_header.creator
        self._check_session(creator)
        try:
            self._check(SignedData(envelope.payload, creator, envelope.signature))
        except AccessDenied as error:
            raise _Refused(common_pb2.FORBIDDEN, str(error)) from error
        if not seek.HasField("start") or not seek.HasField("stop"):
            raise _Refused(common_pb2.BAD_REQUEST, "start or stop is missing")
        start = self._start(seek.start)
        stop = self._stop(seek, start)
        if stop < start and seek.stop.WhichOneof("Type") == "specified":
            raise _Refused(common_pb2.BAD_REQUEST, f"start number {start} greater than stop number {stop}")
        return Seek(
            start=start,
            stop=stop,
            fail_if_not_ready=seek.behavior == ab_pb2.SeekInfo.FAIL_IF_NOT_READY,
            headers_only=seek.content_type == ab_pb2.SeekInfo.HEADER_WITH_SIG,
            creator=creator,
        )

    def _start(self, position: ab_pb2.SeekPosition) -> int:
        height = self._channel.height(self._msp_id)
        kind = position.WhichOneof("Type")
        if kind == "oldest":
            return 0
        if kind == "newest":
            return height - 1
        if kind == "next_commit":
            return height
        if kind == "specified" and position.specified.number <= height:
            number: int = position.specified.number
            return number
        raise _Refused(common_pb2.NOT_FOUND, "no such block to start at")

    def _stop(self, seek: ab_pb2.SeekInfo, start: int) -> int:
        kind = seek.stop.WhichOneof("Type")
        if kind == "specified":
            number: int = seek.stop.specified.number
            return number
        if kind == "oldest" or seek.start == seek.stop:
            return start  # newest to newest is one block, however many come meanwhile
        return self._channel.height(self._msp_id) - 1 if kind == "newest" else 0

    def _check_session(self, creator: bytes) -> None:
        try:
            identity = self._channel.config.msps.deserialize(creator)
        except InvalidIdentity as error:
            raise _Refused(common_pb2.FORBIDDEN, str(error)) from error
        _check_expiry(identity)


class DeliverService(events_pb2_grpc.DeliverServicer):  # type: ignore[misc]
    """Fabric's Deliver service on one organisation's endpoint.

    Args:
        channel: The channel.
        msp_id: The organisation.
        check: Raises `AccessDenied` for those who may not use a resource.
    """

    def __init__(self, channel: Channel, msp_id: str, check: Callable[[str, SignedData], None]) -> None:
        def status(code: int) -> events_pb2.DeliverResponse:
            return events_pb2.DeliverResponse(status=code)

        self._blocks = DeliverHandler(
            channel,
            msp_id,
            lambda signed: check("event/Block", signed),
            lambda block: events_pb2.DeliverResponse(block=block),
            status,
        )
        self._filtered = DeliverHandler(
            channel,
            msp_id,
            lambda signed: check("event/FilteredBlock", signed),
            lambda block: events_pb2.DeliverResponse(filtered_block=filtered_block(block)),
            status,
        )

    async def Deliver(  # noqa: N802 -- gRPC's names, here and below
        self, request_iterator: AsyncIterator[common_pb2.Envelope], context: grpc.aio.ServicerContext
    ) -> Blocks:
        async for response in self._blocks(request_iterator, context):
            yield response

    async def DeliverFiltered(  # noqa: N802
        self, request_iterator: AsyncIterator[common_pb2.Envelope], context: grpc.aio.ServicerContext
    ) -> Blocks:
        async for response in self._filtered(request_iterator, context):
            yield response

    async def DeliverWithPrivateData(  # noqa: N802
        self,
        request_iterator: AsyncIterator[common_pb2.Envelope],
        context: grpc.aio.ServicerContext,
    ) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, NO_PRIVATE_DATA)


def orderer_deliver(channel: Channel, msp_id: str, check: Callable[[SignedData], None]) -> DeliverHandler:
    """Returns the deliver side of the orderer's AtomicBroadcast service."""
    return DeliverHandler(
        channel,
        msp_id,
        check,
        lambda block: ab_pb2.DeliverResponse(block=orderer_view(block)),
        lambda code: ab_pb2.DeliverResponse(status=code),
    )


def _check_timestamp(request: UnpackedEnvelope) -> None:
    header = request.channel_header
    if not header.HasField("timestamp"):
        raise _Refused(common_pb2.BAD_REQUEST, "channel header in envelope must contain timestamp")
    # In nanoseconds: a hostile timestamp does not fit into a datetime.
    sent = header.timestamp.seconds * 10**9 + header.timestamp.nanos
    now = datetime.datetime.now(datetime.UTC).timestamp() * 10**9
    if abs(now - sent) > _TIME_WINDOW.total_seconds() * 10**9:
        raise _Refused(common_pb2.BAD_REQUEST, "envelope timestamp is more than 15m0s apart from current server time")


def _check_expiry(identity: Identity) -> None:
    if identity.certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise _Refused(common_pb2.FORBIDDEN, "deliver client identity expired")


def _is_config(block: common_pb2.Block) -> bool:
    try:
        return bool(unpack_envelope(block.data.data[0]).channel_header.type == common_pb2.CONFIG)
    except (MalformedMessage, IndexError):
        return False
