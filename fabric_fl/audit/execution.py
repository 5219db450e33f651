"""What a valid transaction wrote into the contract's part of the ledger, held to what the contract does.

Endorsers who act together can sign any read/write set. The writes must be those of the call, executed once more on the
state before the block. And the transaction must depend on all that the call reads: a peer compares the recorded reads,
and no others, with what earlier transactions of the block have written. Who leaves them out spends an entry twice in
one block, each time rightly from the state before it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fabric_fl.audit.derived import SnapshotState
from fabric_fl.fabric.ledger.rwset import NsRWSet, TxRWSet, is_delete
from fl_chaincode import dispatch
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.functions import FUNCTIONS, Query
from fl_chaincode.records import Consortium

_log = logging.getLogger(__name__)


def unexplained(
    state: SnapshotState, invoked: str, creator: bytes, args: Sequence[bytes], rwset: TxRWSet
) -> str | None:
    """Returns what is wrong with a valid transaction's writes, if the contract concerns it.

    Args:
        state: The contract's state before the block.
        invoked: The chaincode that was called.
        creator: Who called, as the transaction carries it.
        args: The call.
        rwset: What its endorsers signed.
    """
    own = [part for part in rwset.namespaces if part.namespace == state.chaincode]
    if invoked != state.chaincode:
        if any(map(_writes, own)):
            return f"{invoked} was called, and wrote what the contract alone writes: {_keys(own)}"
        return None
    if elsewhere := [part.namespace for part in rwset.namespaces if part not in own and _writes(part)]:
        return f"the contract was called, and {', '.join(elsewhere)} was written, which it never writes"
    if any(part.writes_metadata or part.collections for part in own):
        return "the contract was called, and wrote metadata or private data, which it never writes"
    return _executed(state, creator, args, own)


def _executed(state: SnapshotState, creator: bytes, args: Sequence[bytes], parts: Sequence[NsRWSet]) -> str | None:
    """Executes a call as its endorsers should have; returns what is wrong with what they signed."""
    signed = {write.key: None if is_delete(write) else write.value for part in parts for write in part.kv.writes}
    function = "a call that is no text"
    try:
        function, *arguments = (argument.decode() for argument in args)
        if isinstance(FUNCTIONS.get(function), Query):  # its answer is on no ledger, so nothing hangs on its execution
            return f"{function} only reads, and wrote {', '.join(sorted(signed))}" if signed else None
        # What each operator had configured is not on the ledger; that the endorsers had the same is.
        own = signed.get(Consortium.key_of()) if function == "consortium:Init" else None
        consortium = Consortium.decode(own).organisations if own else ()
        dispatch(state, Caller.from_creator(creator), function, arguments, consortium)
    except (FLError, ValueError) as refusal:
        return f"the contract refuses {function}: {refusal}" if signed else None
    except Exception as crash:  # noqa: BLE001 -- records that endorsers made up before may be anything
        _log.info("%s could not be executed", function, exc_info=True)
        return f"the contract cannot execute {function} on the records before it: {crash!r}" if signed else None
    if state.writes != signed:
        keys = sorted(key for key in {*signed, *state.writes} if signed.get(key) != state.writes.get(key))
        return f"{function} wrote what the contract does not write there: {', '.join(keys)}"
    # Versions, and what the block wrote before, are for concurrency control, which sees recorded reads alone. Whoever
    # writes makes point reads only, and one that writes nothing depends on nothing.
    recorded = {read.key for part in parts for read in part.kv.reads}
    unread = sorted(state.reads - recorded) if signed else []
    if unread:
        return f"{function} was signed without what the contract reads for it: {', '.join(unread)}"
    return None


def _writes(part: NsRWSet) -> bool:
    return part.writes_something or part.writes_metadata


def _keys(parts: Sequence[NsRWSet]) -> str:
    return ", ".join(write.key for part in parts for write in part.kv.writes) or "metadata or private data"
