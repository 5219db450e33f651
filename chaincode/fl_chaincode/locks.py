"""Locks: tokens that an order or an offer holds, from the moment that it is made until it ends.

A lock is a record of its own, written once and deleted once, so that no tokens can be released twice or forgotten.
"""

from collections.abc import Sequence

from fl_chaincode import tokens
from fl_chaincode.errors import FLError
from fl_chaincode.records import Lock
from fl_chaincode.state import Writer


def lock(state: Writer, kind: str, owner: str, request_id: str, inputs: Sequence[str], amount: int, cause: str) -> None:
    """Lock tokens of the owner's entries; what they hold above the amount comes back as one entry."""
    tokens.spend(state, owner, inputs, amount, cause)
    state.put(Lock(kind, owner, request_id, amount))


def release(state: Writer, kind: str, owner: str, request_id: str, to: str, cause: str) -> None:
    """Pay what is locked to whom it belongs now."""
    held = state.get(Lock, kind, owner, request_id)
    if held is None:
        raise FLError("FL-TOKEN-LOCK", f"nothing is locked for the {kind} {request_id} of {owner}")
    state.delete(held)
    state.put(tokens.entry(to, held.amount, cause, "payment"))
