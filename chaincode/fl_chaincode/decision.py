"""What the attestations of a round amount to: a pure function, which auditors use as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fl_chaincode.hashes import proof
from fl_chaincode.records import Attestation, Round

COMMIT, FIX, DISPUTE, WAIT = "commit", "fix", "dispute", "wait"


@dataclass(frozen=True)
class Decision:
    """What Commit does.

    commit: `winners`, at least q, agree on one result and have proven that they summed.
    fix: nothing can reach q, because validators could fetch different updates: what is included gets fixed, once
        everybody has listed what he could fetch or is declared silent.
    dispute: nothing can reach q.
    wait: undecided.
    """

    kind: Literal["commit", "fix", "dispute", "wait"]
    winners: tuple[Attestation, ...] = ()


def decide(
    round_: Round, attestations: Mapping[str, Attestation], silence_counts: bool, aggregate: str | None
) -> Decision:
    """Decide a SEALED round.

    Args:
        round_: as `Round.effective` returns it.
        attestations: of the round's validators, by organisation.
        silence_counts: whether q close votes declare those who have not attested this attempt to be silent for good.
        aggregate: the aggregate digest A that the caller names. Attestations whose proof does not open with it are not
            counted for a commit; but they still count as possible, so that nobody can force a dispute by a false A.
    """
    current = current_attestations(round_, attestations)
    candidates = [one for one in current if _consistent(round_, one)]
    for leader in candidates:
        winners = [one for one in candidates if one.result == leader.result and proven(one, aggregate)]
        if len(winners) >= round_.q:
            return Decision("commit", tuple(winners))
    silent = 0 if silence_counts else len(round_.validators) - len(current)
    best = max((sum(1 for one in candidates if one.result == leader.result) for leader in candidates), default=0)
    if best + silent >= round_.q:
        return Decision("wait")
    if round_.included is None and any(one.fetched != current[0].fetched for one in current):
        # a list that is still to come can lift an update over the quorum: nothing is left out for being early
        return Decision("wait" if silent else "fix")
    return Decision("dispute")


def current_attestations(round_: Round, attestations: Mapping[str, Attestation]) -> list[Attestation]:
    """Return those of the round's validators and attempt, in the order of the organisations."""
    found = [attestations[organisation] for organisation in round_.validators if organisation in attestations]
    return [one for one in found if one.attempt == round_.attempt]


def proven(attestation: Attestation, aggregate: str | None) -> bool:
    """Whether the organisation had the aggregate digest A when it attested."""
    if aggregate is None:
        return False
    one = attestation
    return one.proof == proof(one.task, one.round, one.attempt, one.organisation, aggregate)


def fetched_by_quorum(
    round_: Round, digests: Mapping[str, str], attestations: Sequence[Attestation]
) -> tuple[str, ...]:
    """Return the participants whose revealed digest stands in at least q of the attestations' fetched lists."""
    return tuple(
        participant
        for participant in round_.set or ()
        if participant in digests and sum(1 for one in attestations if digests[participant] in one.fetched) >= round_.q
    )


def _consistent(round_: Round, attestation: Attestation) -> bool:
    """Where it is fixed what is included, a result must have included or refused exactly that."""
    covered = tuple(sorted((*attestation.included, *attestation.refused)))
    return round_.included is None or covered == round_.included
