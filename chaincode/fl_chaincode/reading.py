"""Reading records as they stand on the ledger: by key, in pages, and their history.

A page is a stretch of keys. Its bookmark is the key where the next page starts, so that what is written or deleted
between two pages neither repeats nor hides another record. Fields that begin the key narrow the stretch; all others are
compared record by record, and a page ends after so many comparisons even if it is not full yet.
"""

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from fl_chaincode import args, canonical
from fl_chaincode.answers import KeyedRecord, RecordHistory, RecordPage, RecordVersion
from fl_chaincode.args import Fields
from fl_chaincode.codec import Record
from fl_chaincode.errors import FLError
from fl_chaincode.kinds import KINDS
from fl_chaincode.state import Reader, span

MAX_PAGE = 1000  # records
MAX_COMPARED = 10_000  # records that one page may look at
FIRST = "\x01"  # sorts before every character of a key
_FILTERED = (str, int, str | None, int | None)  # kinds of fields that can be compared


@dataclass(frozen=True)
class PageRequest:
    """The argument of records:Page: ``{"kind","size","where":{field:value}?,"bookmark"?}``."""

    kind: str
    where: Mapping[str, str | int]
    size: int
    bookmark: str | None


@dataclass(frozen=True)
class HistoryRequest:
    """The argument of records:History: ``{"key","size","bookmark"?}``."""

    key: str
    size: int
    bookmark: str | None


def page_request(what: str, text: str) -> PageRequest:
    with Fields.of(what, text) as fields:
        return PageRequest(
            kind=fields.take("kind", args.one_of(*KINDS)),
            where=fields.mapping("where", args.name, args.word) if "where" in fields else {},
            size=fields.integer("size", 1, MAX_PAGE),
            bookmark=fields.take("bookmark", args.ledger_key) if "bookmark" in fields else None,
        )


def history_request(what: str, text: str) -> HistoryRequest:
    with Fields.of(what, text) as fields:
        return HistoryRequest(
            key=fields.take("key", args.ledger_key),
            size=fields.integer("size", 1, MAX_PAGE),
            bookmark=fields.take("bookmark", args.digest) if "bookmark" in fields else None,
        )


def read(state: Reader, key: str) -> Any:
    """Return the record under a key."""
    data = state.value(key)
    if data is None:
        raise FLError("FL-RECORD-UNKNOWN", f"there is no record {key}")
    return canonical.decode(data)


def page(state: Reader, request: PageRequest) -> RecordPage:
    """Return up to `size` records of a kind, with their keys, and the bookmark of the next page, null after the last.

    `where` names fields and the values that they must have.
    """
    kind = KINDS[request.kind]
    _check_fields(kind, request.where)
    if not kind.KEY:
        only = state.get(kind)
        found: list[KeyedRecord] = (
            [{"key": kind.key_of(), "record": only}] if only and _matches(only, request.where) else []
        )
        return {"kind": request.kind, "records": found, "bookmark": None}
    parts = _beginning(kind, request.where)
    start, end = span(kind, *parts)
    if len(parts) == len(kind.KEY):
        start, end = kind.key_of(*parts), kind.key_of(*parts) + FIRST  # one key
    if request.bookmark is not None:
        if not start <= request.bookmark < end:
            raise FLError("FL-RECORD-BOOKMARK", "the bookmark is not of this query")
        start = request.bookmark
    found, bookmark = _collect(state, kind, request, start, end)
    return {"kind": request.kind, "records": found, "bookmark": bookmark}


def history(state: Reader, request: HistoryRequest) -> RecordHistory:
    """Return up to `size` versions of a record, the newest first, and the bookmark of the next page, null at the end.

    The bookmark is the transaction before it, so that newer versions do not move the pages. A version's time is what
    its client said.
    """
    found: list[RecordVersion] = []
    bookmark, waits = None, request.bookmark is not None
    with closing(state.history(request.key)) as versions:
        for one in versions:
            if waits:
                waits = one.transaction != request.bookmark
            elif len(found) == request.size:
                bookmark = found[-1]["transaction"]
                break
            else:
                record = None if one.value is None else canonical.decode(one.value)
                found.append({"transaction": one.transaction, "timestamp_ms": one.timestamp_ms, "record": record})
    if waits:
        raise FLError("FL-RECORD-BOOKMARK", f"{request.key} has no version of that transaction")
    if not found and request.bookmark is None:
        raise FLError("FL-RECORD-UNKNOWN", f"there never was a record {request.key}")
    return {"key": request.key, "versions": found, "bookmark": bookmark}


def _collect(
    state: Reader, kind: type[Record], request: PageRequest, start: str, end: str
) -> tuple[list[KeyedRecord], str | None]:
    found: list[KeyedRecord] = []
    compared = 0
    with closing(state.scan_from(start, end)) as entries:
        for key, data in entries:
            if len(found) == request.size or compared == MAX_COMPARED:
                return found, key
            compared += 1
            record = kind.decode(data)
            if _matches(record, request.where):
                found.append({"key": key, "record": record})
    return found, None


def _matches(record: Record, where: Mapping[str, str | int]) -> bool:
    return all(getattr(record, field) == value for field, value in where.items())


def _check_fields(kind: type[Record], where: Mapping[str, str | int]) -> None:
    types = {field.name: field.type for field in dataclasses.fields(kind) if field.type in _FILTERED}  # type: ignore[arg-type]
    for field, value in where.items():
        if field not in types or not isinstance(value, types[field]):  # type: ignore[arg-type]
            raise FLError("FL-RECORD-FIELD", f"a {kind.PREFIX} record has no such field of this type: {field}")


def _beginning(kind: type[Record], where: Mapping[str, str | int]) -> list[str | int]:
    """Return the first parts of the key that are given; numbers that no key can hold are left to the comparison."""
    parts: list[str | int] = []
    for field in kind.KEY:
        value = where.get(field)
        if value is None or (isinstance(value, int) and not 0 <= value <= args.MAX_NUMBER):
            break
        parts.append(value)
    return parts
