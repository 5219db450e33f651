"""Every function that can be called, with its arguments and who may call it. What is not here does not exist."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fl_chaincode import (
    abort,
    args,
    attestations,
    commit,
    consortium,
    models,
    participants,
    rounds,
    scores,
    settlement,
    tasks,
    tokens,
    updates,
    validation,
)
from fl_chaincode.records import KINDS

Decoder = Callable[[str, str], Any]


@dataclass(frozen=True)
class Query:
    """A function that only reads. Anybody whom the channel lets read may call it."""

    rule: Callable[..., Any]
    arguments: Mapping[str, Decoder]


@dataclass(frozen=True)
class Write:
    """A function that writes.

    Attributes:
        rule: called with the state, the caller and the decoded arguments; returns the record that it has written.
        arguments: name and decoder of each, in order.
        role: which the caller's certificate must have in its attribute fl.roles; None where the guard is ledger data
            alone, so that anybody may call.
        active: whether the caller's organisation must be registered and active.
        optional: how many of the last arguments may be left out.
        configured: whether the rule also gets the operator's list of organisations.
    """

    rule: Callable[..., Any]
    arguments: Mapping[str, Decoder]
    role: str | None = None
    active: bool = False
    optional: int = 0
    configured: bool = False


_TASK: Mapping[str, Decoder] = {"task": args.identifier}
_ROUND: Mapping[str, Decoder] = {"task": args.identifier, "round": args.number}
_ROUND_OF: Mapping[str, Decoder] = {**_ROUND, "participant": args.msp_id}

FUNCTIONS: Mapping[str, Query | Write] = MappingProxyType(
    {
        "consortium:Init": Write(consortium.init, {}, role="admin", configured=True),
        "consortium:Read": Query(consortium.read, {}),
        "participants:Register": Write(participants.register, {"profile": participants.profile}, role="admin"),
        "participants:Read": Query(participants.read, {"participant": args.msp_id}),
        "participants:List": Query(participants.list_all, {}),
        "tasks:Create": Write(
            tasks.create,
            {"specification": validation.specification, "payment": tokens.entries_to_spend},
            role="coordinator",
            active=True,
            optional=1,
        ),
        "tasks:Read": Query(tasks.read, _TASK),
        "tasks:List": Query(tasks.list_all, {}),
        "tasks:Status": Query(tasks.status, _TASK),
        "updates:Submit": Write(updates.submit, {**_ROUND, "commitment": args.digest}, role="trainer", active=True),
        "updates:Reveal": Write(
            updates.reveal, {**_ROUND, "opening": updates.reveal_claim}, role="trainer", active=True
        ),
        "updates:Read": Query(updates.read, _ROUND_OF),
        "updates:List": Query(updates.list_round, _ROUND),
        "rounds:Vote": Write(
            rounds.vote,
            {**_ROUND, "kind": args.one_of(*KINDS), "attempt": args.count},
            role="validator",
            active=True,
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
        ),
        "attestations:Read": Query(attestations.read, _ROUND_OF),
        "attestations:List": Query(attestations.list_round, _ROUND),
        "models:Latest": Query(models.latest, _TASK),
        "models:Read": Query(models.read, {"task": args.identifier, "j": args.count}),
        "scores:Open": Write(
            scores.open_scores, {**_ROUND, "opening": scores.opening_claim}, role="validator", active=True
        ),
        "scores:List": Query(scores.list_task, _TASK),
        "tokens:Issue": Write(tokens.issue, {"order": tokens.issue_order}, role="admin", active=True),
        "tokens:Transfer": Write(tokens.transfer, {"order": tokens.transfer_order}, role="admin", active=True),
        "tokens:BalanceOf": Query(tokens.balance_of, {"participant": args.msp_id}),
        "tokens:Entries": Query(tokens.entries, {"participant": args.msp_id}),
        "tokens:TotalSupply": Query(tokens.total_supply, {}),
    }
)
