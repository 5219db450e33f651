"""The SQLite file under a ledger: one writer, any number of concurrent snapshots.

WAL gives each reader the state as of when it began while the writer goes on. An in-memory ledger is the same
file in a directory of shared memory, because SQLite's own memory databases lock their readers out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, header_hash BLOB NOT NULL UNIQUE, data BLOB NOT NULL);
CREATE TABLE transactions (tx_id TEXT, block INTEGER, tx INTEGER, code INTEGER NOT NULL,
    PRIMARY KEY (tx_id, block, tx)) WITHOUT ROWID;
CREATE TABLE state (namespace TEXT, collection TEXT, key BLOB, value BLOB NOT NULL,
    block INTEGER NOT NULL, tx INTEGER NOT NULL, PRIMARY KEY (namespace, collection, key)) WITHOUT ROWID;
CREATE TABLE history (namespace TEXT, key BLOB, block INTEGER, tx INTEGER,
    PRIMARY KEY (namespace, key, block, tx)) WITHOUT ROWID;
CREATE TABLE private_state (namespace TEXT, collection TEXT, key BLOB, value BLOB NOT NULL,
    block INTEGER NOT NULL, tx INTEGER NOT NULL, PRIMARY KEY (namespace, collection, key)) WITHOUT ROWID;
CREATE TABLE transient (tx_id TEXT PRIMARY KEY, height INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
"""
_PREFIX = "fabric-ledger-"
_IDLE_READERS = 16
_LOCKED_BY_THEN = 60.0
"""Seconds after which a directory whose lock is free is abandoned, not just being made."""


class LedgerInUse(RuntimeError):  # noqa: N818 -- says what is the matter
    """Another process has this ledger open."""


class LedgerCorrupt(RuntimeError):  # noqa: N818 -- says what is the matter
    """What is stored is not what was committed."""


class Database:
    """The connections to one ledger's file.

    Args:
        directory: Where it lies, created if absent; None keeps it in memory, gone when it is closed.

    Raises:
        LedgerInUse: Another process has it open.
        LedgerCorrupt: It is no ledger, or one of another schema.
    """

    def __init__(self, directory: Path | None) -> None:
        self.in_memory = directory is None
        self._directory = _memory_directory() if directory is None else directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(self._directory)
        self._path = self._directory / "ledger.sqlite3"
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self.write_lock = threading.Lock()
        try:
            self.writer = self._connect()
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._lock_file.close()
            raise LedgerCorrupt(f"{self._path} is no ledger of this program: {error}") from error
        except BaseException:
            self._lock_file.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Writes all or nothing; durable when it returns."""
        with self.write_lock:
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
                self.writer.execute("COMMIT")
            except BaseException:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection for a query or two outside any snapshot."""
        connection = self.acquire_reader()
        try:
            yield connection
        finally:
            self.release_reader(connection)

    def acquire_reader(self) -> sqlite3.Connection:
        with self._readers_lock:
            if self._closed:
                raise sqlite3.ProgrammingError("the ledger is closed")
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only=ON")
        return connection

    def release_reader(self, connection: sqlite3.Connection) -> None:
        """Takes a connection back, and with it any snapshot that it still held."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with self._readers_lock:
            if not self._closed and len(self._readers) < _IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()

    def get_meta(self, name: str) -> str | int | bytes | None:
        row = self.writer.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, name: str, value: str | int | bytes) -> None:
        with self.transaction() as writer:
            writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def close(self) -> None:
        with self._readers_lock:
            if self._closed:
                return
            self._closed = True
            readers, self._readers = self._readers, []
        for connection in readers:
            connection.close()
        with self.write_lock:
            self.writer.close()
        if self.in_memory:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._lock_file.close()

    def _connect(self) -> sqlite3.Connection:
        # Connections wander between threads, one thread at a time: the pool and the write lock see to that.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute(f"PRAGMA synchronous={'OFF' if self.in_memory else 'FULL'}")
        return connection

    def _prepare(self) -> None:
        self.writer.execute("PRAGMA journal_mode=WAL")
        version = self.writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self.writer.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            raise LedgerCorrupt(f"{self._path} has schema {version}; this program knows {_SCHEMA_VERSION}")


def _lock(directory: Path) -> IO[bytes]:
    # The kernel lets go of the lock however the process ends.
    lock_file = (directory / "lock").open("wb")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.close()
        raise LedgerInUse(f"another process has the ledger in {directory} open") from error
    return lock_file


def _memory_directory() -> Path:
    shared_memory = Path("/dev/shm")  # noqa: S108 -- memory is the point; mkdtemp makes a private directory in it
    parent = shared_memory if os.access(shared_memory, os.W_OK) else Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def _remove_abandoned(parent: Path) -> None:
    """Frees the memory of ledgers whose process was killed: those whose lock nobody holds."""
    for directory in parent.glob(f"{_PREFIX}*"):
        try:
            if time.time() - directory.stat().st_mtime > _LOCKED_BY_THEN:
                _lock(directory).close()
                shutil.rmtree(directory, ignore_errors=True)
        except (LedgerInUse, OSError):
            continue  # in use, or another user's
