"""The ledger in memory, for tests of the rules and of programs above them: Fabric's state without Fabric.

It keeps what rules can stumble over: reads see the state before the transaction and never the transaction's own writes,
and a transaction whose reads are stale when its block is validated has no effect.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fl_chaincode.caller import Caller
from fl_chaincode.canonical import H
from fl_chaincode.dispatching import Outcome, dispatch
from fl_chaincode.state import Entries, Modification, Modifications

Version = tuple[int, int]  # block, transaction
History = Mapping[str, Sequence[tuple[Version, bytes | None]]]  # of each key, the oldest write first


class MemoryState:
    """The state as one transaction sees it, which records what the transaction does.

    Attributes:
        reads: the version of every key that was read; None where there was no such key.
        ranges: the ranges that were scanned.
        writes: the values that were written; None for a deletion.
        reread: keys that were read after the transaction wrote them, which answers what stood there before: a rule that
            does so is most likely wrong.
    """

    def __init__(
        self,
        committed: Mapping[str, tuple[bytes, Version]] | None = None,
        history: History | None = None,
        height: int = 0,
    ) -> None:
        self._committed = committed or {}
        self._history = history or {}
        self._height = height
        self.reads: dict[str, Version | None] = {}
        self.ranges: list[tuple[str, str]] = []
        self.writes: dict[str, bytes | None] = {}
        self.reread: list[str] = []

    def get(self, key: str) -> bytes | None:
        value, version = self._committed.get(_checked(key), (None, None))
        self.reads[key] = version
        if key in self.writes:
            self.reread.append(key)
        return value

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        if not value:
            raise ValueError("Fabric takes an empty value for a deletion")
        self.writes[_checked(key)] = value

    def delete(self, key: str) -> None:
        self.writes[_checked(key)] = None

    def scan(self, start: str, end: str) -> Entries:
        self.ranges.append((start, end))
        for key in sorted(
            key for key in self._committed if start <= key < end
        ):  # keys are ASCII: text order is byte order
            yield key, self._committed[key][0]

    def history(self, key: str) -> Modifications:
        for version, value in reversed(self._history.get(_checked(key), ())):
            if version[0] <= self._height:
                yield Modification(H("a transaction in memory", *version), value, 0)


@dataclass(frozen=True)
class Transaction:
    """An endorsed transaction that has not been ordered yet."""

    outcome: Outcome
    state: MemoryState


class MemoryLedger:
    """A chain of blocks over one world state. Calls may come from several threads."""

    def __init__(self, consortium: Sequence[str] = ()) -> None:
        self.consortium = tuple(consortium)
        self.height = 0
        self.events: list[tuple[int, str, bytes]] = []  # block, name, payload
        self._committed: dict[str, tuple[bytes, Version]] = {}
        self._history: dict[str, list[tuple[Version, bytes | None]]] = {}
        self._lock = threading.Lock()

    def state(self) -> MemoryState:
        return MemoryState(self._committed, self._history, self.height)

    def endorse(self, caller: Caller, function: str, *arguments: str) -> Transaction:
        """Execute a call without ordering it.

        Raises:
            FLError: where the rules refuse it.
        """
        state = self.state()
        return Transaction(dispatch(state, caller, function, arguments, self.consortium), state)

    def commit(self, *block: Transaction) -> list[bool]:
        """Order transactions in one block; return which of them were valid."""
        self.height += 1
        committed = dict(self._committed)  # a new dictionary, so that snapshots stay what they are
        valid = []
        for index, transaction in enumerate(block):
            state = transaction.state
            fresh = all(committed.get(key, (b"", None))[1] == version for key, version in state.reads.items())
            valid.append(fresh)
            if not fresh:
                continue
            for key, value in state.writes.items():
                if value is None:
                    committed.pop(key, None)
                else:
                    committed[key] = (value, (self.height, index))
                self._history.setdefault(key, []).append(((self.height, index), value))
            if transaction.outcome.event:
                self.events.append((self.height, *transaction.outcome.event))
        self._committed = committed
        return valid

    def submit(self, caller: Caller, function: str, *arguments: str) -> bytes:
        """Execute a call and commit it in a block of its own.

        Raises:
            FLError: where the rules refuse it.
        """
        with self._lock:
            transaction = self.endorse(caller, function, *arguments)
            self.commit(transaction)
        return transaction.outcome.payload

    def evaluate(self, caller: Caller, function: str, *arguments: str) -> bytes:
        return self.endorse(caller, function, *arguments).outcome.payload

    def contract(self, caller: Caller) -> "MemoryContract":
        return MemoryContract(self, caller)


@dataclass(frozen=True)
class MemoryContract:
    """The contract as one caller's client sees it."""

    ledger: MemoryLedger
    caller: Caller

    def submit(self, function: str, *arguments: str) -> bytes:
        return self.ledger.submit(self.caller, function, *arguments)

    def evaluate(self, function: str, *arguments: str) -> bytes:
        return self.ledger.evaluate(self.caller, function, *arguments)


def _checked(key: str) -> str:
    if not key or "\0" in key or not key.isascii():
        raise ValueError("not a key that the contract writes")
    return key
