"""What queries return: results that come in batches, and pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_shim_pb2

from fabric_ccaas.message import ChaincodeMessage
from fabric_ccaas.proposal import nanoseconds
from fabric_ccaas.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KV:
    """A key and the value that is committed under it."""

    key: str
    value: bytes

    @classmethod
    def parse(cls, serialized: bytes) -> "KV":
        message = kv_query_result_pb2.KV.FromString(serialized)
        return cls(message.key, message.value)


@dataclass(frozen=True, slots=True)
class KeyModification:
    """One committed write to a key.

    Attributes:
        tx_id: The transaction that wrote.
        value: What it wrote; empty for a deletion.
        timestamp: When its client said it was proposed, in nanoseconds since 1970.
        is_delete: Whether it deleted the key.
    """

    tx_id: str
    value: bytes
    timestamp: int
    is_delete: bool

    @classmethod
    def parse(cls, serialized: bytes) -> "KeyModification":
        message = kv_query_result_pb2.KeyModification.FromString(serialized)
        return cls(message.tx_id, message.value, nanoseconds(message.timestamp), message.is_delete)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a query.

    Attributes:
        results: Its entries, in key order.
        bookmark: Where the next page starts; "" after the last.
    """

    results: list[KV]
    bookmark: str


class Results(Iterator[T], Generic[T]):
    """The results of a query, fetched batch by batch as they are read. Close it, or leave its `with`, to stop early.

    Who has read more than one batch will read on: from then on the peer is asked for the next one ahead.
    """

    _batch: Iterator[Any]  # protos.QueryResultBytes
    _has_more: bool
    _id: str

    def __init__(self, transaction: Transaction, payload: bytes, parse: Callable[[bytes], T]) -> None:
        self._transaction = transaction
        self._parse = parse
        self._ahead: Callable[[], bytes] | None = None
        self._load(payload)

    def __next__(self) -> T:
        while (result := next(self._batch, None)) is None:
            if not self._has_more:
                raise StopIteration
            answer, self._ahead = self._ahead or self._ask(), None
            self._has_more = False  # if this request fails, the peer has dropped the query
            self._load(answer())
            if self._has_more:
                self._ahead = self._ask()
        return self._parse(result.resultBytes)

    def __enter__(self) -> "Results[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Tell the peer that the rest is not wanted. A transaction's end does the same."""
        if self._ahead is not None and not self._transaction.is_over:
            answer, self._ahead = self._ahead, None
            self._load(answer())
        self._batch = iter(())
        if self._has_more and not self._transaction.is_over:
            self._has_more = False
            request = chaincode_shim_pb2.QueryStateClose(id=self._id).SerializeToString()
            self._transaction.request(ChaincodeMessage.QUERY_STATE_CLOSE, request)

    def _ask(self) -> Callable[[], bytes]:
        request = chaincode_shim_pb2.QueryStateNext(id=self._id).SerializeToString()
        return self._transaction.begin(ChaincodeMessage.QUERY_STATE_NEXT, request)

    def _load(self, payload: bytes) -> None:
        response = chaincode_shim_pb2.QueryResponse.FromString(payload)
        self._batch = iter(response.results)
        self._has_more = response.has_more
        self._id = response.id


def parse_page(payload: bytes) -> Page:
    response = chaincode_shim_pb2.QueryResponse.FromString(payload)
    metadata = chaincode_shim_pb2.QueryResponseMetadata.FromString(response.metadata)
    return Page([KV.parse(result.resultBytes) for result in response.results], metadata.bookmark)
