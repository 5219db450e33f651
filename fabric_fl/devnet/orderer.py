"""The orderer: takes transactions in, puts them in an order, and signs the blocks.

It is a single process without consensus. By default a block is cut as soon as the committer has nothing else to
do: alone, a transaction waits for nobody; under load, blocks fill by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2, ab_pb2_grpc

from fabric_fl.devnet.blockcutter import BlockCutter
from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.msgprocessor import MessageProcessor, Rejected, message_size
from fabric_fl.fabric.channel.channelconfig import BatchSettings, ChannelConfig
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.protoutil import Signer, new_block, sign_block

_log = logging.getLogger(__name__)

WHEN_IDLE = BatchSettings(absolute_max_bytes=99 * 1024 * 1024, timeout=0.0)
"""Blocks are cut whenever the committer is idle."""

_MAX_QUEUED_BYTES = 256 * 1024 * 1024
_RETRY_FIRST, _RETRY_LAST = 0.05, 2.0
"""Seconds between attempts to write a block that could not be written."""


class Orderer:
    """Orders the transactions of one channel.

    Args:
        config: The channel's configuration.
        ledger: Whose last block is followed by the next.
        committer: Where blocks go.
        signer: The orderer's identity.
        batch: When blocks are cut; a timeout of 0 means whenever the committer is idle.
        signatures: Shared with the committer's validator, which need not verify again.
    """

    def __init__(
        self,
        config: ChannelConfig,
        ledger: KVLedger,
        committer: Committer,
        signer: Signer,
        *,
        batch: BatchSettings = WHEN_IDLE,
        signatures: SignatureCache | None = None,
    ) -> None:
        self._ledger = ledger
        self._committer = committer
        self._signer = signer
        self._timeout = batch.timeout
        signatures = signatures or SignatureCache(config.msps)
        self._processor = MessageProcessor(config, signatures, batch.absolute_max_bytes)
        self._cutter = BlockCutter(batch)
        self._full: deque[list[bytes]] = deque()
        self._queued_bytes = 0
        self._batch_started = 0.0
        self._arrived = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None
        self.reorder: Callable[[list[bytes]], list[bytes]] | None = None
        """A fault on request: changes the order within a block that is about to be made."""

    def broadcast(self, envelope: common_pb2.Envelope) -> ab_pb2.BroadcastResponse:
        """Checks a transaction and queues it; returns without waiting for its block."""
        try:
            self._processor.check(envelope)
            self._enqueue(envelope)
        except Rejected as rejected:
            return ab_pb2.BroadcastResponse(status=rejected.status, info=str(rejected))
        return ab_pb2.BroadcastResponse(status=common_pb2.SUCCESS)

    async def start(self) -> None:
        """Begins to make blocks."""
        self._task = asyncio.create_task(self._run(), name="orderer")

    async def stop(self) -> None:
        """Ends after the block in hand; what is queued beyond it is lost, as in a crash."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def pause(self) -> None:
        """Stalls ordering: transactions are accepted and wait."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    def _enqueue(self, envelope: common_pb2.Envelope) -> None:
        if self._task is None or self._trouble is not None:
            raise Rejected(common_pb2.SERVICE_UNAVAILABLE, self._trouble or "the orderer is not running")
        data: bytes = envelope.SerializeToString()
        if self._queued_bytes + len(data) > _MAX_QUEUED_BYTES:
            raise Rejected(common_pb2.SERVICE_UNAVAILABLE, "too many transactions wait for a block: try again")
        self._queued_bytes += len(data)
        if not self._cutter:
            self._batch_started = asyncio.get_running_loop().time()
        self._full.extend(self._cutter.ordered(data, message_size(envelope)))
        self._arrived.set()

    async def _run(self) -> None:
        try:
            while True:
                batch = await self._next_batch()
                await self._write(self.reorder(batch) if self.reorder else batch)
                self._queued_bytes -= sum(len(each) for each in batch)
        except Exception as error:
            self._trouble = f"the orderer has stopped: {error}"
            _log.exception("the orderer has stopped")
            raise

    async def _next_batch(self) -> list[bytes]:
        """Waits for a batch that is full or whose time has come."""
        while True:
            await self._running.wait()
            if self._full:
                return self._full.popleft()
            patience = None
            if self._cutter:
                patience = self._batch_started + self._timeout - asyncio.get_running_loop().time()
                if self._timeout <= 0 or patience <= 0:
                    return self._cutter.cut()
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), patience)

    async def _write(self, batch: list[bytes]) -> None:
        block = new_block(self._ledger.height, self._ledger.tip_hash, batch)
        # The configuration is block 0's for ever, so LAST_CONFIG stays as it is: an empty message's bytes.
        sign_block(block, self._signer, last_config=0)
        delay = _RETRY_FIRST
        while True:
            try:
                await self._committer.commit(block)
            except sqlite3.Error as error:
                # A full disk, most likely. Nothing has been written: the same block is tried again.
                self._trouble = f"block {block.header.number} cannot be written: {error}"
                _log.error("%s", self._trouble)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _RETRY_LAST)
            else:
                self._trouble = None
                return


DeliverHandler = Callable[
    [AsyncIterator[common_pb2.Envelope], "grpc.aio.ServicerContext"], AsyncIterator[ab_pb2.DeliverResponse]
]


class AtomicBroadcastService(ab_pb2_grpc.AtomicBroadcastServicer):  # type: ignore[misc] # generated, untyped
    """The orderer's endpoint.

    Args:
        orderer: Takes what is broadcast.
        deliver: Serves its blocks.
    """

    def __init__(self, orderer: Orderer, deliver: DeliverHandler) -> None:
        self._orderer = orderer
        self._deliver = deliver

    async def Broadcast(  # noqa: N802 -- the service's method
        self,
        request_iterator: AsyncIterator[common_pb2.Envelope],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[ab_pb2.BroadcastResponse]:
        """Answers every envelope in turn; ends the stream after one that is refused, as Fabric does."""
        async for envelope in request_iterator:
            response = self._orderer.broadcast(envelope)
            yield response
            if response.status != common_pb2.SUCCESS:
                return

    async def Deliver(  # noqa: N802 -- the service's method
        self, request_iterator: AsyncIterator[common_pb2.Envelope], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ab_pb2.DeliverResponse]:
        """Serves blocks for as long as the client asks for some."""
        async for response in self._deliver(request_iterator, context):
            yield response
