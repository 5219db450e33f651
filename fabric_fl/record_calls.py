"""The contract's records as they stand: by key, page by page, and their history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from fabric_fl.calls import ContractCalls, R, decoded, parsed

PAGE = 100  # records that one query asks for


@dataclass(frozen=True)
class RecordPage(Generic[R]):
    """A page of records.

    Attributes:
        records: In the order of their keys.
        bookmark: Where the next page begins; None after the last.
    """

    records: tuple[R, ...]
    bookmark: str | None


@dataclass(frozen=True)
class RecordVersion:
    """What a transaction wrote to a key.

    Attributes:
        transaction: Its id.
        timestamp_ms: When its client said that it was proposed: milliseconds since 1970, nobody's proof of anything.
        record: The record's JSON; None where it was deleted.
    """

    transaction: str
    timestamp_ms: int
    record: Mapping[str, Any] | None


class RecordCalls(ContractCalls):
    """records:* and fl:Describe."""

    def record(self, key: str) -> dict[str, Any]:
        """Return the JSON of the record under a key, such as round/t1/00000001."""
        return dict(decoded(self._evaluate("records:Read", key)))

    def page(
        self,
        kind: type[R],
        where: Mapping[str, str | int] | None = None,
        *,
        size: int = PAGE,
        bookmark: str | None = None,
    ) -> RecordPage[R]:
        """Return a page of the records of a kind whose fields have these values.

        A page can hold fewer than `size` records and still not be the last: only its bookmark says that.
        """
        query = {"kind": kind.PREFIX, "size": size} | ({"where": dict(where)} if where else {})
        query |= {"bookmark": bookmark} if bookmark is not None else {}

        def read(value: Any) -> RecordPage[R]:
            records = tuple(kind.from_json(one["record"]) for one in value["records"])
            return RecordPage(records, value["bookmark"])

        return parsed(read, self._evaluate("records:Page", query))

    def records(
        self, kind: type[R], where: Mapping[str, str | int] | None = None, *, page_size: int = PAGE
    ) -> Iterator[R]:
        """Yield all records of a kind whose fields have these values, page after page."""
        bookmark: str | None = None
        while True:
            page = self.page(kind, where, size=page_size, bookmark=bookmark)
            yield from page.records
            bookmark = page.bookmark
            if bookmark is None:
                return

    def history(self, key: str, *, page_size: int = PAGE) -> Iterator[RecordVersion]:
        """Yield every version of the record under a key, the newest first, page after page."""
        bookmark: str | None = None
        while True:
            query = {"key": key, "size": page_size} | ({"bookmark": bookmark} if bookmark is not None else {})
            answer = decoded(self._evaluate("records:History", query))
            for one in answer["versions"]:
                yield RecordVersion(one["transaction"], one["timestamp_ms"], one["record"])
            bookmark = answer["bookmark"]
            if bookmark is None:
                return

    def describe(self) -> dict[str, Any]:
        """Return the schema of all contracts, in the form of Fabric's contract metadata."""
        return dict(decoded(self._evaluate("fl:Describe")))
