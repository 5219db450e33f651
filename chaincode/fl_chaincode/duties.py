"""What an organisation is to do now, from what tasks:Status has read.

An action is ``{"task","round","function","when":"now|patience"}``, with ``"kind"`` and ``"attempt"`` of a vote. Those
of *now* help the task on at once; those of *patience* are for whoever has waited the task's patience_s for the others:
no rule of the ledger looks at a clock. tasks:Todo adds those of *choice*, see choices.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fl_chaincode.answers import Action
from fl_chaincode.decision import DISPUTE, FIX, current_attestations, decide
from fl_chaincode.records import (
    ABORT,
    CLOSE,
    DISPUTED,
    OPEN,
    RUNNING,
    SETTLE,
    Attestation,
    Head,
    Opening,
    Round,
    Task,
)

NOW, PATIENCE = "now", "patience"


@dataclass(frozen=True)
class Unsettled:
    """A committed round that has not been paid, and what has come in for it."""

    round: Round
    attestations: Mapping[str, Attestation]
    openings: Mapping[str, Opening]
    settle_votes: tuple[str, ...]
    agreeing: tuple[str, ...]  # who has attested the committed result and proven it


@dataclass(frozen=True)
class Standing:
    """A task at one moment.

    Attributes:
        ending: whether the task ends with the present round.
        barred: the selected whose declaration was revoked since.
    """

    task: Task
    head: Head
    round: Round
    submitted: tuple[str, ...]
    revealed: tuple[str, ...]
    votes: Mapping[str, Mapping[int, Sequence[str]]]
    attestations: Mapping[str, Attestation]
    unsettled: tuple[Unsettled, ...]
    ending: bool
    barred: tuple[str, ...]

    def voted(self, kind: str) -> Sequence[str]:
        """Return who has voted so in the round's present attempt."""
        return self.votes.get(kind, {}).get(self.round.attempt, ())


def actions(standing: Standing, organisation: str) -> list[Action]:
    """Return what an organisation is to do in a task, the most urgent first; [] for one that has no part in it."""
    found = [*_settling(standing, organisation)]
    if standing.head.status == RUNNING:
        found += [*_training(standing, organisation), *_validating(standing, organisation)]
    return found


def _training(standing: Standing, me: str) -> Iterator[Action]:
    round_ = standing.round
    if me not in round_.selected or round_.final or me in standing.barred:
        return
    enough = len(round_.selected) >= round_.min_updates and not (standing.ending and not standing.submitted)
    if round_.status == OPEN:
        if me not in standing.submitted and enough:
            yield _action(round_, "updates:Submit")
    elif me in (round_.set or ()) and me not in standing.revealed and round_.included is None:
        yield _action(round_, "updates:Reveal")


def _validating(standing: Standing, me: str) -> Iterator[Action]:
    round_ = standing.round
    if me not in round_.validators or round_.final:
        return
    if len(standing.voted(ABORT)) >= round_.q or (standing.ending and not standing.submitted):
        yield _action(round_, "rounds:Abort")
        return
    yield from (_while_open if round_.status == OPEN else _while_sealed)(standing, me)


def _while_open(standing: Standing, me: str) -> Iterator[Action]:
    round_ = standing.round
    if len(standing.voted(CLOSE)) < round_.q:
        yield from _vote(standing, me, CLOSE)
    elif len(standing.submitted) >= round_.min_updates:
        yield _action(round_, "rounds:Seal")
    else:
        yield from _vote(standing, me, ABORT)


def _while_sealed(standing: Standing, me: str) -> Iterator[Action]:
    round_ = standing.round
    current = {one.organisation: one for one in current_attestations(round_, standing.attestations)}
    results = [one.result for one in current.values()]
    silence_counts = len(standing.voted(CLOSE)) >= round_.q
    stuck = decide(round_, standing.attestations, silence_counts, aggregate=None).kind in (FIX, DISPUTE)
    awaited = round_.set or () if round_.included is None else round_.included
    complete = all(participant in standing.revealed for participant in awaited)
    if any(results.count(result) >= round_.q for result in results) or (stuck and round_.status != DISPUTED):
        yield _action(round_, "rounds:Commit")
    elif me not in current:
        yield _action(round_, "attestations:Submit", NOW if complete else PATIENCE)
    elif round_.status == DISPUTED:
        yield _action(round_, "attestations:Submit")  # sum anew; a correction has the next version
    else:
        yield from _vote(standing, me, CLOSE)
    if round_.status == DISPUTED or me not in current:
        yield from _vote(standing, me, ABORT)


def _settling(standing: Standing, me: str) -> Iterator[Action]:
    idle = NOW if standing.head.status != RUNNING else PATIENCE  # while a task runs, this rides along with other calls
    for one in standing.unsettled:
        round_, mine = one.round, one.attestations.get(me)
        if me not in round_.validators:
            continue
        unopened = [
            organisation
            for organisation in one.agreeing
            if one.attestations[organisation].score_commitment is not None and organisation not in one.openings
        ]
        if mine is None or mine.attempt != round_.attempt:
            yield _action(round_, "attestations:Submit")
        elif mine.score_commitment is not None and me not in one.openings:
            yield _action(round_, "scores:Open", idle)
        elif not unopened or len(one.settle_votes) >= round_.q:
            yield _action(round_, "rounds:Settle", idle)
        elif me not in one.settle_votes:
            yield _action(round_, "rounds:Vote", PATIENCE, kind=SETTLE, attempt=round_.attempt)


def _vote(standing: Standing, me: str, kind: str) -> Iterator[Action]:
    if me not in standing.voted(kind):
        yield _action(standing.round, "rounds:Vote", PATIENCE, kind=kind, attempt=standing.round.attempt)


def _action(round_: Round, function: str, when: str = NOW, **vote: Any) -> Action:
    return cast(Action, {"task": round_.task, "round": round_.number, "function": function, "when": when, **vote})
