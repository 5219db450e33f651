"""The contract without Fabric: several organisations on one ledger in memory, for tests of what stands above it.

The rules are the real ones. Transactions are executed and committed one after the other, so that none conflicts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from fabric_fl.gateway.chaincode_events import ChaincodeEvent
from fabric_fl.ledger import FLLedger, LedgerRefused
from fl_chaincode import memory
from fl_chaincode.caller import ROLES, ROLES_ATTRIBUTE, Caller
from fl_chaincode.errors import FLError


class MemoryLedger:
    """One chain; `client` gives each organisation its own view of it. Any thread may call.

    Args:
        consortium: MSP ids, as each operator would configure them.
    """

    def __init__(self, consortium: Sequence[str]) -> None:
        self._chain = memory.MemoryLedger(consortium)
        self._changed = threading.Condition()

    @property
    def height(self) -> int:
        return self._chain.height

    def client(self, msp_id: str, *, roles: Sequence[str] = ROLES) -> FLLedger:
        """Return the ledger in the name of one organisation, with a client certificate that has these roles."""
        caller = Caller(msp_id, common_name="user", attributes={ROLES_ATTRIBUTE: ",".join(roles)})
        return FLLedger(MemoryContract(self, caller), self.events)

    def events(self, start_block: int | None = None) -> MemoryEvents:
        """Return the events of the blocks from this one on; from the next one if none is given."""
        return MemoryEvents(self, self._chain.height + 1 if start_block is None else start_block)

    def submit(self, caller: Caller, function: str, *args: str) -> bytes:
        try:
            with self._changed:
                payload = self._chain.submit(caller, function, *args)
                self._changed.notify_all()
        except FLError as error:
            raise LedgerRefused(error.code, error.message) from error
        return payload

    def evaluate(self, caller: Caller, function: str, *args: str) -> bytes:
        try:
            return self._chain.evaluate(caller, function, *args)
        except FLError as error:
            raise LedgerRefused(error.code, error.message) from error

    def next_event(self, index: int, closed: threading.Event) -> ChaincodeEvent | None:
        """Wait for the event with this index since the beginning; None when the reader was closed."""
        with self._changed:
            self._changed.wait_for(lambda: closed.is_set() or len(self._chain.events) > index)
            if closed.is_set():
                return None
            block, name, payload = self._chain.events[index]
        return ChaincodeEvent(block, f"{index:064x}", "fl", name, payload)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class MemoryContract:
    """The contract as one caller's client sees it."""

    def __init__(self, ledger: MemoryLedger, caller: Caller) -> None:
        self._ledger = ledger
        self._caller = caller

    def submit(self, name: str, /, *args: str) -> bytes:
        return self._ledger.submit(self._caller, name, *args)

    def evaluate(self, name: str, /, *args: str) -> bytes:
        return self._ledger.evaluate(self._caller, name, *args)


class MemoryEvents:
    """A stream of events that can be closed from another thread."""

    def __init__(self, ledger: MemoryLedger, start_block: int) -> None:
        self._ledger = ledger
        self._start_block = start_block
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[ChaincodeEvent]:
        index = 0
        while (event := self._ledger.next_event(index, self._closed)) is not None:
            index += 1
            if event.block_number >= self._start_block:
                yield event

    def close(self) -> None:
        self._closed.set()
        self._ledger.wake()
