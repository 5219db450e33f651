"""Rounds under stress, through the loops that organisations really run; the rules are the real ones, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from organisations import BUDGET, ORGANISATIONS, TASK, Consortium, FlippedBit

from fabric_fl import trainer
from fabric_fl.aggregation import AggregationWorker
from fabric_fl.ledger import FLLedger, LedgerRefused
from fabric_fl.participant import NotNamedError
from fl_chaincode.records import ABORTED, CANCELLED, COMMITTED, FINISHED

ORG1, ORG2, ORG3 = ORGANISATIONS


def once(step: str, number: int, act: Callable[[], Any]) -> Callable[[str, str, int], None]:
    """Acts once, when a participant has taken this step of this round."""
    left = [act]

    def observe(taken: str, _task: str, of: int) -> None:
        if (taken, of) == (step, number) and left:
            left.pop()()

    return observe


def balances(ledger: FLLedger) -> int:
    return sum(ledger.balance(msp_id) for msp_id in ORGANISATIONS)


def carry(consortium: Consortium, kind: str, subject: str, request: str) -> None:
    for one in (ORG1, ORG2):
        consortium.ledgers[one].vote_on_motion(request, kind, subject)


def test_a_task_that_has_learnt_enough_ends_long_before_its_maximum_of_rounds(consortium: Consortium) -> None:
    consortium.create_task(rounds=50, k=3, stop={"metric": "loss", "direction": "min", "target": 690_000})
    consortium.run()
    ledger = consortium.ledgers[ORG1]
    head = ledger.status(TASK).head
    assert (head.status, head.stopped) == (FINISHED, "target")
    scored = [one.settlement for one in ledger.scores(TASK).rounds]
    below = [one.j for one in scored if one is not None and one.metrics["loss"] <= 690_000]
    assert below
    assert below[0] <= head.j <= below[0] + 2  # openings ride along with the next rounds
    assert balances(ledger) == BUDGET
    assert {one.digest for one in consortium.models.values()} == {head.model}


def test_a_sponsor_cancels_and_what_was_committed_is_paid_before_the_rest_returns(consortium: Consortium) -> None:
    consortium.create_task(rounds=50, k=3)
    ledger = consortium.ledgers[ORG1]
    cancels = once("committed", 2, lambda: ledger.cancel_task(TASK))
    consortium.run([consortium.participant(one, on_step=cancels) for one in ORGANISATIONS])
    status = ledger.status(TASK)
    assert (status.head.status, status.state, status.unsettled) == (CANCELLED, "cancelled", ())
    assert status.head.j in (2, 3)  # round 3 was open when the sponsor called: it ends, or nobody had begun it
    paid = sum(sum(one.settlement.payments.values()) for one in ledger.scores(TASK).rounds if one.settlement)
    assert 0 < paid <= BUDGET * 3 // 50
    assert balances(ledger) == BUDGET
    assert len(consortium.models) == 3


def test_who_is_suspended_in_the_middle_of_a_round_waits_and_goes_on_when_it_is_reinstated(
    consortium: Consortium,
) -> None:
    consortium.create_task(rounds=4, k=3, min_updates=2)
    suspends = once("journaled", 1, lambda: carry(consortium, "suspend", ORG3, "out"))
    reinstates = once("committed", 2, lambda: carry(consortium, "reinstate", ORG3, "in"))
    others = [consortium.participant(one, on_step=reinstates) for one in (ORG1, ORG2)]
    consortium.run([*others, consortium.participant(ORG3, on_step=suspends)])
    ledger = consortium.ledgers[ORG1]
    included = [ledger.model(TASK, j).included for j in (1, 2, 3, 4)]
    assert included[:2] == [(ORG1, ORG2)] * 2
    assert included[3] == ORGANISATIONS
    assert consortium.models[ORG3].digest == ledger.latest_model(TASK).digest


def test_a_trainer_that_withdrew_before_is_told_so_at_once(consortium: Consortium) -> None:
    consortium.create_task()
    consortium.ledgers[ORG3].withdraw()
    with consortium.participant(ORG3) as late, pytest.raises(LedgerRefused, match="Org3MSP has withdrawn"):
        late.run(TASK)


def test_validators_that_are_voted_in_take_over_with_the_next_round(consortium: Consortium) -> None:
    consortium.create_task(rounds=4, k=3, validators=[ORG1, ORG2], q=2)

    def elect() -> None:
        for one in (ORG1, ORG2):
            consortium.ledgers[one].elect(TASK, 0, [ORG2, ORG3], 2)

    parts = [consortium.participant(one, on_step=once("journaled", 2, elect)) for one in (ORG1,)]
    consortium.run([*parts, consortium.participant(ORG2), consortium.participant(ORG3)])
    ledger = consortium.ledgers[ORG1]
    attested = [ledger.model(TASK, j).attested_by for j in (1, 2, 3, 4)]
    assert attested == [(ORG1, ORG2)] * 2 + [(ORG2, ORG3)] * 2
    assert ledger.status(TASK).unsettled == ()  # who was voted out has opened what it owed
    assert [len(one.settlement.scorers) for one in ledger.scores(TASK).rounds if one.settlement] == [2] * 4


def test_who_has_no_part_yet_may_wait_for_its_election_and_others_are_told(consortium: Consortium) -> None:
    consortium.create_task(rounds=3, k=2, trainers=[ORG1, ORG2], validators=[ORG1, ORG2], q=2)
    with consortium.participant(ORG3) as stranger, pytest.raises(NotNamedError):
        stranger.run(TASK)
    for one in (ORG1, ORG2):
        consortium.ledgers[one].elect(TASK, 0, [ORG2, ORG3], 2)
    consortium.run()
    ledger = consortium.ledgers[ORG1]
    assert [ledger.model(TASK, j).attested_by for j in (1, 2, 3)] == [(ORG1, ORG2), (ORG2, ORG3), (ORG2, ORG3)]


def test_a_trainer_whose_declaration_was_revoked_before_is_warned(
    consortium: Consortium, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = consortium.ledgers[ORG3]
    consortium.ledgers[ORG1].init_consortium()
    for one in ORGANISATIONS:
        consortium.ledgers[one].register(one)
        consortium.ledgers[one].declare("sepsis", 1, digest="d" * 64, num_examples=1000)
    consortium.create_task(rounds=1, k=3, min_updates=2, purpose="sepsis")
    ledger.revoke("sepsis", 1)
    consortium.run()
    warned = [one.getMessage() for one in caplog.records if "declaration" in one.getMessage()]
    expected = "Org3MSP has no valid declaration for sepsis and is not selected: `fabric-fl participant declare`"
    assert warned == [expected]
    assert ledger.model(TASK, 1).included == (ORG1, ORG2)


def test_a_trainer_that_reveals_nonsense_does_not_hold_up_a_task_that_needs_every_update(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium.create_task(rounds=2, k=2, min_updates=2)
    ledger = consortium.ledgers[ORG1]
    bad = ledger.status(TASK).round.selected[0]
    honest = trainer.make_update

    def make_update(trained: Any, **fields: Any) -> Any:
        blob = honest(trained, **fields)
        if fields["participant"] != bad:
            return blob
        return dataclasses.replace(blob, header=dataclasses.replace(blob.header, base="0" * 64))

    monkeypatch.setattr(trainer, "make_update", make_update)
    consortium.run()
    rounds = ledger.rounds(TASK)
    assert rounds[0].status == ABORTED
    assert dict(rounds[0].refused) == {bad: "FL-BLOB-HEADER"}
    assert rounds[1].moved == (bad,)
    assert [one.status for one in rounds].count(COMMITTED) == 2
    assert len(rounds) <= 4  # at most one run of each model with it
    assert all(bad not in ledger.model(TASK, j).included for j in (1, 2))


def test_nobody_answers_until_somebody_does(consortium: Consortium) -> None:
    consortium.create_task(rounds=1, trainers=[ORG3], validators=[ORG1, ORG2], k=1, min_updates=1)
    ledger = consortium.ledgers[ORG1]
    validators = [consortium.participant(one) for one in (ORG1, ORG2)]
    consortium.run(validators, until=lambda: len(ledger.rounds(TASK)) >= 3)
    first, second = ledger.rounds(TASK)[:2]
    assert (first.status, first.missed, second.status) == (ABORTED, (ORG3,), ABORTED)
    consortium.run()
    assert ledger.model(TASK, 1).included == (ORG3,)
    assert {one.j for one in ledger.rounds(TASK)} == {1}


def test_a_dispute_ends_when_the_side_that_was_wrong_starts_again_with_its_mistake_mended(
    consortium: Consortium, worker: AggregationWorker
) -> None:
    consortium.create_task(validators=[ORG1, ORG2], q=2, rounds=1, patience_s=3600)
    ledger = consortium.ledgers[ORG3]
    wrong = consortium.participant(ORG2, worker=FlippedBit(worker))
    parts = [consortium.participant(ORG1), wrong, consortium.participant(ORG3)]
    consortium.run(parts, until=lambda: ledger.status(TASK).round.status == "disputed")
    consortium.run()
    corrected = ledger.attestation(TASK, 1, ORG2).attestation
    assert corrected.version == 2
    assert corrected.result == ledger.model(TASK, 1).result
    assert ledger.status(TASK).finished


def test_a_revocation_in_the_middle_of_a_round_keeps_the_data_out_and_marks_what_it_went_into(
    consortium: Consortium,
) -> None:
    consortium.ledgers[ORG1].init_consortium()
    for one in ORGANISATIONS:
        consortium.ledgers[one].register(one)
        consortium.ledgers[one].declare("sepsis", 1, digest="d" * 64, num_examples=1000)
    consortium.create_task(rounds=3, k=3, min_updates=2, purpose="sepsis")
    revokes = once("journaled", 2, lambda: consortium.ledgers[ORG3].revoke("sepsis", 1))
    consortium.run(
        [consortium.participant(ORG1), consortium.participant(ORG2), consortium.participant(ORG3, on_step=revokes)]
    )
    models = consortium.ledgers[ORG1].models(TASK)
    assert [one.included for one in models[1:]] == [ORGANISATIONS, (ORG1, ORG2), (ORG1, ORG2)]
    mark = {"participant": ORG3, "purpose": "sepsis", "number": 1, "j": 1}
    assert [one.revoked for one in models] == [(), (mark,), (mark,), (mark,)]
