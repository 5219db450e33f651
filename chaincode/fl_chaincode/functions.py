"""Every function that can be called, with its arguments and who may call it. What is not here does not exist."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fl_chaincode import (
    abort,
    allowances,
    args,
    attestations,
    cancellation,
    commit,
    consortium,
    declarations,
    describe,
    elections,
    market,
    models,
    motions,
    offers,
    orders,
    participants,
    prices,
    reading,
    rounds,
    scores,
    settlement,
    status,
    tasks,
    tokens,
    updates,
    validation,
)
from fl_chaincode.records import KINDS

Decoder = Callable[[str, str], Any]


@dataclass(frozen=True)
class Query:
    """A function that only reads. Anybody whom the channel lets read may call it.

    Attributes:
        rule: called with the state and the decoded arguments; returns the answer.
        arguments: name and decoder of each, in order.
        caller: whether the answer depends on the caller, whom the rule then gets before the arguments.
    """

    rule: Callable[..., Any]
    arguments: Mapping[str, Decoder]
    caller: bool = False


@dataclass(frozen=True)
class Write:
    """A function that writes.

    Attributes:
        rule: called with the state, the caller and the decoded arguments; returns the record that it has written.
        arguments: name and decoder of each, in order.
        role: which the caller's certificate must have in its attribute fl.roles; None where the guard is ledger data
            alone, so that anybody may call.
        active: whether the caller's organisation must be registered and active.
        owner: whether it must be registered and not suspended: one that has withdrawn still disposes of what it owns.
        optional: how many of the last arguments may be left out.
        configured: whether the rule also gets the operator's list of organisations.
        ahead: called with the caller and the decoded arguments; returns keys that the rule reads in any case, so that
            the peer is asked once.
    """

    rule: Callable[..., Any]
    arguments: Mapping[str, Decoder]
    role: str | None = None
    active: bool = False
    owner: bool = False
    optional: int = 0
    configured: bool = False
    ahead: Callable[..., Iterable[str]] | None = None


_TASK: Mapping[str, Decoder] = {"task": args.identifier}
_ROUND: Mapping[str, Decoder] = {"task": args.identifier, "round": args.number}
_ORDER: Mapping[str, Decoder] = {"buyer": args.msp_id, "order": args.identifier}
_OFFER: Mapping[str, Decoder] = {"seller": args.msp_id, "offer": args.identifier}
_ROUND_OF: Mapping[str, Decoder] = {**_ROUND, "participant": args.msp_id}

FUNCTIONS: Mapping[str, Query | Write] = MappingProxyType(
    {
        "consortium:Init": Write(consortium.init, {}, role="admin", configured=True),
        "consortium:Read": Query(consortium.read, {}),
        "consortium:Vote": Write(motions.vote, {"motion": motions.motion_order}, role="admin", active=True),
        "consortium:Retract": Write(motions.retract, {"motion": args.identifier}, role="admin", active=True),
        "consortium:Motion": Query(motions.read, {"motion": args.identifier}),
        "consortium:Motions": Query(motions.list_all, {}),
        "participants:Register": Write(participants.register, {"profile": participants.profile}, role="admin"),
        "participants:Update": Write(participants.update, {"profile": participants.profile_change}, role="admin"),
        "participants:Suspend": Write(participants.suspend, {}, role="admin"),
        "participants:Reinstate": Write(participants.reinstate, {}, role="admin"),
        "participants:Withdraw": Write(participants.withdraw, {}, role="admin"),
        "participants:Read": Query(participants.read, {"participant": args.msp_id}),
        "participants:List": Query(participants.list_all, {}),
        "declarations:Submit": Write(
            declarations.submit, {"declaration": declarations.declaration_claim}, role="admin", active=True
        ),
        "declarations:Revoke": Write(
            declarations.revoke, {"purpose": args.identifier, "number": args.number}, role="admin"
        ),
        "declarations:Read": Query(
            declarations.read, {"participant": args.msp_id, "purpose": args.identifier, "number": args.number}
        ),
        "declarations:List": Query(declarations.list_participant, {"participant": args.msp_id}),
        "tasks:Create": Write(
            tasks.create,
            {"specification": validation.specification, "payment": tokens.entries_to_spend},
            role="coordinator",
            active=True,
            optional=1,
        ),
        "tasks:Read": Query(tasks.read, _TASK),
        "tasks:List": Query(tasks.list_all, {}),
        "tasks:Status": Query(status.status, _TASK, caller=True),
        "tasks:Todo": Query(status.todo, {}, caller=True),
        "tasks:Cancel": Write(cancellation.cancel, _TASK, active=True),
        "validators:Vote": Write(
            elections.vote, {**_TASK, "election": elections.election_claim}, role="validator", active=True
        ),
        "validators:Read": Query(elections.read, _TASK),
        "updates:Submit": Write(
            updates.submit,
            {**_ROUND, "commitment": args.digest},
            role="trainer",
            active=True,
            ahead=updates.submit_keys,
        ),
        "updates:Reveal": Write(
            updates.reveal,
            {**_ROUND, "opening": updates.reveal_claim},
            role="trainer",
            active=True,
            ahead=updates.reveal_keys,
        ),
        "updates:Read": Query(updates.read, _ROUND_OF),
        "updates:List": Query(updates.list_round, _ROUND),
        "rounds:Vote": Write(
            rounds.vote,
            {**_ROUND, "kind": args.one_of(*KINDS), "attempt": args.count, "reason": rounds.vote_reason},
            role="validator",
            active=True,
            optional=1,
        ),
        "rounds:Seal": Write(rounds.seal, _ROUND),
        "rounds:Commit": Write(commit.commit, {**_ROUND, "aggregate": args.digest}, optional=1),
        "rounds:Abort": Write(abort.abort, _ROUND),
        "rounds:Settle": Write(settlement.settle, _ROUND),
        "rounds:Read": Query(rounds.read, _ROUND),
        "rounds:List": Query(rounds.list_task, _TASK),
        "attestations:Submit": Write(
            attestations.submit,
            {**_ROUND, "attestation": attestations.attestation_claim},
            role="validator",
            active=True,
            ahead=attestations.submit_keys,
        ),
        "attestations:Read": Query(attestations.read, _ROUND_OF),
        "attestations:List": Query(attestations.list_round, _ROUND),
        "models:Latest": Query(models.latest, _TASK),
        "models:List": Query(models.list_task, _TASK),
        "models:Read": Query(models.read, {"task": args.identifier, "j": args.count}),
        "scores:Open": Write(
            scores.open_scores, {**_ROUND, "opening": scores.opening_claim}, role="validator", active=True
        ),
        "scores:List": Query(scores.list_task, _TASK),
        "tokens:Issue": Write(tokens.issue, {"order": tokens.issue_order}, role="admin", active=True),
        "tokens:Transfer": Write(tokens.transfer, {"order": tokens.transfer_order}, role="admin", owner=True),
        "tokens:Approve": Write(allowances.approve, {"order": allowances.approval_order}, role="admin", owner=True),
        "tokens:TransferFrom": Write(
            allowances.transfer_from, {"order": allowances.spending_order}, role="admin", owner=True
        ),
        "tokens:Allowance": Query(allowances.allowance, {"owner": args.msp_id, "spender": args.msp_id}),
        "tokens:BalanceOf": Query(tokens.balance_of, {"participant": args.msp_id}),
        "tokens:Entries": Query(tokens.entries, {"participant": args.msp_id}),
        "tokens:TotalSupply": Query(tokens.total_supply, {}),
        "prices:Publish": Write(prices.publish, {"prices": prices.price_request}, role="admin", active=True),
        "prices:Read": Query(prices.read, {"provider": args.msp_id}),
        "orders:Place": Write(orders.place, {"order": orders.order_request}, role="admin", active=True),
        "orders:Confirm": Write(orders.confirm, {"order": args.identifier}, role="admin", owner=True),
        "orders:Refund": Write(orders.refund, _ORDER, role="admin", owner=True),
        "orders:Vote": Write(
            orders.vote, {**_ORDER, "outcome": args.one_of(*orders.OUTCOMES)}, role="admin", active=True
        ),
        "orders:Decide": Write(orders.decide, {**_ORDER, "outcome": args.one_of(*orders.OUTCOMES)}),
        "orders:Read": Query(orders.read, _ORDER),
        "offers:Make": Write(offers.make, {"offer": offers.offer_request}, role="admin", owner=True),
        "offers:Take": Write(offers.take, {**_OFFER, "reference": offers.payment_reference}, role="admin", active=True),
        "offers:Withdraw": Write(offers.withdraw, {"offer": args.identifier}, role="admin", owner=True),
        "offers:Confirm": Write(
            offers.confirm,
            {"offer": args.identifier, "reference": offers.payment_reference},
            role="admin",
            owner=True,
        ),
        "offers:Cancel": Write(offers.cancel, _OFFER, role="admin", owner=True),
        "offers:Vote": Write(
            offers.vote, {**_OFFER, "outcome": args.one_of(*offers.OUTCOMES)}, role="admin", active=True
        ),
        "offers:Decide": Write(offers.decide, {**_OFFER, "outcome": args.one_of(*offers.OUTCOMES)}),
        "offers:Read": Query(offers.read, _OFFER),
        "market:Volumes": Query(market.volumes, {}),
        "records:Read": Query(reading.read, {"key": args.ledger_key}),
        "records:Page": Query(reading.page, {"query": reading.page_request}),
        "records:History": Query(reading.history, {"query": reading.history_request}),
        "fl:Describe": Query(describe.describe, {}),
    }
)
