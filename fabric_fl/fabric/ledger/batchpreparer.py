"""What a block does to the ledger: which transactions conflict, and what the others write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2

from fabric_fl.fabric.ledger import mvcc
from fabric_fl.fabric.ledger.blockstore import TxStatus
from fabric_fl.fabric.ledger.rwset import Height, TxRWSet, parse_private
from fabric_fl.fabric.ledger.statedb import StateDB, Update, UpdateBatch
from fabric_fl.fabric.protoutil import MalformedMessage, unpack_envelope, unpack_transaction

_VALID = int(transaction_pb2.VALID)


@dataclass(frozen=True)
class PreparedBatch:
    """Everything that a block adds to the ledger.

    Attributes:
        statuses: What became of each transaction, in order.
        updates: World state's changes.
        history: Namespace, key and height of every valid write.
        rwsets: The valid transactions' read/write sets, by position in the block.
    """

    statuses: tuple[TxStatus, ...]
    updates: UpdateBatch
    history: list[tuple[str, bytes, Height]]
    rwsets: dict[int, TxRWSet]


def prepare_batch(
    block: common_pb2.Block, codes: Sequence[int], state: StateDB, *, find_conflicts: bool = True
) -> PreparedBatch:
    """Goes through a block's transactions in order.

    Args:
        block: The block.
        codes: What is known of each transaction's validity.
        state: World state before the block.
        find_conflicts: Look for read conflicts; not when the codes already say what they were.
    """
    number = block.header.number
    statuses = []
    batch = PreparedBatch((), UpdateBatch(), [], {})
    for index, (envelope, given) in enumerate(zip(block.data.data, codes, strict=True)):
        code = given
        tx_id, rwset = _read(envelope, valid=given == _VALID)
        if rwset is not None:
            if find_conflicts:
                code = mvcc.validate(rwset, state, batch.updates)
            if code == _VALID:
                height = Height(number, index)
                mvcc.apply_writes(rwset, height, batch.updates)
                batch.rwsets[index] = rwset
                for part in rwset.namespaces:
                    batch.history.extend((part.namespace, write.key.encode(), height) for write in part.kv.writes)
        statuses.append(TxStatus(tx_id, number, index, code))
    return PreparedBatch(tuple(statuses), batch.updates, batch.history, batch.rwsets)


def private_updates(rwset: TxRWSet, data: bytes, height: Height) -> Iterator[tuple[str, str, bytes, Update]]:
    """Yields the private writes of a transaction: of what is on offer, what has the hash that it carries."""
    private = parse_private(data)
    for part in rwset.namespaces:
        for collection in part.collections:
            found = private.get((part.namespace, collection.name))
            if found is not None and found.hash == collection.private_hash:
                for write in found.kv.writes:
                    update = Update(write.value or None, height)
                    yield part.namespace, collection.name, write.key.encode(), update


def _read(envelope: bytes, *, valid: bool) -> tuple[str, TxRWSet | None]:
    """Returns a transaction's id, which an invalid one may lack, and a valid endorser transaction's read/write set."""
    try:
        unpacked = unpack_envelope(envelope)
        tx_id: str = unpacked.channel_header.tx_id
        if not valid or unpacked.channel_header.type != common_pb2.ENDORSER_TRANSACTION:
            return tx_id, None
        return tx_id, TxRWSet.parse(unpack_transaction(unpacked.payload.data).chaincode_action.results)
    except MalformedMessage:
        if valid:
            raise
        return "", None
