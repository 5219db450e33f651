"""Blocks as they were committed, and the index from transaction ids to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from fabric_protos.common import common_pb2

from fabric_fl.fabric.protoutil import COMMIT_HASH, TRANSACTIONS_FILTER

_FIRST = "SELECT block, tx, code FROM transactions WHERE tx_id=? ORDER BY block, tx LIMIT 1"


@dataclass(frozen=True)
class TxStatus:
    """What became of a transaction.

    Attributes:
        tx_id: As its channel header says; empty if it has none.
        block: The block's number.
        index: The position in the block.
        code: Fabric's ``TxValidationCode``.
    """

    tx_id: str
    block: int
    index: int
    code: int


class BlockStore:
    """The blocks and the transaction index over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def height(self) -> int:
        (last,) = self._connection.execute("SELECT max(number) FROM blocks").fetchone()
        return 0 if last is None else int(last) + 1

    def add(self, number: int, header_hash: bytes, data: bytes) -> None:
        self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (number, header_hash, data))

    def index(self, statuses: Iterable[TxStatus]) -> None:
        rows = [(each.tx_id, each.block, each.index, each.code) for each in statuses]
        self._connection.executemany("INSERT INTO transactions VALUES (?, ?, ?, ?)", rows)

    def data(self, number: int) -> bytes | None:
        row = self._connection.execute("SELECT data FROM blocks WHERE number=?", (number,)).fetchone()
        return row[0] if row else None

    def header_hash(self, number: int) -> bytes | None:
        row = self._connection.execute("SELECT header_hash FROM blocks WHERE number=?", (number,)).fetchone()
        return row[0] if row else None

    def number_of(self, header_hash: bytes) -> int | None:
        row = self._connection.execute("SELECT number FROM blocks WHERE header_hash=?", (header_hash,)).fetchone()
        return row[0] if row else None

    def status(self, tx_id: str) -> TxStatus | None:
        """Returns the first occurrence: a resubmitted transaction changes nothing."""
        row = self._connection.execute(_FIRST, (tx_id,)).fetchone()
        return TxStatus(tx_id, *row) if row else None


def orderer_view(block: common_pb2.Block) -> common_pb2.Block:
    """Returns the block as its orderer has it: what only a peer adds, flags and commit hash, is not there."""
    view = common_pb2.Block()
    view.CopyFrom(block)
    for slot in (TRANSACTIONS_FILTER, COMMIT_HASH):
        if slot < len(view.metadata.metadata):
            view.metadata.metadata[slot] = b""
    return view
