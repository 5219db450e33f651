"""All that a rule may see of the ledger.

`State` is the boundary: the chaincode's shell implements it over the peer, `memory.MemoryState` in memory. Rules never
hold one. A query gets a `Reader` (records by key, ranges and histories), a writing function a `Writer` (records by key,
and writes, but no ranges: a range in a writing transaction would conflict with everything written into it).

Nobody reads his own writes: Fabric answers every read from the state before the transaction.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from fl_chaincode.codec import Record

R = TypeVar("R", bound=Record)


class Modification(NamedTuple):
    """One committed write to a key.

    Attributes:
        transaction: its id.
        value: what was written; None for a deletion.
        timestamp_ms: when its client said that it was proposed; nothing is ever decided by it.
    """

    transaction: str
    value: bytes | None
    timestamp_ms: int


Entries = Generator[tuple[str, bytes], None, None]  # to be closed by who stops early
Modifications = Generator[Modification, None, None]


class State(Protocol):
    """The world state as one transaction sees it. Keys are text, values are never empty."""

    def get(self, key: str) -> bytes | None: ...

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values in the order of the keys; the peer may be asked for all of them at once."""
        ...

    def put(self, key: str, value: bytes) -> None: ...

    def delete(self, key: str) -> None: ...

    def scan(self, start: str, end: str) -> Entries:
        """Return keys and values with start <= key < end, in the byte order of the keys."""
        ...

    def history(self, key: str) -> Modifications:
        """Return every committed write to a key, the newest first."""
        ...


class Points:
    """Reads of records by their keys."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._read: dict[str, bytes | None] = {}

    def ahead(self, keys: Iterable[str]) -> None:
        """Ask the peer once for what will be read, instead of once for each record.

        A transaction depends on all that it has read: a writing function names only what it is going to read anyhow.
        """
        names = [name for name in dict.fromkeys(keys) if name not in self._read]
        if names:
            self._read |= zip(names, self._state.get_many(names), strict=True)

    def get(self, kind: type[R], *key: str | int) -> R | None:
        name = kind.key_of(*key)
        data = self._read[name] if name in self._read else self._state.get(name)
        return None if data is None else kind.decode(data)

    def get_many(self, kind: type[R], keys: Iterable[Sequence[str | int]]) -> list[R | None]:
        names = [kind.key_of(*key) for key in keys]
        self.ahead(names)
        found = [self._read[name] for name in names]
        return [None if data is None else kind.decode(data) for data in found]


class Reader(Points):
    """What a query sees."""

    def scan(self, kind: type[R], *beginning: str | int) -> Iterator[R]:
        """Yield the records whose keys begin with these parts, in the order of their keys."""
        for _, data in self._state.scan(*span(kind, *beginning)):
            yield kind.decode(data)

    def scan_from(self, start: str, end: str) -> Entries:
        """Return what stands under the keys from start up to but without end, as it was written."""
        return self._state.scan(start, end)

    def value(self, key: str) -> bytes | None:
        """Return what stands under a key, as it was written."""
        return self._state.get(key)

    def history(self, key: str) -> Modifications:
        """Return every committed write to a key, the newest first."""
        return self._state.history(key)


def span(kind: type[Record], *beginning: str | int) -> tuple[str, str]:
    """Return the range of the keys that begin with these parts."""
    prefix = kind.key_of(*beginning)
    return prefix + "/", prefix + "0"  # "0" is the character after "/"


class Writer(Points):
    """What a writing function sees."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.written = False

    def put(self, record: Record) -> None:
        self._state.put(record.key, record.encode())
        self.written = True

    def delete(self, record: Record) -> None:
        self._state.delete(record.key)
        self.written = True
