"""Commit: the decision about a round, whose guard is ledger data alone, so that anyone may call it."""

from dataclasses import replace

from fl_chaincode import abort, lookup, selection, settlement, stopping, succession
from fl_chaincode.caller import Caller
from fl_chaincode.decision import Decision, current_attestations, decide, fetched_by_quorum
from fl_chaincode.errors import FLError
from fl_chaincode.records import (
    ABORTED,
    CLOSE,
    COMMITTED,
    DISPUTED,
    OPEN,
    SEALED,
    Attestation,
    Head,
    Model,
    Round,
    Settlement,
    Task,
)
from fl_chaincode.state import Points, Writer


def commit(state: Writer, _caller: Caller, task_id: str, number: int, aggregate: str | None = None) -> Round:
    """Decide a SEALED round.

    Args:
        state: the ledger.
        task_id: the task.
        number: the round.
        aggregate: the aggregate digest A, which opens the proofs of those who have summed. Without it nothing can be
            committed, but a stuck round is still recognised.
    """
    stored = lookup.round_record(state, task_id, number)
    if stored.status == COMMITTED:
        return stored
    if stored.status == ABORTED:
        raise FLError("FL-ROUND-FINAL", f"round {number} is aborted")
    updates = lookup.update_keys(stored) if stored.status == OPEN else []
    votes = lookup.voting_keys(stored, CLOSE, max(1, stored.attempt))
    state.ahead((*updates, *votes, *lookup.attestation_keys(stored)))
    round_ = lookup.effective(state, stored)
    if round_.status == OPEN:
        raise FLError("FL-ROUND-OPEN", f"round {number} still takes updates")
    attestations = lookup.attestations(state, round_)
    silence_counts = len(lookup.voters(state, round_, CLOSE, round_.attempt)) >= round_.q
    decision = decide(round_, attestations, silence_counts, aggregate)
    if decision.kind == "commit":
        return _commit(state, round_, decision, aggregate)
    if decision.kind == "fix":
        return _fix(state, round_, current_attestations(round_, attestations))
    if decision.kind == "dispute":
        disputed = replace(round_, status=DISPUTED)
        if disputed != stored:
            state.put(disputed)
        return disputed
    raise FLError("FL-ROUND-UNDECIDED", f"no result of round {number} has {round_.q} proven attestations yet")


def _fix(state: Writer, round_: Round, attestations: list[Attestation]) -> Round:
    """Fix what is included as what q validators can serve, and let everybody attest that."""
    included = fetched_by_quorum(round_, abort.revealed(state, round_), attestations)
    if len(included) < round_.min_updates:
        return abort.rerun(state, round_, abort.missed(state, round_))
    fixed = replace(round_, status=SEALED, attempt=round_.attempt + 1, included=included)
    state.put(fixed)
    return fixed


def _commit(state: Writer, round_: Round, decision: Decision, aggregate: str | None) -> Round:
    state.ahead((Task.key_of(round_.task), Head.key_of(round_.task)))
    task = lookup.task(state, round_.task)
    model = _model(round_, decision, aggregate)
    arrived = (*model.included, *model.refused)
    committed = replace(
        round_,
        status=COMMITTED,
        included=model.included,
        missed=tuple(participant for participant in round_.selected if participant not in arrived),
    )
    head, settlements = _settle_earlier(state, task, _advance(state, committed, model))
    if task.scoring.rule == "none":  # nobody will open anything
        evidence = settlement.Evidence(model, openings={}, unopened=(), everybody=True)
        settlements.append(settlement.conclude(task, committed, evidence))
        head = settlement.without(head, committed.number)
    head = stopping.advance(state, task, head, settlements)
    head = succession.proceed(state, task, head, committed, selection.invalid(model.refused))
    state.put(model)
    state.put(committed)
    state.put(head)
    if settlements:
        settlement.pay(state, task, head, settlements)
    return committed


def _model(round_: Round, decision: Decision, aggregate: str | None) -> Model:
    winner = decision.winners[0]
    return Model(
        task=round_.task,
        j=round_.j,
        round=round_.number,
        attempt=round_.attempt,
        base=round_.base,
        digest=winner.model,
        state=winner.state,
        included=winner.included,
        refused=winner.refused,
        result=winner.result,
        aggregate=aggregate,
        attested_by=tuple(one.organisation for one in decision.winners),
        declarations={one: number for one, number in round_.declarations.items() if one in winner.included},
    )


def _advance(state: Points, committed: Round, model: Model) -> Head:
    head = lookup.head(state, committed.task)
    return replace(
        head,
        j=committed.j,
        model=model.digest,
        state=model.state,
        unsettled=(*head.unsettled, committed.number),
    )


def _settle_earlier(state: Points, task: Task, head: Head) -> tuple[Head, list[Settlement]]:
    """Let the settlements of earlier rounds ride along, where all that can come in for them is there.

    With q below the number of validators, the last opening of a round often arrives only after the next commit, so
    more than one round may be waiting.
    """
    settlements = []
    earlier = head.unsettled[:-1]
    state.ahead(Round.key_of(task.id, number) for number in earlier)
    rounds = [lookup.round_record(state, task.id, number) for number in earlier]
    state.ahead(key for round_ in rounds for key in lookup.settlement_keys(round_))
    for round_ in rounds:
        settled = settlement.ready(state, task, round_)
        if settled is not None:
            settlements.append(settled)
            head = settlement.without(head, round_.number)
    return head, settlements
