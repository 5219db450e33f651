"""The ledger as an export's blocks give it: world state derived anew, and the contract's own queries over it."""

from __future__ import annotations

from collections.abc import Sequence

from fabric_fl.fabric.ledger.history import modifications
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.statedb import Snapshot
from fabric_fl.ledger import FLLedger, LedgerRefused
from fl_chaincode import dispatch
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.state import Entries, Modification, Modifications

_NOBODY = Caller("")


class SnapshotState:
    """A chaincode's part of a snapshot, as the contract's rules see it (`fl_chaincode.state.State`).

    Attributes:
        reads: The keys that a transaction has read by name.
        writes: What it has written; None for a deletion.
    """

    def __init__(self, snapshot: Snapshot, chaincode: str) -> None:
        self._snapshot = snapshot
        self.chaincode = chaincode
        self.reads: set[str] = set()
        self.writes: dict[str, bytes | None] = {}

    def get(self, key: str) -> bytes | None:
        self.reads.add(key)
        found = self._snapshot.get(self.chaincode, key)
        return None if found is None else found.value

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        self.writes[key] = value

    def delete(self, key: str) -> None:
        self.writes[key] = None

    def scan(self, start: str, end: str) -> Entries:
        for key, found in self._snapshot.range(self.chaincode, start, end):
            yield key, found.value

    def history(self, key: str) -> Modifications:
        for one in modifications(self._snapshot, self.chaincode, key):
            yield Modification(one.tx_id, None if one.is_delete else one.value, one.timestamp.ToMilliseconds())


class DerivedContract:
    """Answers queries from derived state; nothing can be submitted to it."""

    def __init__(self, ledger: KVLedger, chaincode: str) -> None:
        self._ledger = ledger
        self._chaincode = chaincode

    def evaluate(self, name: str, /, *args: str) -> bytes:
        with self._ledger.snapshot() as snapshot:
            try:
                return dispatch(SnapshotState(snapshot, self._chaincode), _NOBODY, name, args).payload
            except FLError as error:
                raise LedgerRefused(error.code, error.message) from error

    def submit(self, name: str, /, *args: str) -> bytes:
        raise LedgerRefused("FL-AUDIT-READ-ONLY", f"{name}{args} cannot be submitted to an export")


def derived_ledger(ledger: KVLedger, chaincode: str) -> FLLedger:
    """The typed contract over derived state."""
    return FLLedger(DerivedContract(ledger, chaincode))
