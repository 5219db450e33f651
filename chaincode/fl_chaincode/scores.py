"""Scores: committed to with the attestation, opened after the commit, so that no scorer sees another's first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fl_chaincode import args, lookup
from fl_chaincode.answers import ScoreBoard
from fl_chaincode.args import Fields, between
from fl_chaincode.caller import Caller
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.errors import FLError
from fl_chaincode.hashes import score_commitment
from fl_chaincode.records import COMMITTED, Attestation, Model, Opening, Round, Settlement
from fl_chaincode.state import Reader, Writer

_INTEGER = between(-MAX_INTEGER, MAX_INTEGER)


@dataclass(frozen=True)
class OpeningClaim:
    """The third argument of scores:Open: ``{"nonce","scores":{msp:int},"metrics":{name:int}}``."""

    nonce: str
    scores: Mapping[str, int]
    metrics: Mapping[str, int]


def opening_claim(what: str, text: str) -> OpeningClaim:
    with Fields.of(what, text) as fields:
        return _opening(fields)


def numbered_opening(what: str, value: Any) -> tuple[int, OpeningClaim]:
    """Decode an opening inside an attestation, which names its round."""
    with Fields(what, value) as fields:
        return fields.integer("round", 1, args.MAX_NUMBER), _opening(fields)


def _opening(fields: Fields) -> OpeningClaim:
    return OpeningClaim(
        nonce=fields.take("nonce", args.digest),
        scores=fields.mapping("scores", args.msp_id, _INTEGER),
        metrics=fields.mapping("metrics", args.name, _INTEGER),
    )


def open_scores(state: Writer, caller: Caller, task_id: str, number: int, claim: OpeningClaim) -> Opening:
    """Open the caller's score commitment of a committed round.

    An opening that comes after the settlement stays as evidence and pays nobody.
    """
    organisation = caller.msp_id
    opening = Opening(task_id, number, organisation, claim.nonce, claim.scores, claim.metrics)
    if state.get(Opening, task_id, number, organisation) == opening:
        return opening
    round_ = lookup.round_record(state, task_id, number)
    if organisation not in round_.validators:
        raise FLError("FL-VALIDATOR-OUTSIDE", f"{organisation} is no validator of round {number}")
    if round_.status != COMMITTED:
        raise FLError("FL-ROUND-UNCOMMITTED", f"round {number} is not committed")
    attestation = state.get(Attestation, task_id, number, organisation)
    if attestation is None or attestation.score_commitment is None:
        raise FLError("FL-SCORE-UNCOMMITTED", f"{organisation} has committed to no scores in round {number}")
    expected = score_commitment(task_id, number, organisation, claim.nonce, claim.scores, claim.metrics)
    if attestation.score_commitment != expected:
        raise FLError("FL-SCORE-OPENING", f"this does not open what {organisation} committed to in round {number}")
    if any(participant not in (round_.included or ()) for participant in claim.scores):
        raise FLError("FL-SCORE-OPENING", f"a scored update is not included in round {number}")
    state.put(opening)
    return opening


def list_task(state: Reader, task_id: str) -> ScoreBoard:
    """Return what each committed round scored and paid, and how often each trainer's updates were accepted."""
    task = lookup.task(state, task_id)
    settlements = {one.round: one for one in state.scan(Settlement, task_id)}
    rounds = list(state.scan(Round, task_id))
    models = {one.round: one for one in state.scan(Model, task_id)}
    return {
        "task": task.id,
        "rounds": [
            {"round": one.number, "j": one.j, "included": one.included, "settlement": settlements.get(one.number)}
            for one in rounds
            if one.status == COMMITTED
        ],
        "participants": {
            trainer: {
                "selected": sum(1 for one in rounds if trainer in one.selected),
                "accepted": sum(1 for one in models.values() if trainer in one.included),
                "refused": sum(1 for one in models.values() if trainer in one.refused)
                + sum(1 for one in rounds if trainer in one.refused),
                "missed": sum(1 for one in rounds if trainer in one.missed),
                "paid": sum(one.payments.get(trainer, 0) for one in settlements.values()),
            }
            for trainer in task.trainers
        },
    }
