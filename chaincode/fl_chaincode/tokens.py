"""Tokens: unspent entries, after the idea of Fabric's token-utxo sample.

Who pays names entries that he holds; they are read and deleted, and new ones written. So payments to a busy account
touch no common key and never conflict. Tokens arise by `issue` alone and are never destroyed: the unspent entries, what
tasks hold in escrow and what orders and offers have locked always sum to the supply.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fl_chaincode import access, args
from fl_chaincode.answers import Balance, TotalSupply
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.canonical import MAX_INTEGER, H
from fl_chaincode.errors import FLError
from fl_chaincode.records import Entry, Issue, Participant, Supply, Transfer
from fl_chaincode.state import Points, Reader, Writer


@dataclass(frozen=True)
class IssueOrder:
    """The argument of tokens:Issue: ``{"request_id","to","amount"}``."""

    request_id: str
    to: str
    amount: int


@dataclass(frozen=True)
class TransferOrder:
    """The argument of tokens:Transfer: ``{"request_id","inputs":[id],"to","amount"}``."""

    request_id: str
    inputs: tuple[str, ...]
    to: str
    amount: int


def issue_order(what: str, text: str) -> IssueOrder:
    with Fields.of(what, text) as fields:
        return IssueOrder(
            request_id=fields.take("request_id", args.identifier),
            to=fields.take("to", args.msp_id),
            amount=fields.integer("amount", 1),
        )


def transfer_order(what: str, text: str) -> TransferOrder:
    with Fields.of(what, text) as fields:
        return TransferOrder(
            request_id=fields.take("request_id", args.identifier),
            inputs=fields.listed("inputs", args.digest, low=1),
            to=fields.take("to", args.msp_id),
            amount=fields.integer("amount", 1),
        )


def entries_to_spend(what: str, text: str) -> tuple[str, ...]:
    """Decode the second argument of tasks:Create: ``{"inputs":[id]}`` or ``{}``."""
    with Fields.of(what, text) as fields:
        return fields.listed("inputs", args.digest) if "inputs" in fields else ()


def issue(state: Writer, caller: Caller, order: IssueOrder) -> Issue:
    """Vote for an issue; the vote that completes the majority of the consortium makes the tokens."""
    members = access.consortium(state)
    access.check_member(members, caller.msp_id)
    stored = state.get(Issue, order.request_id)
    if stored is not None and (stored.to, stored.amount) != (order.to, order.amount):
        raise FLError("FL-CONFLICT", f"the request {order.request_id} issues something else")
    votes = stored.votes if stored else ()
    if stored is not None and (stored.issued or caller.msp_id in votes):
        return stored
    check_payee(state, order.to)
    votes = tuple(sorted((*votes, caller.msp_id)))
    issued = len([one for one in votes if one in members.organisations]) >= members.majority
    record = Issue(order.request_id, order.to, order.amount, votes, issued)
    if issued:
        supply = _supply(state) + order.amount
        if supply > MAX_INTEGER:
            raise FLError("FL-TOKEN-SUPPLY", f"the supply would be {supply}")
        state.put(Supply(supply))
        state.put(entry(order.to, order.amount, record.key, "payment"))
    state.put(record)
    return record


def transfer(state: Writer, caller: Caller, order: TransferOrder) -> Transfer:
    """Pay from the caller's entries; what they hold above the amount comes back as one entry."""
    key = Transfer.key_of(caller.msp_id, order.request_id)
    stored = state.get(Transfer, caller.msp_id, order.request_id)
    if stored is not None:
        if (stored.inputs, stored.to, stored.amount) != (order.inputs, order.to, order.amount):
            raise FLError("FL-CONFLICT", f"the request {order.request_id} transfers something else")
        return stored
    check_payee(state, order.to)
    outputs = pay(state, caller.msp_id, order.inputs, order.to, order.amount, key)
    record = Transfer(caller.msp_id, order.request_id, order.inputs, order.to, order.amount, outputs)
    state.put(record)
    return record


def check_payee(state: Points, organisation: str) -> None:
    if state.get(Participant, organisation) is None:  # a misspelt payee would lose the tokens for ever
        raise FLError("FL-PARTICIPANT-UNKNOWN", f"{organisation} is not registered")


def pay(state: Writer, owner: str, inputs: Sequence[str], to: str, amount: int, cause: str) -> tuple[str, ...]:
    """Move tokens from the owner's entries; return the ids of the payment and, if there is any, of the change."""
    change = spend(state, owner, inputs, amount, cause)
    payment = entry(to, amount, cause, "payment")
    state.put(payment)
    return (payment.id, change.id) if change else (payment.id,)


def spend(state: Writer, owner: str, inputs: Sequence[str], amount: int, cause: str) -> Entry | None:
    """Delete the owner's entries, which must cover the amount, and write and return the change.

    The caller of this function writes where the amount goes.
    """
    found = state.get_many(Entry, [(owner, entry_id) for entry_id in inputs])
    held = [one for one in found if one is not None]
    if len(held) != len(found):
        raise FLError("FL-TOKEN-INPUT", f"{owner} does not hold all of these entries")
    total = sum(one.amount for one in held)
    if total < amount:
        raise FLError("FL-TOKEN-FUNDS", f"the entries hold {total}, and {amount} are needed")
    for one in held:
        state.delete(one)
    if total == amount:
        return None
    change = entry(owner, total - amount, cause, "change")
    state.put(change)
    return change


def entry(owner: str, amount: int, cause: str, part: str) -> Entry:
    """Return a new entry; its id follows from the record that makes it, its part in that, and its owner."""
    return Entry(id=H("fl/entry/v1", cause, part, owner), owner=owner, amount=amount, cause=cause)


def balance_of(state: Reader, owner: str) -> Balance:
    """Return the sum of a participant's unspent entries."""
    return {"participant": owner, "balance": sum(one.amount for one in state.scan(Entry, owner))}


def entries(state: Reader, owner: str) -> list[Entry]:
    """Return a participant's unspent entries, whose ids a payment names."""
    return list(state.scan(Entry, owner))


def total_supply(state: Reader) -> TotalSupply:
    """Return how many tokens were ever issued: as many as there are."""
    return {"supply": _supply(state)}


def _supply(state: Points) -> int:
    stored = state.get(Supply)
    return stored.supply if stored else 0
