"""Settlement: opened scores become medians, medians become payments from the task's escrow, once a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fl_chaincode import lookup, rewards, stopping, tokens
from fl_chaincode.caller import Caller
from fl_chaincode.decision import current_attestations, proven
from fl_chaincode.errors import FLError
from fl_chaincode.records import (
    COMMITTED,
    RUNNING,
    SETTLE,
    Attestation,
    Escrow,
    Head,
    Model,
    Opening,
    Round,
    Settlement,
    Task,
)
from fl_chaincode.state import Points, Writer


@dataclass(frozen=True)
class Evidence:
    """What a committed round's validators have said about its contributions."""

    model: Model
    openings: Mapping[str, Opening]  # of those who agree with the model
    unopened: tuple[str, ...]  # who agree, have committed to scores, and have not opened them
    everybody: bool  # whether all validators have attested


def settle(state: Writer, _caller: Caller, task_id: str, number: int) -> Settlement:
    """Settle a committed round whose committed scores are all open, or that q validators voted to settle as it is."""
    stored = state.get(Settlement, task_id, number)
    if stored is not None:
        return stored
    round_ = lookup.round_record(state, task_id, number)
    if round_.status != COMMITTED:
        raise FLError("FL-ROUND-UNCOMMITTED", f"round {number} is not committed")
    evidence = gather(state, round_)
    if evidence.unopened and len(lookup.voters(state, round_, SETTLE, round_.attempt)) < round_.q:
        raise FLError("FL-SCORE-UNOPENED", f"the scores of {', '.join(evidence.unopened)} are not open")
    task = lookup.task(state, task_id)
    settlement = conclude(task, round_, evidence)
    head = without(lookup.head(state, task_id), number)
    head = stopping.advance(state, task, head, [settlement])
    state.put(head)
    pay(state, task, head, [settlement])
    return settlement


def ready(state: Points, task: Task, round_: Round) -> Settlement | None:
    """Return the settlement of a committed round if nothing more can come in for it; the caller writes it."""
    evidence = gather(state, round_)
    return conclude(task, round_, evidence) if evidence.everybody and not evidence.unopened else None


def gather(state: Points, round_: Round) -> Evidence:
    model = lookup.model(state, round_.task, round_.j)
    attestations = current_attestations(round_, lookup.attestations(state, round_))
    agreeing = [one for one in attestations if agrees(one, model)]
    openings = lookup.openings(state, round_)
    return Evidence(
        model=model,
        openings={one.organisation: openings[one.organisation] for one in agreeing if one.organisation in openings},
        unopened=tuple(
            one.organisation
            for one in agreeing
            if one.score_commitment is not None and one.organisation not in openings
        ),
        everybody=len(attestations) == len(round_.validators),
    )


def agrees(attestation: Attestation, model: Model) -> bool:
    """Whether the organisation attested the committed result, and had summed."""
    return attestation.result == model.result and proven(attestation, model.aggregate)


def conclude(task: Task, round_: Round, evidence: Evidence) -> Settlement:
    """Compute a settlement. An organisation's vote on its own update does not count."""
    votes = evidence.openings
    scores = {
        participant: rewards.lower_median(
            [
                one.scores[participant]
                for one in votes.values()
                if one.organisation != participant and participant in one.scores
            ]
        )
        for participant in evidence.model.included
    }
    names = sorted(frozenset(name for one in votes.values() for name in one.metrics))
    share = rewards.round_share(task.budget, round_.j, task.rounds)
    return Settlement(
        task=task.id,
        round=round_.number,
        j=round_.j,
        share=share,
        scores=scores,
        payments=rewards.payments(share, scores, task.scoring.cap_percent),
        scorers=tuple(sorted(votes)),
        metrics={
            name: rewards.lower_median([one.metrics[name] for one in votes.values() if name in one.metrics])
            for name in names
        },
    )


def without(head: Head, number: int) -> Head:
    return replace(head, unsettled=tuple(one for one in head.unsettled if one != number))


def pay(state: Writer, task: Task, head: Head, settlements: Sequence[Settlement]) -> None:
    """Write settlements and their payments; with the task's last one, the rest of the escrow returns to the sponsor.

    Args:
        state: the ledger.
        task: the task.
        head: as the same transaction leaves it, without these settlements' rounds among the unsettled.
        settlements: of this transaction, which has written none of this before.
    """
    escrow = state.get(Escrow, task.id)
    rest = escrow.amount if escrow else 0
    for settlement in settlements:
        state.put(settlement)
        for participant, amount in sorted(settlement.payments.items()):
            state.put(tokens.entry(participant, amount, settlement.key, "payment"))
            rest -= amount
    if head.status != RUNNING and not head.unsettled and rest:
        state.put(tokens.entry(task.sponsor, rest, task.key, "return"))
        rest = 0
    if escrow is not None and rest != escrow.amount:
        state.put(replace(escrow, amount=rest))
