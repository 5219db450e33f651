"""What a range query saw, recorded so that a validator can tell whether it would see the same again.

Up to 50 results are recorded as they are; more become a Merkle summary, which keeps a transaction small however
many keys it looked at.

References:
    Fabric, ``core/ledger/kvledger/txmgmt/rwsetutil/query_results_helper.go``.
"""

from __future__ import annotations

import hashlib

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from fabric_fl.fabric.ledger.rwset import Height, new_read

MAX_DEGREE = 50
"""How many results, or hashes, stay as they are; one more and they are hashed together."""


class MerkleSummary:
    """A Merkle tree that grows from the left and keeps only what it still needs.

    Level 1 holds hashes of ``max_degree + 1`` results each; when a level has more than ``max_degree`` hashes, they
    become one hash of the next level.
    """

    def __init__(self, max_degree: int) -> None:
        if max_degree < 2:
            raise ValueError(f"maxDegree [{max_degree}] should not be less than 2 in the merkle tree")
        self._max_degree = max_degree
        self._levels: dict[int, list[bytes]] = {}
        self._max_level = 1

    @property
    def is_empty(self) -> bool:
        return self._max_level == 1 and not self._levels.get(1)

    @property
    def level(self) -> int:
        return self._max_level

    @property
    def hashes(self) -> list[bytes]:
        return self._levels.get(self._max_level, [])

    def update(self, leaf: bytes) -> None:
        """Adds a hash of level 1 and folds every level that is now over-full."""
        level, digest = 1, leaf
        while True:
            hashes = self._levels.setdefault(level, [])
            hashes.append(digest)
            self._max_level = max(self._max_level, level)
            if len(hashes) <= self._max_degree:
                return
            digest = _combine(self._levels.pop(level))
            level += 1

    def done(self) -> None:
        """Lifts what is left on lower levels up to the top one."""
        for level in range(1, self._max_level):
            hashes = self._levels.pop(level, [])
            if hashes:
                lifted = hashes[0] if len(hashes) == 1 else _combine(hashes)
                self._levels.setdefault(level + 1, []).append(lifted)
        if len(self.hashes) > self._max_degree:
            combined = _combine(self._levels.pop(self._max_level))
            self._max_level += 1
            self._levels[self._max_level] = [combined]

    def to_proto(self) -> kv_rwset_pb2.QueryReadsMerkleSummary:
        return kv_rwset_pb2.QueryReadsMerkleSummary(
            max_degree=self._max_degree, max_level=self._max_level, max_level_hashes=self.hashes
        )


class RangeQueryResults:
    """Collects the reads of one range query."""

    def __init__(self, max_degree: int = MAX_DEGREE) -> None:
        self._max_degree = max_degree
        self._pending: list[kv_rwset_pb2.KVRead] = []
        self.merkle = MerkleSummary(max_degree)

    def add(self, key: str, version: Height | None) -> None:
        self._pending.append(new_read(key, version))
        if len(self._pending) > self._max_degree:
            self._hash_pending()

    def done(self) -> tuple[list[kv_rwset_pb2.KVRead], kv_rwset_pb2.QueryReadsMerkleSummary | None]:
        """Returns the raw reads, or none and the ``QueryReadsMerkleSummary``."""
        if self.merkle.is_empty:
            return self._pending, None
        if self._pending:
            self._hash_pending()
        self.merkle.done()
        return [], self.merkle.to_proto()

    def _hash_pending(self) -> None:
        reads = kv_rwset_pb2.QueryReads(kv_reads=self._pending).SerializeToString()
        self._pending = []
        self.merkle.update(hashlib.sha256(reads).digest())


def _combine(hashes: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(hashes)).digest()
