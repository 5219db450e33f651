"""Read/write sets: what a simulation read and wrote, in the bytes that every endorser must agree on.

Order and encoding follow Fabric's ``rwsetutil``: namespaces and keys in byte order, one read and one write a key,
range queries in the order in which they were begun. Python compares strings by code point, which orders them as
their UTF-8 bytes do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from google.protobuf.message import DecodeError


class RWSetError(ValueError):
    """Bytes that are no read/write set."""


class Height(NamedTuple):
    """A version: the block and the transaction in it that wrote a value last."""

    block: int
    tx: int

    def to_bytes(self) -> bytes:
        """Returns the encoding whose byte order is the order of heights."""
        return _order_preserving_varint(self.block) + _order_preserving_varint(self.tx)

    def to_proto(self) -> kv_rwset_pb2.Version:
        return kv_rwset_pb2.Version(block_num=self.block, tx_num=self.tx)


def _order_preserving_varint(number: int) -> bytes:
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")


def version_of(read: kv_rwset_pb2.KVRead | kv_rwset_pb2.KVReadHash) -> Height | None:
    """Returns the version that a KVRead or KVReadHash names; None if the key was absent."""
    return Height(read.version.block_num, read.version.tx_num) if read.HasField("version") else None


def new_read(key: str, version: Height | None) -> kv_rwset_pb2.KVRead:
    return kv_rwset_pb2.KVRead(key=key, version=version.to_proto() if version is not None else None)


def hash_of(key: str) -> bytes:
    """Returns what stands for a collection's key where everybody can see it."""
    return hashlib.sha256(key.encode()).digest()


def is_delete(write: kv_rwset_pb2.KVWrite) -> bool:
    """Tells whether a KVWrite deletes: an empty value is a delete too."""
    return bool(write.is_delete or not write.value)


@dataclass
class _Collection:
    # By the keys in the clear, whose order is that of the hashes in the transaction.
    reads: dict[str, kv_rwset_pb2.KVReadHash] = field(default_factory=dict)
    writes: dict[str, kv_rwset_pb2.KVWriteHash] = field(default_factory=dict)
    private_writes: dict[str, kv_rwset_pb2.KVWrite] = field(default_factory=dict)

    def private_rwset(self) -> bytes:
        writes = [self.private_writes[key] for key in sorted(self.private_writes)]
        data: bytes = kv_rwset_pb2.KVRWSet(writes=writes).SerializeToString()
        return data

    def to_proto(self, name: str) -> rwset_pb2.CollectionHashedReadWriteSet:
        hashed = kv_rwset_pb2.HashedRWSet(
            hashed_reads=[self.reads[key] for key in sorted(self.reads)],
            hashed_writes=[self.writes[key] for key in sorted(self.writes)],
        )
        return rwset_pb2.CollectionHashedReadWriteSet(
            collection_name=name,
            hashed_rwset=hashed.SerializeToString(),
            pvt_rwset_hash=hashlib.sha256(self.private_rwset()).digest() if self.private_writes else b"",
        )


@dataclass
class _Namespace:
    reads: dict[str, kv_rwset_pb2.KVRead] = field(default_factory=dict)
    writes: dict[str, kv_rwset_pb2.KVWrite] = field(default_factory=dict)
    ranges: dict[tuple[str, str, bool], kv_rwset_pb2.RangeQueryInfo] = field(default_factory=dict)
    collections: dict[str, _Collection] = field(default_factory=dict)

    def collection(self, name: str) -> _Collection:
        return self.collections.setdefault(name, _Collection())

    def to_proto(self, name: str) -> rwset_pb2.NsReadWriteSet:
        public = kv_rwset_pb2.KVRWSet(
            reads=[self.reads[key] for key in sorted(self.reads)],
            range_queries_info=list(self.ranges.values()),
            writes=[self.writes[key] for key in sorted(self.writes)],
        )
        return rwset_pb2.NsReadWriteSet(
            namespace=name,
            rwset=public.SerializeToString(),
            collection_hashed_rwset=[self.collections[each].to_proto(each) for each in sorted(self.collections)],
        )


class RWSetBuilder:
    """Collects a simulation's reads and writes and builds the read/write set."""

    def __init__(self) -> None:
        self._namespaces: dict[str, _Namespace] = {}

    def _namespace(self, name: str) -> _Namespace:
        return self._namespaces.setdefault(name, _Namespace())

    def add_read(self, namespace: str, key: str, version: Height | None) -> None:
        self._namespace(namespace).reads[key] = new_read(key, version)

    def add_write(self, namespace: str, key: str, value: bytes) -> None:
        """Records the last value of a key; an empty one deletes it."""
        self._namespace(namespace).writes[key] = kv_rwset_pb2.KVWrite(key=key, is_delete=not value, value=value)

    def add_range_query(self, namespace: str, query: kv_rwset_pb2.RangeQueryInfo) -> None:
        """Records a ``RangeQueryInfo``; of equal ranges the first counts."""
        identity = (query.start_key, query.end_key, query.itr_exhausted)
        self._namespace(namespace).ranges.setdefault(identity, query)

    def add_hashed_read(self, namespace: str, collection: str, key: str, version: Height | None) -> None:
        """Records that a collection's key was read; the transaction carries the key's hash."""
        self._namespace(namespace).collection(collection).reads[key] = kv_rwset_pb2.KVReadHash(
            key_hash=hash_of(key), version=version.to_proto() if version is not None else None
        )

    def add_private_write(self, namespace: str, collection: str, key: str, value: bytes) -> None:
        """Records a write to a collection: hashes for the transaction, key and value for the members."""
        target = self._namespace(namespace).collection(collection)
        target.private_writes[key] = kv_rwset_pb2.KVWrite(key=key, is_delete=not value, value=value)
        target.writes[key] = kv_rwset_pb2.KVWriteHash(
            key_hash=hash_of(key), is_delete=not value, value_hash=hashlib.sha256(value).digest() if value else b""
        )

    def build(self) -> rwset_pb2.TxReadWriteSet:
        """Returns the ``TxReadWriteSet``."""
        namespaces = [self._namespaces[name].to_proto(name) for name in sorted(self._namespaces)]
        return rwset_pb2.TxReadWriteSet(data_model=rwset_pb2.TxReadWriteSet.KV, ns_rwset=namespaces)

    def serialize(self) -> bytes:
        """Returns the bytes of the ``TxReadWriteSet``; none if nothing was read or written."""
        data: bytes = self.build().SerializeToString()
        return data

    def build_private(self) -> rwset_pb2.TxPvtReadWriteSet | None:
        """Returns the ``TxPvtReadWriteSet``; None without writes to a collection."""
        namespaces = []
        for name in sorted(self._namespaces):
            collections = self._namespaces[name].collections
            written = [
                rwset_pb2.CollectionPvtReadWriteSet(collection_name=each, rwset=collections[each].private_rwset())
                for each in sorted(collections)
                if collections[each].private_writes
            ]
            if written:
                namespaces.append(rwset_pb2.NsPvtReadWriteSet(namespace=name, collection_pvt_rwset=written))
        return rwset_pb2.TxPvtReadWriteSet(ns_pvt_rwset=namespaces) if namespaces else None


@dataclass(frozen=True)
class CollectionRWSet:
    """A collection's hashed reads and writes (``HashedRWSet``) in a transaction."""

    name: str
    hashed: kv_rwset_pb2.HashedRWSet
    private_hash: bytes


@dataclass(frozen=True)
class NsRWSet:
    """One namespace's part of a transaction: its ``KVRWSet`` and its collections'."""

    namespace: str
    kv: kv_rwset_pb2.KVRWSet
    collections: tuple[CollectionRWSet, ...] = ()

    @property
    def writes_something(self) -> bool:
        return bool(self.kv.writes) or any(each.hashed.hashed_writes for each in self.collections)

    @property
    def writes_metadata(self) -> bool:
        return bool(self.kv.metadata_writes) or any(each.hashed.metadata_writes for each in self.collections)


@dataclass(frozen=True)
class TxRWSet:
    """A transaction's read/write set, decoded."""

    namespaces: tuple[NsRWSet, ...]

    @classmethod
    def parse(cls, data: bytes) -> TxRWSet:
        """Decodes the results of a chaincode action.

        Raises:
            RWSetError: The bytes are no read/write set at some level.
        """
        try:
            message = rwset_pb2.TxReadWriteSet.FromString(data)
            return cls(tuple(_parse_namespace(each) for each in message.ns_rwset))
        except DecodeError as error:
            raise RWSetError("the results are no read/write set") from error


def _parse_namespace(message: rwset_pb2.NsReadWriteSet) -> NsRWSet:
    return NsRWSet(
        message.namespace,
        kv_rwset_pb2.KVRWSet.FromString(message.rwset),
        tuple(
            CollectionRWSet(
                each.collection_name, kv_rwset_pb2.HashedRWSet.FromString(each.hashed_rwset), each.pvt_rwset_hash
            )
            for each in message.collection_hashed_rwset
        ),
    )


@dataclass(frozen=True)
class PrivateRWSet:
    """A collection's writes in the clear."""

    hash: bytes
    kv: kv_rwset_pb2.KVRWSet


def parse_private(data: bytes) -> Mapping[tuple[str, str], PrivateRWSet]:
    """Decodes a ``TxPvtReadWriteSet`` by namespace and collection."""
    message = rwset_pb2.TxPvtReadWriteSet.FromString(data)
    return {
        (part.namespace, each.collection_name): PrivateRWSet(
            hashlib.sha256(each.rwset).digest(), kv_rwset_pb2.KVRWSet.FromString(each.rwset)
        )
        for part in message.ns_pvt_rwset
        for each in part.collection_pvt_rwset
    }
