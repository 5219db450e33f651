"""Transaction simulation: runs on a snapshot, records what was read, and keeps the writes to itself.

A simulation never reads its own writes. Error texts are Fabric's (``core/ledger/kvledger/txmgmt/txmgr``),
because chaincode sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_shim_pb2

from fabric_fl.fabric.ledger.history import modifications
from fabric_fl.fabric.ledger.rangequery import RangeQueryResults
from fabric_fl.fabric.ledger.rwset import RWSetBuilder, hash_of
from fabric_fl.fabric.ledger.statedb import Snapshot, VersionedValue

BATCH_SIZE = 100
"""How many results travel in one response."""

TOTAL_QUERY_LIMIT = 100_000
"""How many results one query returns at most (``ledger.state.totalQueryLimit`` of Fabric's sample configuration)."""


class SimulationError(Exception):
    """A request that a simulation must refuse."""


class TxSimulator:
    """Simulates one transaction, with all the chaincodes that it calls.

    Args:
        snapshot: The state to read; closed with the simulator.
        tx_id: For error texts.
    """

    def __init__(self, snapshot: Snapshot, tx_id: str) -> None:
        self._snapshot = snapshot
        self._tx_id = tx_id
        self._rwset = RWSetBuilder()
        self._ranges: list[_RangeQuery] = []
        self._wrote = False
        self._paginated = False
        self._computed = False
        self._closed = False

    @property
    def height(self) -> int:
        """How many blocks the snapshot holds."""
        return self._snapshot.height

    def get_state(self, namespace: str, key: str) -> bytes | None:
        """Returns the committed value, whatever this simulation wrote; None if there is none."""
        self._check_open()
        found = self._snapshot.state.get(namespace, key.encode())
        self._rwset.add_read(namespace, key, found.version if found else None)
        return found.value if found else None

    def get_states(self, namespace: str, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get_state(namespace, key) for key in keys]

    def put_state(self, namespace: str, key: str, value: bytes) -> None:
        """Writes a value; an empty one deletes.

        Raises:
            SimulationError: This simulation has made a paginated query.
        """
        self._check_may_write()
        self._rwset.add_write(namespace, key, value)

    def del_state(self, namespace: str, key: str) -> None:
        self.put_state(namespace, key, b"")

    def get_state_by_range(self, namespace: str, start: str, end: str) -> ResultsIterator:
        """Queries start ≤ key < end; an empty end stands for the namespace's."""
        self._check_open()
        return self._range_query(namespace, start, end, None)

    def get_state_by_range_with_pagination(
        self, namespace: str, start: str, end: str, page_size: int, bookmark: str
    ) -> ResultsIterator:
        """Queries one page; ``bookmark`` is where the page before ended.

        Raises:
            SimulationError: This simulation has written.
        """
        self._check_open()
        if self._wrote:
            raise SimulationError(
                f"txid [{self._tx_id}]: unsuppored transaction. "
                "Paginated queries are supported only in a read-only transaction"
            )
        self._paginated = True
        limit = page_size if 0 < page_size < TOTAL_QUERY_LIMIT else TOTAL_QUERY_LIMIT
        return self._range_query(namespace, bookmark or start, end, limit)

    def get_history_for_key(self, namespace: str, key: str) -> ResultsIterator:
        """Queries all that was ever written to a key, newest first; not protected against phantoms."""
        self._check_open()
        found = modifications(self._snapshot, namespace, key)
        return ResultsIterator(each.SerializeToString() for each in found)

    def get_private_data(self, namespace: str, collection: str, key: str) -> bytes | None:
        """Returns a collection's value.

        Raises:
            SimulationError: Only its hash is here.
        """
        self._check_open()
        hashed = self._read_hash(namespace, collection, key)
        found = self._snapshot.state.get_private(namespace, collection, key.encode())
        if (hashed and hashed.version) != (found and found.version):
            raise SimulationError(f"private data matching public hash version is not available: [{key}]")
        return found.value if found else None

    def get_private_data_hash(self, namespace: str, collection: str, key: str) -> bytes | None:
        """Returns the SHA-256 of a collection's value, which everybody may see."""
        self._check_open()
        found = self._read_hash(namespace, collection, key)
        return found.value if found else None

    def put_private_data(self, namespace: str, collection: str, key: str, value: bytes) -> None:
        self._check_may_write()
        self._rwset.add_private_write(namespace, collection, key, value)

    def results(self) -> bytes:
        """Returns the bytes of the read/write set.

        Raises:
            SimulationError: They were asked for before.
        """
        if self._computed:
            raise SimulationError("this function should only be called once on a transaction simulator instance")
        self._computed = True
        for query in self._ranges:
            self._rwset.add_range_query(query.namespace, query.info())
        return self._rwset.serialize()

    def private_results(self) -> bytes | None:
        """Returns the bytes of the ``TxPvtReadWriteSet``; None if no collection was written."""
        private = self._rwset.build_private()
        return private.SerializeToString() if private is not None else None

    def close(self) -> None:
        """Lets go of the snapshot; open iterators end."""
        self._closed = True
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _range_query(self, namespace: str, start: str, end: str, limit: int | None) -> ResultsIterator:
        query = _RangeQuery(self._snapshot, namespace, start, end)
        self._ranges.append(query)
        return ResultsIterator(query) if limit is None else ResultsIterator(query, limit, query.bookmark)

    def _read_hash(self, namespace: str, collection: str, key: str) -> VersionedValue | None:
        found = self._snapshot.state.get(namespace, hash_of(key), collection)
        self._rwset.add_hashed_read(namespace, collection, key, found.version if found else None)
        return found

    def _check_open(self) -> None:
        if self._closed:
            raise SimulationError("this instance should not be used after calling Done()")

    def _check_may_write(self) -> None:
        self._check_open()
        if self._paginated:
            raise SimulationError(
                f"txid [{self._tx_id}]: unsuppored transaction. "
                "Transaction has already performed a paginated query. Writes are not allowed"
            )
        self._wrote = True


class _RangeQuery:
    """Iterates over serialised KVs and records what it has come past."""

    def __init__(self, snapshot: Snapshot, namespace: str, start: str, end: str) -> None:
        self.namespace = namespace
        self._items = snapshot.range(namespace, start, end)
        self._end = end
        self._results = RangeQueryResults()
        self._info = kv_rwset_pb2.RangeQueryInfo(start_key=start)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            key, (value, version) = next(self._items)
        except StopIteration:
            self._info.itr_exhausted = True
            self._info.end_key = self._end
            raise
        self._results.add(key, version)
        # The caller may never ask for more, so up to here, and no further, must the range stay as it was.
        self._info.end_key = key
        kv: bytes = kv_query_result_pb2.KV(namespace=self.namespace, key=key, value=value).SerializeToString()
        return kv

    def bookmark(self) -> str:
        """Returns the key after the last one, without recording it; empty at the end."""
        key, _ = next(self._items, ("", None))
        return key

    def info(self) -> kv_rwset_pb2.RangeQueryInfo:
        """Returns what a validator needs to see the same again."""
        reads, summary = self._results.done()
        if reads:
            self._info.raw_reads.kv_reads.extend(reads)
        elif summary is not None:
            self._info.reads_merkle_hashes.CopyFrom(summary)
        return self._info


class ResultsIterator:
    """Cuts a query's results into the responses that travel to the chaincode.

    An ordinary query is read one ahead of what is returned: that is how it knows whether there is more. A
    paginated one is a single response, with the bookmark of the next page.

    Args:
        results: Serialised results.
        limit: How many of them are returned at most.
        bookmark: Where the next page begins; None if the query is not paginated.
    """

    def __init__(
        self, results: Iterator[bytes], limit: int = TOTAL_QUERY_LIMIT, bookmark: Callable[[], str] | None = None
    ) -> None:
        self._results = results
        self._limit = limit
        self._bookmark = bookmark
        self._pending: list[bytes] = []
        self._count = 0

    def respond(self, iterator_id: str) -> chaincode_shim_pb2.QueryResponse:
        """Returns the next response."""
        has_more = self._fill()
        batch, self._pending = self._pending, []
        if has_more:
            self._pending.append(batch.pop())
        response = chaincode_shim_pb2.QueryResponse(
            results=[chaincode_shim_pb2.QueryResultBytes(resultBytes=each) for each in batch],
            has_more=has_more,
            id=iterator_id,
        )
        if self._bookmark is not None:
            metadata = chaincode_shim_pb2.QueryResponseMetadata(
                fetched_records_count=self._count, bookmark=self._bookmark()
            )
            response.metadata = metadata.SerializeToString()
        return response

    def close(self) -> None:
        """Ends the query; what was read stays recorded."""
        self._results = iter(())
        self._pending = []

    def _fill(self) -> bool:
        while self._count < self._limit:
            result = next(self._results, None)
            if result is None:
                return False
            self._count += 1
            self._pending.append(result)
            if self._bookmark is None and len(self._pending) > BATCH_SIZE:
                return True
        return False
