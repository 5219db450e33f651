"""The commit hash: one digest over every validation flag and every state update since block 1.

Peers that agree on it agree on the whole world state, which the hash chain of the headers alone does not show.

References:
    Fabric, ``core/ledger/kvledger/kv_ledger.go`` (addBlockCommitHash) and ``txmgmt/txmgr/updates.proto``.
"""

from __future__ import annotations

import hashlib

from fabric_fl.devnet.statedb import UpdateBatch


def commit_hash(flags: bytes, updates: UpdateBatch, previous: bytes) -> bytes:
    """Returns the hash of a block from its flags, its updates and the block before's hash (empty at block 1)."""
    return hashlib.sha256(_varint(len(flags)) + flags + update_bytes(updates) + previous).digest()


def update_bytes(updates: UpdateBatch) -> bytes:
    """Returns the updates as Fabric's ``Updates`` message, which has no published bindings.

    The namespace stands at its first update only, and so does each collection's name.
    """
    encoded = bytearray()
    last: tuple[str, str] = ("", "")
    for namespace, collection, key, update in updates.sorted():
        write = b"".join(
            (
                _field(1, namespace.encode() if namespace != last[0] else b""),
                _field(2, collection.encode() if (namespace, collection) != last else b""),
                _field(3, key),
                b"\x20\x01" if update.value is None else b"",  # field 4, a varint: true
                _field(5, update.value or b""),
                _field(6, update.version.to_bytes()),
            )
        )
        encoded += _field(1, write)
        last = (namespace, collection)
    return bytes(encoded)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content if content else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
