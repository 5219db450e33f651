"""The ledger of one channel: blocks, world state, history and transaction index, committed together.

A block and all that follows from it are one SQLite transaction, synced before anybody is told. So after a crash
either all of a block is there or none of it, and what somebody was told is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.peer import transaction_pb2

from fabric_fl.fabric.ledger.batchpreparer import PreparedBatch, prepare_batch, private_updates
from fabric_fl.fabric.ledger.blockstore import BlockStore, TxStatus, orderer_view
from fabric_fl.fabric.ledger.commithash import commit_hash
from fabric_fl.fabric.ledger.database import Database, LedgerCorrupt, LedgerInUse
from fabric_fl.fabric.ledger.rwset import Height
from fabric_fl.fabric.ledger.simulator import TxSimulator
from fabric_fl.fabric.ledger.statedb import HistoryDB, Snapshot, StateDB
from fabric_fl.fabric.protoutil import (
    COMMIT_HASH,
    TRANSACTIONS_FILTER,
    block_data_hash,
    block_header_hash,
    last_config_index,
)

__all__ = ["CommittedBlock", "InvalidBlock", "KVLedger", "LedgerCorrupt", "LedgerInUse", "TxStatus", "orderer_view"]

_TRANSIENT_BLOCKS = 1000
"""How many blocks private data waits for its transaction (Fabric's ``transientstoreMaxBlockRetention``)."""


class InvalidBlock(ValueError):  # noqa: N818 -- what it is
    """A block that does not continue the chain."""


@dataclass(frozen=True)
class CommittedBlock:
    """A block as the peers have it, and what became of its transactions.

    Attributes:
        block: With validation flags and commit hash.
        data: The same, serialised.
        statuses: One a transaction, in order.
    """

    block: common_pb2.Block
    data: bytes
    statuses: tuple[TxStatus, ...]

    @property
    def number(self) -> int:
        number: int = self.block.header.number
        return number


class KVLedger:
    """One channel's ledger. Reading is safe from any thread; only one at a time commits."""

    def __init__(self, database: Database, channel_id: str) -> None:
        self._database = database
        self.channel_id = channel_id
        self._blocks = BlockStore(database.writer)
        self._state = StateDB(database.writer)
        self._history = HistoryDB(database.writer)
        self._height = self._blocks.height()
        tip = self.block(self._height - 1) if self._height else None
        self._tip_hash = block_header_hash(tip.header) if tip else b""
        self._commit_hash = _commit_hash_of(tip) if tip else b""

    @classmethod
    def open(cls, directory: Path | None, channel_id: str) -> KVLedger:
        """Opens or makes a ledger; verifies its chain unless it was closed properly.

        Args:
            directory: Where it lies; None keeps it in memory.
            channel_id: The channel's name.

        Raises:
            LedgerInUse: Another process has it open.
            LedgerCorrupt: It is damaged, or another channel's.
        """
        database = Database(directory)
        try:
            ledger = cls(database, channel_id)
            ledger._begin()
        except BaseException:
            database.close()
            raise
        return ledger

    def _begin(self) -> None:
        stored = self._database.get_meta("channel")
        if stored is None:
            self._database.set_meta("channel", self.channel_id)
        elif stored != self.channel_id:
            raise LedgerCorrupt(f"the ledger is that of channel {stored!r}, not of {self.channel_id!r}")
        elif not self._database.get_meta("closed"):
            self.verify_chain()
        self._database.set_meta("closed", 0)

    def close(self) -> None:
        """Closes the ledger; snapshots must have been closed before."""
        try:
            self._database.set_meta("closed", 1)
        finally:
            self._database.close()

    @property
    def height(self) -> int:
        """How many blocks there are."""
        return self._height

    @property
    def tip_hash(self) -> bytes:
        """The header hash of the last block, which the next one names."""
        return self._tip_hash

    def snapshot(self) -> Snapshot:
        """Returns the ledger as of now; close it soon."""
        return Snapshot(self._database)

    def new_simulator(self, tx_id: str) -> TxSimulator:
        """Returns a simulator on a snapshot of its own; close it soon."""
        return TxSimulator(self.snapshot(), tx_id)

    def block_bytes(self, number: int) -> bytes | None:
        with self._database.reader() as connection:
            return BlockStore(connection).data(number)

    def block(self, number: int) -> common_pb2.Block | None:
        data = self.block_bytes(number)
        return common_pb2.Block.FromString(data) if data is not None else None

    def block_by_hash(self, header_hash: bytes) -> common_pb2.Block | None:
        with self._database.reader() as connection:
            number = BlockStore(connection).number_of(header_hash)
        return self.block(number) if number is not None else None

    def block_by_tx_id(self, tx_id: str) -> common_pb2.Block | None:
        status = self.tx_status(tx_id)
        return self.block(status.block) if status is not None else None

    def last_config_block(self) -> common_pb2.Block | None:
        tip = self.block(self._height - 1) if self._height else None
        return self.block(last_config_index(tip)) if tip is not None else None

    def tx_status(self, tx_id: str) -> TxStatus | None:
        """Returns what became of the first transaction of that id; None if there is none."""
        with self._database.reader() as connection:
            return BlockStore(connection).status(tx_id)

    def tx_exists(self, tx_id: str) -> bool:
        return self.tx_status(tx_id) is not None

    def transaction(self, tx_id: str) -> transaction_pb2.ProcessedTransaction | None:
        status = self.tx_status(tx_id)
        block = self.block(status.block) if status is not None else None
        if status is None or block is None:
            return None
        envelope = common_pb2.Envelope.FromString(block.data.data[status.index])
        return transaction_pb2.ProcessedTransaction(transactionEnvelope=envelope, validationCode=status.code)

    def chain_info(self) -> ledger_pb2.BlockchainInfo:
        with self._database.reader() as connection:
            blocks = BlockStore(connection)
            height = blocks.height()
            current, previous = blocks.header_hash(height - 1), blocks.header_hash(height - 2)
        return ledger_pb2.BlockchainInfo(height=height, currentBlockHash=current, previousBlockHash=previous)

    def put_transient(self, tx_id: str, data: bytes) -> None:
        """Keeps an endorsed transaction's private writes (``TxPvtReadWriteSet``) until its block comes."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO transient VALUES (?, ?, ?)", (tx_id, self._height, data))

    def commit(self, block: common_pb2.Block, codes: Sequence[int]) -> CommittedBlock:
        """Checks for conflicts, then adds the block with everything that follows from it.

        Args:
            block: The next block; receives its flags and commit hash.
            codes: What the transaction validator found.

        Raises:
            InvalidBlock: It does not continue the chain.
            sqlite3.Error: It could not be written; nothing has changed.
        """
        self._check_next(block, codes)
        batch = prepare_batch(block, codes, self._state)
        flags = bytes(status.code for status in batch.statuses)
        block.metadata.metadata[TRANSACTIONS_FILTER] = flags
        digest = b""
        if block.header.number > 0:
            digest = commit_hash(flags, batch.updates, self._commit_hash)
            block.metadata.metadata[COMMIT_HASH] = common_pb2.Metadata(value=digest).SerializeToString()
        data: bytes = block.SerializeToString()
        header_hash = block_header_hash(block.header)
        with self._database.transaction():
            self._blocks.add(block.header.number, header_hash, data)
            self._store(batch)
            self._store_private(block.header.number, batch)
        self._tip_hash, self._commit_hash = header_hash, digest
        self._height += 1
        return CommittedBlock(block, data, batch.statuses)

    def verify_chain(self) -> None:
        """Checks every block against its own hashes and the block before.

        Raises:
            LedgerCorrupt: Some block is not what it was.
        """
        previous = b""
        for number, block in self._stored_blocks():
            if block.header.number != number or block.header.previous_hash != previous:
                raise LedgerCorrupt(f"block {number} does not follow the block before it")
            if block_data_hash(block.data) != block.header.data_hash:
                raise LedgerCorrupt(f"block {number}: its transactions are not those that its header names")
            previous = block_header_hash(block.header)
            if previous != self._blocks.header_hash(number):
                raise LedgerCorrupt(f"block {number}: its header has been changed")

    def rebuild_state(self) -> None:
        """Makes world state, history and index anew from the blocks, and checks every commit hash on the way.

        Raises:
            LedgerCorrupt: Blocks and commit hashes do not fit; nothing has changed.
        """
        previous = b""
        with self._database.transaction() as connection:
            for table in ("state", "history", "transactions"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- the three names above
            for number, block in self._stored_blocks():
                flags = block.metadata.metadata[TRANSACTIONS_FILTER]
                batch = prepare_batch(block, flags, self._state, find_conflicts=False)
                if number > 0:
                    previous = commit_hash(flags, batch.updates, previous)
                    if previous != _commit_hash_of(block):
                        raise LedgerCorrupt(f"block {number}: its updates do not give its commit hash")
                self._store(batch)

    def state_hash(self) -> bytes:
        """Returns one digest of the whole world state."""
        with self.snapshot() as snapshot:
            return snapshot.state.hash()

    def _stored_blocks(self) -> Iterator[tuple[int, common_pb2.Block]]:
        for number in itertools.count():
            data = self._blocks.data(number)
            if data is None:
                if number != self._blocks.height():
                    raise LedgerCorrupt(f"block {number} is missing")
                return
            yield number, common_pb2.Block.FromString(data)

    def _check_next(self, block: common_pb2.Block, codes: Sequence[int]) -> None:
        header = block.header
        if header.number != self._height:
            raise InvalidBlock(f"block {header.number} came where block {self._height} should")
        if header.previous_hash != self._tip_hash:
            raise InvalidBlock(f"block {header.number} does not follow block {self._height - 1}")
        if header.data_hash != block_data_hash(block.data):
            raise InvalidBlock(f"block {header.number}: the data hash is not that of its transactions")
        if len(codes) != len(block.data.data):
            raise InvalidBlock(f"block {header.number}: {len(codes)} codes for {len(block.data.data)} transactions")

    def _store(self, batch: PreparedBatch) -> None:
        self._blocks.index(batch.statuses)
        self._state.apply(batch.updates)
        self._history.add(batch.history)

    def _store_private(self, number: int, batch: PreparedBatch) -> None:
        writer = self._database.writer
        for status in batch.statuses:
            rwset = batch.rwsets.get(status.index)
            if rwset is None or not any(part.collections for part in rwset.namespaces):
                continue
            row = writer.execute("SELECT data FROM transient WHERE tx_id=?", (status.tx_id,)).fetchone()
            if row is not None:
                self._state.apply_private(private_updates(rwset, row[0], Height(number, status.index)))
                writer.execute("DELETE FROM transient WHERE tx_id=?", (status.tx_id,))
        writer.execute("DELETE FROM transient WHERE height<?", (number - _TRANSIENT_BLOCKS,))


def _commit_hash_of(block: common_pb2.Block) -> bytes:
    metadata = common_pb2.Metadata.FromString(block.metadata.metadata[COMMIT_HASH])
    value: bytes = metadata.value
    return value
