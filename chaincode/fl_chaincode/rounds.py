"""Rounds: votes, sealing and reading; commit.py, abort.py and settlement.py hold their ends."""

from collections.abc import Mapping
from types import MappingProxyType

from fl_chaincode import args, lookup
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ABORT, ABORTED, CLOSE, OPEN, Round, Vote
from fl_chaincode.state import Reader, Writer


def vote_reason(what: str, text: str) -> dict[str, str]:
    """Decode the fifth argument of rounds:Vote: ``{"refused":{msp:code}}``."""
    with Fields.of(what, text) as fields:
        return fields.mapping("refused", args.msp_id, args.code)


def vote(
    state: Writer,
    caller: Caller,
    task_id: str,
    number: int,
    kind: str,
    attempt: int,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> Vote:
    """Vote to close, to abort or to settle; a vote to abort can say whose updates are invalid.

    A blind write: it reads nothing that other votes write, so that no two votes ever conflict. A vote for a round or an
    attempt that is not there yet counts when it is, and where it never is, never; a vote of who was voted out of the
    round's validators is not counted.
    """
    if refused and kind != ABORT:
        raise FLError("FL-ARGUMENT-INVALID", "only a vote to abort names refused updates")
    if caller.msp_id not in lookup.task(state, task_id).validators:
        round_ = state.get(Round, task_id, number)  # its validators may have been voted in
        if round_ is None or caller.msp_id not in round_.validators:
            raise FLError("FL-VALIDATOR-OUTSIDE", f"{caller.msp_id} is no validator of round {number}")
    ballot = Vote(task_id, number, kind, attempt, caller.msp_id, dict(refused))
    state.put(ballot)
    return ballot


def seal(state: Writer, _caller: Caller, task_id: str, number: int) -> Round:
    """Seal a round that q validators voted to close, with those who have submitted."""
    stored = lookup.round_record(state, task_id, number)
    if stored.status == ABORTED:
        raise FLError("FL-ROUND-FINAL", f"round {number} is aborted")
    submitted = lookup.submitted(state, stored)
    round_ = stored.effective(submitted)
    if round_.status != OPEN:
        return round_
    votes = len(lookup.voters(state, round_, CLOSE, round_.attempt))
    if votes < round_.q:
        raise FLError("FL-ROUND-VOTES", f"{votes} of {round_.q} votes to close round {number}")
    if len(submitted) < round_.min_updates:
        raise FLError("FL-ROUND-MIN-UPDATES", f"{len(submitted)} of {round_.min_updates} updates are in")
    sealed = round_.sealed(submitted)
    state.put(sealed)
    return sealed


def read(state: Reader, task_id: str, number: int) -> Round:
    """Return a round as the protocol sees it: sealed as soon as every selected participant has submitted."""
    return lookup.effective(state, lookup.round_record(state, task_id, number))


def list_task(state: Reader, task_id: str) -> list[Round]:
    """Return all rounds of a task, each as the protocol sees it."""
    lookup.task(state, task_id)
    return [lookup.effective(state, round_) for round_ in state.scan(Round, task_id)]
