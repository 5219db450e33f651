"""Attestations: what each validator got when it recomputed the round.

An attestation is corrected by its version, so a delayed repetition cannot bring an old one back. After the commit only
an organisation's first one of the committed attempt is taken, as evidence of agreement or dissent.
"""

from dataclasses import dataclass
from typing import Any

from fl_chaincode import args, lookup, scores
from fl_chaincode.answers import Attested
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.hashes import result_digest
from fl_chaincode.records import ABORTED, COMMITTED, OPEN, Attestation, Opening, Reveal, Round
from fl_chaincode.specification import DISTANT
from fl_chaincode.state import Reader, Writer


@dataclass(frozen=True)
class AttestationClaim:
    """The third argument of attestations:Submit.

    ``{"attempt","version","result","included":[msp],"refused":{msp:code},"model","state","fetched":[digest],"proof",
    "score_commitment":hash|null,"openings":[{"round","nonce","scores","metrics"}]}``
    """

    fields: dict[str, Any]  # of the record, beside its key
    openings: tuple[tuple[int, scores.OpeningClaim], ...]  # of earlier rounds


def attestation_claim(what: str, text: str) -> AttestationClaim:
    with Fields.of(what, text) as fields:
        record = {
            "attempt": fields.integer("attempt", 1, args.MAX_NUMBER),
            "version": fields.integer("version", 1),
            "result": fields.take("result", args.digest),
            "included": fields.listed("included", args.msp_id),
            "refused": fields.mapping("refused", args.msp_id, args.code),
            "model": fields.take("model", args.digest),
            "state": fields.take("state", args.digest),
            "fetched": fields.listed("fetched", args.digest),
            "proof": fields.take("proof", args.digest),
            "score_commitment": fields.take("score_commitment", args.nullable(args.digest)),
        }
        openings = fields.take("openings", lambda what, value: args.elements(what, value, scores.numbered_opening))
    numbers = [number for number, _ in openings]
    if len(frozenset(numbers)) != len(numbers):
        raise args.invalid(f"{what}.openings", "of different rounds")
    return AttestationClaim(record, tuple(openings))


def submit_keys(caller: Caller, task_id: str, number: int, claim: AttestationClaim) -> list[str]:
    """Return what submit reads in any case."""
    keys = [Round.key_of(task_id, number), Attestation.key_of(task_id, number, caller.msp_id)]
    for earlier, _ in claim.openings:
        keys.append(Round.key_of(task_id, earlier))
        keys += [kind.key_of(task_id, earlier, caller.msp_id) for kind in (Attestation, Opening)]
    return keys


def submit(state: Writer, caller: Caller, task_id: str, number: int, claim: AttestationClaim) -> Attestation:
    """Attest a SEALED round; openings of earlier rounds ride along."""
    round_ = lookup.effective(state, lookup.round_record(state, task_id, number))
    if caller.msp_id not in round_.validators:
        raise FLError("FL-VALIDATOR-OUTSIDE", f"{caller.msp_id} is no validator of round {number}")
    attestation = Attestation(task=task_id, round=number, organisation=caller.msp_id, **claim.fields)
    stored = state.get(Attestation, task_id, number, caller.msp_id)
    if stored != attestation:
        _check_place(round_, attestation, stored)
        _check_content(state, round_, attestation)
        state.put(attestation)
    for earlier, opening in claim.openings:
        if earlier >= number:
            raise FLError("FL-ROUND-UNCOMMITTED", f"round {earlier} is not earlier than round {number}")
        scores.open_scores(state, caller, task_id, earlier, opening)
    return attestation


def _check_place(round_: Round, attestation: Attestation, stored: Attestation | None) -> None:
    if round_.status == OPEN:
        raise FLError("FL-ROUND-OPEN", f"round {round_.number} still takes updates")
    if round_.status == ABORTED:
        raise FLError("FL-ROUND-FINAL", f"round {round_.number} is aborted")
    if round_.status == COMMITTED and stored is not None and stored.attempt == round_.attempt:
        raise FLError("FL-ROUND-FINAL", f"round {round_.number} is committed, and its attestations stay as they are")
    if attestation.attempt != round_.attempt:
        raise FLError("FL-ATTESTATION-ATTEMPT", f"round {round_.number} is in attempt {round_.attempt}")
    version = stored.version + 1 if stored else 1
    if attestation.version != version:
        raise FLError("FL-ATTESTATION-VERSION", f"the next version is {version}")


def _check_content(state: Writer, round_: Round, attestation: Attestation) -> None:
    one = attestation
    if one.result != result_digest(
        one.task, one.round, one.attempt, round_.base, one.included, one.refused, one.model, one.state
    ):
        raise FLError("FL-ATTESTATION-RESULT", "the result does not follow from the other fields")
    covered = (*one.included, *one.refused)
    if len(frozenset(covered)) != len(covered):
        raise FLError("FL-ATTESTATION-INCLUDED", "a participant is both included and refused")
    reveals = state.get_many(Reveal, [(one.task, one.round, participant) for participant in covered])
    for participant, reveal in zip(covered, reveals, strict=True):
        if reveal is None:  # only those in the round's set can reveal
            raise FLError("FL-ATTESTATION-INCLUDED", f"{participant} has not revealed")
        # an update can be refused unread, for a size that cannot be right
        used = participant in one.included or one.refused.get(participant) == DISTANT
        if used and reveal.digest not in one.fetched:
            raise FLError("FL-ATTESTATION-FETCHED", f"the digest of {participant}'s update is not in fetched")
    if len(one.included) < round_.min_updates:
        weighed = lookup.task(state, one.task).aggregation.weighed(one.included, one.refused)
        if not one.included or weighed < round_.min_updates:
            raise FLError("FL-ROUND-MIN-UPDATES", f"{weighed} of {round_.min_updates} updates are included")
    if one.score_commitment is not None and lookup.task(state, one.task).scoring.rule == "none":
        raise FLError("FL-SCORE-UNUSED", f"task {one.task} is not scored")


def read(state: Reader, task_id: str, number: int, organisation: str) -> Attested:
    """Return one organisation's attestation of a round, and the scores that it opened."""
    lookup.round_record(state, task_id, number)
    stored = state.get(Attestation, task_id, number, organisation)
    if stored is None:
        raise FLError("FL-ATTESTATION-UNKNOWN", f"{organisation} has attested nothing in round {number}")
    return {"attestation": stored, "opening": state.get(Opening, task_id, number, organisation)}


def list_round(state: Reader, task_id: str, number: int) -> list[Attested]:
    """Return all attestations of a round, each with the opened scores."""
    round_ = lookup.round_record(state, task_id, number)
    openings = lookup.openings(state, round_)
    return [
        {"attestation": one, "opening": openings.get(one.organisation)}
        for one in lookup.attestations(state, round_).values()
    ]
