"""Allowances, in ERC-20's sense: an owner lets another organisation spend so much from its entries.

ERC-20's approve has a race: a spender who sees that his allowance is about to change from 10 to 5 spends the 10 first
and then the 5. Here the owner also states which allowance it replaces; where the spender was faster, the approval is
refused.

References:
    https://eips.ethereum.org/EIPS/eip-20
"""

from dataclasses import dataclass, replace

from fl_chaincode import access, args, repetition, tokens
from fl_chaincode.answers import Allowed
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import Allowance, Approval, Spending
from fl_chaincode.state import Points, Reader, Writer


@dataclass(frozen=True)
class ApprovalOrder:
    """The argument of tokens:Approve: ``{"request_id","spender","expected","amount"}``."""

    request_id: str
    spender: str
    expected: int
    amount: int


@dataclass(frozen=True)
class SpendingOrder:
    """The argument of tokens:TransferFrom: ``{"request_id","owner","inputs":[id],"to","amount"}``."""

    request_id: str
    owner: str
    inputs: tuple[str, ...]
    to: str
    amount: int


def approval_order(what: str, text: str) -> ApprovalOrder:
    with Fields.of(what, text) as fields:
        return ApprovalOrder(
            request_id=fields.take("request_id", args.identifier),
            spender=fields.take("spender", args.msp_id),
            expected=fields.integer("expected", 0),
            amount=fields.integer("amount", 0),
        )


def spending_order(what: str, text: str) -> SpendingOrder:
    with Fields.of(what, text) as fields:
        return SpendingOrder(
            request_id=fields.take("request_id", args.identifier),
            owner=fields.take("owner", args.msp_id),
            inputs=fields.listed("inputs", args.digest, low=1),
            to=fields.take("to", args.msp_id),
            amount=fields.integer("amount", 1),
        )


def approve(state: Writer, caller: Caller, order: ApprovalOrder) -> Approval:
    """Let another organisation spend so much of the caller's tokens, instead of what it was allowed before."""
    stored = state.get(Approval, caller.msp_id, order.request_id)
    if stored is not None:
        repetition.check_same(stored, order)
        return stored
    tokens.check_payee(state, order.spender)
    allowed = _allowance(state, caller.msp_id, order.spender)
    if allowed.amount != order.expected:
        raise FLError("FL-TOKEN-EXPECTED", f"{order.spender} may spend {allowed.amount} now, not {order.expected}")
    record = Approval(caller.msp_id, order.request_id, order.spender, order.expected, order.amount)
    state.put(replace(allowed, amount=order.amount))
    state.put(record)
    return record


def transfer_from(state: Writer, caller: Caller, order: SpendingOrder) -> Spending:
    """Pay from an owner's entries what the owner has allowed the caller; the change goes back to the owner."""
    stored = state.get(Spending, caller.msp_id, order.request_id)
    if stored is not None:
        repetition.check_same(stored, order)
        return stored
    access.check_owner(state, order.owner)  # nor may others for an owner that is suspended
    allowed = _allowance(state, order.owner, caller.msp_id)
    if allowed.amount < order.amount:
        raise FLError("FL-TOKEN-ALLOWANCE", f"{order.owner} lets {caller.msp_id} spend {allowed.amount}")
    tokens.check_payee(state, order.to)
    key = Spending.key_of(caller.msp_id, order.request_id)
    outputs = tokens.pay(state, order.owner, order.inputs, order.to, order.amount, key)
    record = Spending(caller.msp_id, order.request_id, order.owner, order.inputs, order.to, order.amount, outputs)
    state.put(replace(allowed, amount=allowed.amount - order.amount))
    state.put(record)
    return record


def allowance(state: Reader, owner: str, spender: str) -> Allowed:
    """Return what a spender may still spend of an owner's tokens."""
    return {"owner": owner, "spender": spender, "amount": _allowance(state, owner, spender).amount}


def _allowance(state: Points, owner: str, spender: str) -> Allowance:
    return state.get(Allowance, owner, spender) or Allowance(owner, spender, 0)
