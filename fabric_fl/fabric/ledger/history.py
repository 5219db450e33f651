"""A key's history: which transactions wrote it, and what."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_protos.common import common_pb2
from fabric_protos.ledger.queryresult import kv_query_result_pb2

from fabric_fl.fabric.ledger.rwset import TxRWSet, is_delete
from fabric_fl.fabric.ledger.statedb import Snapshot
from fabric_fl.fabric.protoutil import unpack_envelope, unpack_transaction


def modifications(snapshot: Snapshot, namespace: str, key: str) -> Iterator[kv_query_result_pb2.KeyModification]:
    """Yields a ``KeyModification`` for each valid transaction that wrote the key, newest first.

    The index names the transactions; value and timestamp come from the transactions themselves.
    """
    number, envelopes = -1, []
    for height in snapshot.history.newest_first(namespace, key.encode()):
        if height.block != number:
            data = snapshot.block_data(height.block)
            if data is None:
                raise LookupError(f"block {height.block} is not in the ledger")
            number, envelopes = height.block, common_pb2.Block.FromString(data).data.data
        envelope = unpack_envelope(envelopes[height.tx])
        action = unpack_transaction(envelope.payload.data).chaincode_action
        write = next(
            write
            for part in TxRWSet.parse(action.results).namespaces
            if part.namespace == namespace
            for write in part.kv.writes
            if write.key == key
        )
        yield kv_query_result_pb2.KeyModification(
            tx_id=envelope.channel_header.tx_id,
            value=write.value,
            timestamp=envelope.channel_header.timestamp,
            is_delete=is_delete(write),
        )
