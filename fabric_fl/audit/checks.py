"""What a round's records must be to each other: selection, openings, proofs, medians and payments, computed again.

Scores themselves cannot be recomputed, because holdouts are private; they are held to what was committed to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabric_fl.audit.circumstances import Circumstances
from fabric_fl.audit.finding import Finding
from fabric_fl.task_status import Attested, ScoredRound, SubmittedUpdate
from fl_chaincode import hashes, selection, settlement
from fl_chaincode.decision import proven
from fl_chaincode.records import ABORTED, RUNNING, Head, Model, Opening, Round, Settlement, Task


@dataclass(frozen=True)
class RoundRecords:
    """All that the ledger holds of a committed round.

    Attributes:
        before: The round before it; None for the first.
        refused: Whose updates for the model before it were refused, with the code.
        scored: Its settlement, where there is one.
    """

    task: Task
    round: Round
    model: Model
    before: Round | None
    refused: Mapping[str, str]
    updates: tuple[SubmittedUpdate, ...]
    attested: tuple[Attested, ...]
    scored: ScoredRound | None


def check(records: RoundRecords, about: Circumstances) -> Iterator[Finding]:
    """Yields what does not follow, each with the organisation that it concerns where it concerns one.

    A finding of the kind `undecided` is about what the records do not tell.
    """
    if records.model.base != records.round.base:
        yield Finding("base", None, f"round {records.round.number} and its model name different bases")
    yield from check_selection(records.task, records.round, records.before, records.refused, about)
    yield from _commitments(records)
    yield from _proofs(records)
    openings = {opening.organisation: opening for _, opening in records.attested if opening is not None}
    yield from _scores(records, openings)
    if records.scored is not None and records.scored.settlement is not None:
        yield from _scorers(records, records.scored.settlement, about)
        yield from _settlement(records, records.scored.settlement, openings)


def escrow(task: Task, head: Head, settlements: Sequence[Settlement], held: int) -> Iterator[Finding]:
    """Yields what is wrong with what is left of a task's budget: all that no settlement paid, until the sponsor has it.

    Args:
        task: The task.
        head: Where it stands.
        settlements: Of all its rounds.
        held: What the ledger holds for it.
    """
    rest = task.budget - sum(sum(one.payments.values()) for one in settlements)
    expected = rest if head.status == RUNNING or head.unsettled else 0
    if held != expected:
        message = f"the task's escrow holds {held}; after all payments and returns it is {expected}"
        yield Finding("payments", task.sponsor, message)


def check_selection(
    task: Task, round_: Round, before: Round | None, refused: Mapping[str, str], about: Circumstances
) -> Iterator[Finding]:
    """Yields what is wrong with who was selected: the first k, of those who could be, in an order that the base gives.

    Args:
        task: The task.
        round_: The round, whatever came of it.
        before: The round before it; None for the first.
        refused: Whose updates for the model before it were refused, with the code.
        about: Says who could be selected then.
    """
    moved = _moved(before, refused)
    if round_.moved != moved:
        who = _first_difference(round_.moved, moved)
        yield Finding("selection", who, f"those who come last are {_names(moved)}, and not {_names(round_.moved)}")
    for participant in round_.selected:
        if about.declared(participant, round_.number) is False:
            yield Finding("selection", participant, "was selected and has declared no data that covers this round")
    everybody = selection.order(task.id, round_.j, round_.base, task.trainers, round_.moved)
    if round_.selected == tuple(everybody[: task.k]):
        return
    could = {one: about.eligible(one, round_.number) for one in everybody}
    expected = tuple([one for one in everybody if one in round_.selected or could[one]][: task.k])
    if round_.selected != expected:
        who = _first_difference(round_.selected, expected)
        passed = [one for one in expected if one not in round_.selected]
        told = f"; passed over: {_names(passed)}" if passed else ""
        yield Finding("selection", who, f"selected were {_names(round_.selected)}; it follows {_names(expected)}{told}")
        return
    for participant in everybody[: everybody.index(expected[-1])] if len(expected) == task.k else everybody:
        if participant not in round_.selected and could[participant] is None:
            message = (
                "was passed over, and this ledger's records do not tell whether it was active and had declared data "
                "then; `fabric-fl audit verify` executes the selection itself"
            )
            yield Finding("undecided", participant, message)


def _moved(before: Round | None, refused: Mapping[str, str]) -> tuple[str, ...]:
    """Who comes last: after a commit those whose updates were refused, after an abort those who failed as well."""
    if before is None:
        return ()
    if before.status != ABORTED:
        return selection.invalid(refused)
    return selection.move(before.moved, (*before.missed, *selection.invalid(before.refused)))


def _commitments(records: RoundRecords) -> Iterator[Finding]:
    round_ = records.round
    for update, reveal in records.updates:
        if reveal is None:
            continue
        commitment = hashes.update_commitment(
            records.task.id,
            round_.number,
            update.participant,
            round_.base,
            reveal.num_examples,
            reveal.digest,
            reveal.nonce,
        )
        if commitment != update.commitment:
            yield Finding("opening", update.participant, "the reveal does not open the commitment")


def _proofs(records: RoundRecords) -> Iterator[Finding]:
    record, round_ = records.model, records.round
    by_organisation = {attestation.organisation: attestation for attestation, _ in records.attested}
    counted = [one for one in dict.fromkeys(record.attested_by) if one in round_.validators]
    for organisation in record.attested_by:
        attestation = by_organisation.get(organisation)
        if organisation not in counted:
            yield Finding("quorum", organisation, "is counted in the quorum and is no validator of the round")
        elif attestation is None or attestation.result != record.result:
            yield Finding("quorum", organisation, "is counted in the quorum and has not attested this result")
        elif not proven(attestation, record.aggregate):
            yield Finding("proof", organisation, "is counted in the quorum and has not proven the sum")
    if len(counted) < round_.q:
        yield Finding("quorum", None, f"{len(counted)} organisations attested, and {round_.q} are a quorum")


def _scores(records: RoundRecords, openings: Mapping[str, Opening]) -> Iterator[Finding]:
    for attestation, _ in records.attested:
        opening = openings.get(attestation.organisation)
        if opening is None or not settlement.agrees(attestation, records.model):
            continue
        commitment = hashes.score_commitment(
            records.task.id,
            records.round.number,
            opening.organisation,
            opening.nonce,
            opening.scores,
            opening.metrics,
        )
        if commitment != attestation.score_commitment:
            yield Finding("scores", opening.organisation, "the opened scores are not those that were committed to")


def _scorers(records: RoundRecords, held: Settlement, about: Circumstances) -> Iterator[Finding]:
    """Yields who agrees and committed to scores, and is no scorer: only q votes, or the consortium, settle without."""
    for attestation, _ in records.attested:
        organisation = attestation.organisation
        if (
            organisation in held.scorers
            or attestation.score_commitment is None
            or not settlement.agrees(attestation, records.model)
        ):
            continue
        if about.settled_as_it_stood(records.round):
            return
        if organisation in records.model.attested_by:
            message = "attested with the quorum; its scores were left out of the settlement, without q votes to settle"
            yield Finding("scores", organisation, message)
        else:
            message = (
                "is no scorer, and this ledger's records do not tell whether it attested before the settlement; "
                "`fabric-fl audit verify` executes the settlement itself"
            )
            yield Finding("undecided", organisation, message)


def _settlement(records: RoundRecords, held: Settlement, openings: Mapping[str, Opening]) -> Iterator[Finding]:
    agreeing = {
        attestation.organisation for attestation, _ in records.attested if settlement.agrees(attestation, records.model)
    }
    for organisation in held.scorers:
        if organisation not in openings:
            yield Finding("scores", organisation, "is counted as a scorer and has opened no scores")
        elif organisation not in agreeing:
            yield Finding("scores", organisation, "is counted as a scorer and has not attested this result")
    # scores that were opened after the settlement did not count
    counted = {one: openings[one] for one in held.scorers if one in openings}
    evidence = settlement.Evidence(records.model, counted, unopened=(), everybody=True)
    found = settlement.conclude(records.task, records.round, evidence)
    for organisation, was, expected in _differing(held.scores, found.scores):
        yield Finding("medians", organisation, f"its score is {was}; the median of the opened ones is {expected}")
    for name, was, expected in _differing(held.metrics, found.metrics):
        yield Finding("medians", None, f"{name} is {was}; the median of the opened ones is {expected}")
    for organisation, was, expected in _differing(held.payments, found.payments):
        yield Finding("payments", organisation, f"it was paid {was or 0}; its due is {expected or 0}")
    if (held.share, held.j) != (found.share, found.j):
        yield Finding("payments", None, f"model {held.j} may pay {held.share}; model {found.j} {found.share}")


def _differing(held: Mapping[str, int], found: Mapping[str, int]) -> Iterator[tuple[str, int | None, int | None]]:
    for name in sorted({*held, *found}):
        if held.get(name) != found.get(name):
            yield name, held.get(name), found.get(name)


def _first_difference(held: Sequence[str], found: Sequence[str]) -> str | None:
    """Returns who stands where somebody else belongs, or is the first beyond the end or missing there."""
    length = min(len(held), len(found))
    at = next((index for index in range(length) if held[index] != found[index]), length)
    return next(iter((*held[at : at + 1], *found[at : at + 1])), None)


def _names(organisations: Sequence[str]) -> str:
    return ", ".join(organisations) or "nobody"
