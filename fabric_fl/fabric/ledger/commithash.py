"""The commit hash: one digest over every validation flag and every state update since block 1.

Peers that agree on it agree on the whole world state, which the hash chain of the headers alone does not show.

References:
    Fabric, ``core/ledger/kvledger/kv_ledger.go`` (addBlockCommitHash) and ``txmgmt/txmgr/updates.proto``.
"""

from __future__ import annotations

import hashlib

from fabric_fl.fabric.ledger.statedb import UpdateBatch
from fabric_fl.fabric.wire import field, varint


def commit_hash(flags: bytes, updates: UpdateBatch, previous: bytes) -> bytes:
    """Returns the hash of a block from its flags, its updates and the block before's hash (empty at block 1)."""
    return hashlib.sha256(varint(len(flags)) + flags + update_bytes(updates) + previous).digest()


def update_bytes(updates: UpdateBatch) -> bytes:
    """Returns the updates as Fabric's ``Updates`` message, which has no published bindings.

    The namespace stands at its first update only, and so does each collection's name.
    """
    encoded = bytearray()
    last: tuple[str, str] = ("", "")
    for namespace, collection, key, update in updates.sorted():
        write = b"".join(
            (
                _unless_empty(1, namespace.encode() if namespace != last[0] else b""),
                _unless_empty(2, collection.encode() if (namespace, collection) != last else b""),
                _unless_empty(3, key),
                b"\x20\x01" if update.value is None else b"",  # field 4, a varint: true
                _unless_empty(5, update.value or b""),
                _unless_empty(6, update.version.to_bytes()),
            )
        )
        encoded += field(1, write)
        last = (namespace, collection)
    return bytes(encoded)


def _unless_empty(number: int, content: bytes) -> bytes:
    return field(number, content) if content else b""
