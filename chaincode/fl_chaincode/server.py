"""The shell between Fabric and the rules: a peer's request becomes a call of `dispatch`."""

from collections.abc import Sequence
from functools import lru_cache

from fabric_ccaas import InvalidArgumentError, Response, Stub
from fl_chaincode.caller import Caller
from fl_chaincode.dispatching import Outcome, dispatch
from fl_chaincode.errors import FLError
from fl_chaincode.state import Entries, Modification, Modifications

# A peer ends a range after ledger.state.totalQueryLimit entries (100,000 unless configured) without a word: what is
# long is asked for once more, from behind its last key on.
SUSPICIOUS = 100
NEXT = "\x01"  # sorts before every character of a key

_caller = lru_cache(1024)(Caller.from_creator)  # the same bytes are the same caller, and parsing is dear

REFUSED = 400  # from 500 on a status means that the chaincode itself is broken


class StubState:
    """The world state (`fl_chaincode.state.State`) as a peer serves it to one transaction."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def get(self, key: str) -> bytes | None:
        return self._stub.get_state(key)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._stub.get_states(keys)

    def put(self, key: str, value: bytes) -> None:
        self._stub.put_state(key, value)

    def delete(self, key: str) -> None:
        self._stub.del_state(key)

    def scan(self, start: str, end: str) -> Entries:
        count = SUSPICIOUS
        while count >= SUSPICIOUS:
            count = 0
            with self._stub.get_state_by_range(start, end) as results:
                for entry in results:
                    yield entry.key, entry.value
                    start = entry.key + NEXT
                    count += 1

    def history(self, key: str) -> Modifications:
        with self._stub.get_history_for_key(key) as results:
            for one in results:
                yield Modification(one.tx_id, None if one.is_delete else one.value, one.timestamp // 1_000_000)


class FLChaincode:
    """The contract, as `fabric_ccaas.serve` takes it.

    Args:
        consortium: The organisations that this process's operator configured, for consortium:Init.
    """

    def __init__(self, consortium: Sequence[str]) -> None:
        self._consortium = tuple(consortium)

    def invoke(self, stub: Stub) -> Response:
        """Run one call; a refusal by the rules is status 400 and its message starts with its code."""
        try:
            outcome = self._dispatch(stub)
        except FLError as error:
            return Response.refusal(str(error), REFUSED)
        if outcome.event is not None:
            stub.set_event(*outcome.event)
        return Response.success(outcome.payload)

    def _dispatch(self, stub: Stub) -> Outcome:
        try:
            function, *arguments = stub.parameters or ("",)
        except InvalidArgumentError as error:
            raise FLError("FL-ARGUMENT-INVALID", str(error)) from error
        try:
            caller = _caller(stub.creator)
        except ValueError as error:
            raise FLError("FL-CALLER-INVALID", "the creator's certificate cannot be read") from error
        return dispatch(StubState(stub), caller, function, arguments, self._consortium)
