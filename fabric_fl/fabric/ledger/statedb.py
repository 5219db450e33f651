"""World state: the last value and version of every key, and when each key was written before."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from fabric_fl.fabric.ledger.database import Database
from fabric_fl.fabric.ledger.rwset import Height

PUBLIC = ""
"""The collection of what everybody sees; the others hold hashes of keys and values."""

_GET = "SELECT value, block, tx FROM state WHERE namespace=? AND collection=? AND key=?"
_VERSION = "SELECT block, tx FROM state WHERE namespace=? AND collection=? AND key=?"
_RANGE = "SELECT key, value, block, tx FROM state WHERE namespace=? AND collection='' AND key>=?"
_PRIVATE = "SELECT value, block, tx FROM private_state WHERE namespace=? AND collection=? AND key=?"


class VersionedValue(NamedTuple):
    value: bytes
    version: Height


class Update(NamedTuple):
    """What a block does to a key; no value means that it is deleted."""

    value: bytes | None
    version: Height


class UpdateBatch:
    """What the valid transactions of one block write, the last write of a key only."""

    def __init__(self) -> None:
        self._updates: dict[tuple[str, str], dict[bytes, Update]] = {}

    def put(self, namespace: str, collection: str, key: bytes, update: Update) -> None:
        self._updates.setdefault((namespace, collection), {})[key] = update

    def get(self, namespace: str, collection: str, key: bytes) -> Update | None:
        return self._updates.get((namespace, collection), {}).get(key)

    def range(self, namespace: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, Update]]:
        """Yields public updates with start ≤ key < end (no end: to the last) in byte order."""
        updates = self._updates.get((namespace, PUBLIC), {})
        for key in sorted(updates):
            if key >= start and (not end or key < end):
                yield key, updates[key]

    def sorted(self) -> Iterator[tuple[str, str, bytes, Update]]:
        """Yields all updates by namespace, collection (public first) and key."""
        for namespace, collection in sorted(self._updates):
            updates = self._updates[namespace, collection]
            for key in sorted(updates):
                yield namespace, collection, key, updates[key]


class StateDB:
    """World state over one connection: the writer's, or a snapshot's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._open: set[sqlite3.Cursor] = set()

    def get(self, namespace: str, key: bytes, collection: str = PUBLIC) -> VersionedValue | None:
        row = self._connection.execute(_GET, (namespace, collection, key)).fetchone()
        return VersionedValue(row[0], Height(row[1], row[2])) if row else None

    def version(self, namespace: str, key: bytes, collection: str = PUBLIC) -> Height | None:
        row = self._connection.execute(_VERSION, (namespace, collection, key)).fetchone()
        return Height(row[0], row[1]) if row else None

    def range(self, namespace: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, VersionedValue]]:
        """Yields the public keys with start ≤ key < end (no end: to the last) in byte order, as they are read."""
        condition, arguments = (" AND key<?", (namespace, start, end)) if end else ("", (namespace, start))
        cursor = self._connection.execute(f"{_RANGE}{condition} ORDER BY key", arguments)
        self._open.add(cursor)
        try:
            for key, value, block, tx in cursor:
                yield key, VersionedValue(value, Height(block, tx))
        finally:
            self._open.discard(cursor)
            cursor.close()

    def close_queries(self) -> None:
        """Ends unfinished queries, which would keep the connection in its old snapshot."""
        while self._open:
            self._open.pop().close()

    def get_private(self, namespace: str, collection: str, key: bytes) -> VersionedValue | None:
        row = self._connection.execute(_PRIVATE, (namespace, collection, key)).fetchone()
        return VersionedValue(row[0], Height(row[1], row[2])) if row else None

    def apply(self, batch: UpdateBatch) -> None:
        """Writes a block's updates; the caller holds the transaction."""
        puts, deletes = [], []
        for namespace, collection, key, update in batch.sorted():
            if update.value is None:
                deletes.append((namespace, collection, key))
            else:
                puts.append((namespace, collection, key, update.value, *update.version))
        self._connection.executemany("DELETE FROM state WHERE namespace=? AND collection=? AND key=?", deletes)
        self._connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?, ?)", puts)

    def apply_private(self, updates: Iterable[tuple[str, str, bytes, Update]]) -> None:
        for namespace, collection, key, update in updates:
            if update.value is None:
                self._connection.execute(
                    "DELETE FROM private_state WHERE namespace=? AND collection=? AND key=?",
                    (namespace, collection, key),
                )
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO private_state VALUES (?, ?, ?, ?, ?, ?)",
                    (namespace, collection, key, update.value, *update.version),
                )

    def hash(self) -> bytes:
        """Returns the SHA-256 over every key, value and version in order: equal states, equal hashes."""
        digest = hashlib.sha256()
        rows = self._connection.execute(
            "SELECT namespace, collection, key, value, block, tx FROM state ORDER BY namespace, collection, key"
        )
        for namespace, collection, key, value, block, tx in rows:
            for each in (namespace.encode(), collection.encode(), key, value, Height(block, tx).to_bytes()):
                digest.update(len(each).to_bytes(8, "big"))
                digest.update(each)
        return digest.digest()


class HistoryDB:
    """Which transactions wrote a key; the values are in the blocks."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, writes: Iterable[tuple[str, bytes, Height]]) -> None:
        rows = [(namespace, key, *height) for namespace, key, height in writes]
        self._connection.executemany("INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?)", rows)

    def newest_first(self, namespace: str, key: bytes) -> list[Height]:
        rows = self._connection.execute(
            "SELECT block, tx FROM history WHERE namespace=? AND key=? ORDER BY block DESC, tx DESC", (namespace, key)
        )
        return [Height(block, tx) for block, tx in rows]


class Snapshot:
    """The ledger as of one block, whatever is committed meanwhile. Close it, or the write-ahead log grows.

    Attributes:
        height: How many blocks it holds.
        state: World state at that height.
        history: The history index at that height.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = database.acquire_reader()
        # A deferred transaction begins with its first read: this one.
        self._connection.execute("BEGIN")
        (last,) = self._connection.execute("SELECT max(number) FROM blocks").fetchone()
        self.height: int = 0 if last is None else last + 1
        self.state = StateDB(self._connection)
        self.history = HistoryDB(self._connection)

    def get(self, namespace: str, key: str) -> VersionedValue | None:
        return self.state.get(namespace, key.encode())

    def range(self, namespace: str, start: str, end: str) -> Iterator[tuple[str, VersionedValue]]:
        """Yields the keys with start ≤ key < end (empty: from the first, to the last) in byte order."""
        for key, value in self.state.range(namespace, start.encode(), end.encode()):
            yield key.decode(), value

    def block_data(self, number: int) -> bytes | None:
        assert self._connection is not None
        row = self._connection.execute("SELECT data FROM blocks WHERE number=?", (number,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self.state.close_queries()
            self._database.release_reader(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
