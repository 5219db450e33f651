"""Concurrency control: would the transaction, simulated now, still read what it read?

"Now" is the committed state under the updates of the valid transactions before it in the block.

References:
    Fabric, ``core/ledger/kvledger/txmgmt/validation``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import transaction_pb2

from fabric_fl.fabric.ledger.rangequery import RangeQueryResults
from fabric_fl.fabric.ledger.rwset import CollectionRWSet, Height, TxRWSet, is_delete, version_of
from fabric_fl.fabric.ledger.statedb import PUBLIC, StateDB, Update, UpdateBatch

_HASH_OF_NOTHING = hashlib.sha256(b"").digest()


def validate(rwset: TxRWSet, state: StateDB, updates: UpdateBatch) -> int:
    """Returns the validation code: VALID, MVCC_READ_CONFLICT or PHANTOM_READ_CONFLICT."""
    for part in rwset.namespaces:
        if not validate_reads(part.namespace, part.kv.reads, state, updates):
            return int(transaction_pb2.MVCC_READ_CONFLICT)
        if not validate_range_queries(part.namespace, part.kv.range_queries_info, state, updates):
            return int(transaction_pb2.PHANTOM_READ_CONFLICT)
        if not all(_validate_hashed_reads(part.namespace, each, state, updates) for each in part.collections):
            return int(transaction_pb2.MVCC_READ_CONFLICT)
    return int(transaction_pb2.VALID)


def validate_reads(namespace: str, reads: Iterable[kv_rwset_pb2.KVRead], state: StateDB, updates: UpdateBatch) -> bool:
    """Tells whether every key still has the version that was read.

    A key that this block wrote before is a conflict whatever was read: the reader cannot have seen that.
    """
    for read in reads:
        key = read.key.encode()
        if updates.get(namespace, PUBLIC, key) or state.version(namespace, key) != version_of(read):
            return False
    return True


def validate_range_queries(
    namespace: str, queries: Iterable[kv_rwset_pb2.RangeQueryInfo], state: StateDB, updates: UpdateBatch
) -> bool:
    """Tells whether every range holds the same keys in the same versions: no phantoms, nothing missing."""
    return all(_validate_range_query(namespace, query, state, updates) for query in queries)


def apply_writes(rwset: TxRWSet, height: Height, updates: UpdateBatch) -> None:
    """Adds a valid transaction's writes to the block's updates."""
    for part in rwset.namespaces:
        for write in part.kv.writes:
            value = None if is_delete(write) else write.value
            updates.put(part.namespace, PUBLIC, write.key.encode(), Update(value, height))
        for collection in part.collections:
            for hashed in collection.hashed.hashed_writes:
                gone = hashed.is_delete or hashed.value_hash in (b"", _HASH_OF_NOTHING)
                update = Update(None if gone else hashed.value_hash, height)
                updates.put(part.namespace, collection.name, hashed.key_hash, update)


def _validate_hashed_reads(namespace: str, collection: CollectionRWSet, state: StateDB, updates: UpdateBatch) -> bool:
    for read in collection.hashed.hashed_reads:
        if updates.get(namespace, collection.name, read.key_hash) is not None:
            return False
        if state.version(namespace, read.key_hash, collection.name) != version_of(read):
            return False
    return True


def _validate_range_query(
    namespace: str, query: kv_rwset_pb2.RangeQueryInfo, state: StateDB, updates: UpdateBatch
) -> bool:
    # An iterator that was not exhausted saw its end key; an exhausted one stopped before it.
    current = _current(
        namespace, query.start_key.encode(), query.end_key.encode(), state, updates, not query.itr_exhausted
    )
    if query.HasField("reads_merkle_hashes"):
        return _same_summary(query.reads_merkle_hashes, current)
    for read in query.raw_reads.kv_reads:
        if next(current, None) != (read.key.encode(), version_of(read)):
            return False
    return next(current, None) is None


def _same_summary(expected: kv_rwset_pb2.QueryReadsMerkleSummary, current: Iterator[tuple[bytes, Height]]) -> bool:
    if expected.max_degree < 2:
        return False  # no endorser writes this; there is no such tree
    results = RangeQueryResults(expected.max_degree)
    for key, version in current:
        results.add(key.decode(), version)
    _, summary = results.done()
    return bool(summary == expected)


def _current(
    namespace: str, start: bytes, end: bytes, state: StateDB, updates: UpdateBatch, include_end: bool
) -> Iterator[tuple[bytes, Height]]:
    """Yields what the range holds now, as keys and versions in order."""
    for key, update in _merged(namespace, start, end, state, updates):
        if update.value is not None:
            yield key, update.version
    if include_end:
        last: Update | Height | None = updates.get(namespace, PUBLIC, end) or state.version(namespace, end)
        if isinstance(last, Update):
            last = last.version if last.value is not None else None
        if last is not None:
            yield end, last


def _merged(
    namespace: str, start: bytes, end: bytes, state: StateDB, updates: UpdateBatch
) -> Iterator[tuple[bytes, Update]]:
    """Yields committed keys and updated ones in order, of equal keys the updated one."""
    committed = state.range(namespace, start, end)
    stored = next(committed, None)
    for key, update in updates.range(namespace, start, end):
        while stored is not None and stored[0] < key:
            yield stored[0], Update(*stored[1])
            stored = next(committed, None)
        if stored is not None and stored[0] == key:
            stored = next(committed, None)
        yield key, update
    while stored is not None:
        yield stored[0], Update(*stored[1])
        stored = next(committed, None)
