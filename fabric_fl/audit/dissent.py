"""Who attested something else than what follows from the updates, whether or not anything was committed.

A lie that was outvoted changes nothing that was committed, so this is no part of whether a task holds; it is signed,
and stays on the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fabric_fl.aggregation import AggregationResult
from fabric_fl.audit.circumstances import Circumstances
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.recomputation import Recomputation
from fabric_fl.task_status import Attested
from fl_chaincode import hashes
from fl_chaincode.decision import proven
from fl_chaincode.records import Attestation, Model, Round


def dissents(
    round_: Round, model: Model | None, attested: Iterable[Attested], recomputation: Recomputation, about: Circumstances
) -> Iterator[Finding]:
    """Yields a finding of the kind `dissent` for each attestation that differs from what is computed again.

    Where that cannot be said, the finding is of the kind `undecided`. Who is counted in the quorum for a committed
    result is judged with the result itself.

    Args:
        round_: The round.
        model: What it committed; None where it committed nothing.
        attested: Its attestations, of any attempt.
        recomputation: Of the round.
        about: For the earlier versions of what was corrected.
    """
    for newest, _ in attested:
        earlier = about.corrected(newest)
        if earlier is None:
            message = "has corrected its attestation, and this peer keeps no history of what it attested before"
            yield Finding("undecided", newest.organisation, message, _where(newest))
        for one in (newest, *(earlier or ())):
            if model is None or one.result != model.result or one.organisation not in model.attested_by:
                yield from _judged(round_, model, one, recomputation)


def _judged(round_: Round, model: Model | None, one: Attestation, recomputation: Recomputation) -> Iterator[Finding]:
    given = recomputation.of((*one.included, *one.refused))
    if isinstance(given, Finding):
        if given.what != "blob":
            message = f"has attested a result where there is none: {given.message}"
            yield Finding("dissent", one.organisation, message, _where(one))
        elif model is not None and one.result != model.result:
            message = f"has attested another result than was committed; whose is right nobody can say: {given.message}"
            yield Finding("dissent", one.organisation, message, _where(one))
        elif model is None:
            message = f"whether its result follows from the updates nobody can say: {given.message}"
            yield Finding("undecided", one.organisation, message, _where(one))
        return
    different = ", ".join(_different(round_, one, given))
    if different:
        message = f"has attested what does not follow from the updates: {different}"
        yield Finding("dissent", one.organisation, message, _where(one))
        return
    sets = _sets(round_, model, one, recomputation)
    if sets:
        yield Finding("dissent", one.organisation, f"has attested what follows from other updates: {sets}", _where(one))


def _different(round_: Round, one: Attestation, given: AggregationResult) -> Iterator[str]:
    if (one.included, dict(one.refused)) != (given.included, dict(given.refused)):
        yield "included"
    if one.model != given.model.digest:
        yield "model"
    if one.state != given.state.digest:
        yield "state"
    result = hashes.result_digest(
        one.task, one.round, one.attempt, round_.base, one.included, one.refused, one.model, one.state
    )
    if one.result != result:
        yield "result"
    if not proven(one, given.aggregate):
        yield "proof"


def _sets(round_: Round, model: Model | None, one: Attestation, recomputation: Recomputation) -> str:
    """Says which updates an attestation covers that the round does not, and the other way round."""
    if model is not None and one.attempt == model.attempt:
        expected = {*model.included, *model.refused}
    elif round_.included is not None and one.attempt == round_.attempt:
        expected = {*round_.included}
    else:
        expected = {*recomputation.revealed}
    covered = {*one.included, *one.refused}
    told = [f"without {', '.join(sorted(expected - covered))}"] if expected - covered else []
    told += [f"with {', '.join(sorted(covered - expected))}"] if covered - expected else []
    return "; ".join(told)


def _where(one: Attestation) -> str:
    return f"round {one.round}, attempt {one.attempt}, version {one.version}"
