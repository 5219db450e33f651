"""The one writer of a ledger, and those who wait for what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fabric_protos.common import common_pb2

from fabric_fl.fabric.channel.txvalidator import TxValidator
from fabric_fl.fabric.ledger.kvledger import CommittedBlock, KVLedger, TxStatus


class LedgerClosed(RuntimeError):  # noqa: N818 -- says what is the matter
    """The ledger was closed while somebody waited for a block."""


class Committer:
    """Validates and commits blocks in a thread of its own; tells listeners in the event loop.

    Args:
        ledger: Where blocks are committed.
        validator: What judges their transactions first.

    Attributes:
        before_commit: A fault on request: called in the writing thread before each block; what it raises counts as
            the ledger's.
    """

    def __init__(self, ledger: KVLedger, validator: TxValidator) -> None:
        self._ledger = ledger
        self._validator = validator
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"committer-{ledger.channel_id}")
        self._height = ledger.height
        self._closed = False
        self._current: asyncio.Future[CommittedBlock] | None = None
        self.before_commit: Callable[[], None] | None = None
        self._listeners: list[Callable[[CommittedBlock], None]] = []
        self._tx_waiters: dict[str, set[asyncio.Future[TxStatus]]] = {}
        self._height_waiters: dict[asyncio.Future[None], int] = {}

    @property
    def height(self) -> int:
        """How many blocks have been committed and announced."""
        return self._height

    def add_listener(self, listener: Callable[[CommittedBlock], None]) -> None:
        """Has every later block announced to ``listener``, which must not wait."""
        self._listeners.append(listener)

    async def commit(self, block: common_pb2.Block) -> CommittedBlock:
        """Validates and commits the next block; one call at a time.

        Raises:
            InvalidBlock: It does not continue the chain.
            sqlite3.Error: It could not be written; nothing has changed.
        """
        # Shielded: a block that is being written is written, whoever no longer waits, and must be announced.
        self._current = asyncio.ensure_future(self._commit(block))
        return await asyncio.shield(self._current)

    async def wait_for_tx(self, tx_id: str) -> TxStatus:
        """Returns what became of a transaction, as soon as it is in a block, this time or long ago.

        Raises:
            LedgerClosed: Nobody will ever know.
        """
        # Whoever looks up first and registers then misses the block that is committed in between.
        waiter: asyncio.Future[TxStatus] = asyncio.get_running_loop().create_future()
        self._check_open()
        waiters = self._tx_waiters.setdefault(tx_id, set())
        waiters.add(waiter)
        try:
            status = self._ledger.tx_status(tx_id)
            # A block that is written but not announced yet would be answered before its listeners are told.
            if status is not None and status.block < self._height:
                return status
            return await waiter
        finally:
            waiters.discard(waiter)
            if not waiters and self._tx_waiters.get(tx_id) is waiters:
                del self._tx_waiters[tx_id]

    async def wait_for_height(self, height: int) -> None:
        """Returns once there are ``height`` blocks.

        Raises:
            LedgerClosed: There will never be.
        """
        self._check_open()
        if self._height >= height:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._height_waiters[waiter] = height
        try:
            await waiter
        finally:
            self._height_waiters.pop(waiter, None)

    async def close(self) -> None:
        """Ends after the block that is being written; wakes everybody who waits."""
        self._closed = True
        if self._current is not None:
            await asyncio.gather(self._current, return_exceptions=True)
        self._thread.shutdown()
        waiters: list[asyncio.Future[Any]] = [*self._height_waiters, *itertools.chain(*self._tx_waiters.values())]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(LedgerClosed("the ledger is closed"))

    def _check_open(self) -> None:
        if self._closed:
            raise LedgerClosed("the ledger is closed")

    async def _commit(self, block: common_pb2.Block) -> CommittedBlock:
        self._check_open()
        committed = await asyncio.get_running_loop().run_in_executor(self._thread, self._validate_and_commit, block)
        self._announce(committed)
        return committed

    def _validate_and_commit(self, block: common_pb2.Block) -> CommittedBlock:
        codes = self._validator.validate(block)
        if self.before_commit is not None:
            self.before_commit()
        return self._ledger.commit(block, codes)

    def _announce(self, committed: CommittedBlock) -> None:
        self._height = committed.number + 1
        for status in committed.statuses:
            for tx_waiter in self._tx_waiters.get(status.tx_id, ()):
                with contextlib.suppress(asyncio.InvalidStateError):  # cancelled, or the same id twice in the block
                    tx_waiter.set_result(status)
        for waiter, height in list(self._height_waiters.items()):
            if height <= self._height and not waiter.done():
                waiter.set_result(None)
        for listener in self._listeners:
            listener(committed)
