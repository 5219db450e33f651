"""Rounds: votes, sealing, abort and the order of selection."""

import hashlib

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, Scenario, examples, specification
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode.canonical import H
from fl_chaincode.records import Head, Round
from fl_chaincode.selection import move, order


@pytest.fixture
def scenario() -> Scenario:
    scenario = Scenario()
    scenario.create()
    return scenario


def rank(j: int, base: str, participant: str) -> bytes:
    """The selection hash, written out as PROTOCOL.md §1 and §2 describe it."""
    fields = [b"fl/select/v1", TASK.encode(), str(j).encode(), base.encode(), participant.encode()]
    return hashlib.sha256(b"".join(len(one).to_bytes(8, "big") + one for one in fields)).digest()


# Votes


def test_a_vote_is_recorded_under_its_kind_and_attempt(scenario):
    answer = scenario.call(ORG2, "rounds:Vote", TASK, 1, "close", 0)
    about = {"schema": 1, "task": TASK, "round": 1, "kind": "close", "attempt": 0, "organisation": ORG2}
    assert answer == {**about, "refused": {}}


def test_a_vote_reads_only_the_immutable_task_and_the_voters_own_record(scenario):
    transaction = scenario.endorse(ORG2, "rounds:Vote", TASK, 1, "abort", 1)
    assert sorted(transaction.state.reads) == ["participant/Org2MSP", "task/t1"]
    assert list(transaction.state.writes) == ["vote/t1/00000001/abort/00000001/Org2MSP"]


def test_an_organisation_that_is_no_validator_of_the_task_does_not_vote():
    scenario = Scenario(4)
    scenario.create()
    scenario.refused("FL-VALIDATOR-OUTSIDE", ORG4, "rounds:Vote", TASK, 1, "close", 0)


def test_a_vote_of_another_kind_is_refused(scenario):
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "rounds:Vote", TASK, 1, "Close", 0)
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "rounds:Vote", TASK, 1, "", 0)


# Sealing


def test_a_round_is_sealed_without_a_transaction_once_all_have_submitted(scenario):
    for one in (ORG1, ORG2):
        scenario.submit(one, 1)
    assert scenario.round(1)["status"] == "open"
    scenario.submit(ORG3, 1)
    assert (scenario.round(1)["status"], scenario.round(1)["attempt"]) == ("sealed", 1)
    assert scenario.read("rounds:List", TASK)[0]["status"] == "sealed"
    scenario.call(ORG1, "rounds:Seal", TASK, 1)
    assert not scenario.wrote


def test_q_close_votes_seal_a_round_with_those_who_have_submitted(scenario):
    scenario.submit(ORG3, 1)
    scenario.submit(ORG1, 1)
    scenario.vote("close", 1, 0, ORG2)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Seal", TASK, 1)
    scenario.vote("close", 1, 0, ORG3)
    answer = scenario.call(ORG1, "rounds:Seal", TASK, 1)
    assert (answer["status"], answer["attempt"], answer["set"]) == ("sealed", 1, [ORG1, ORG3])
    assert scenario.call(ORG2, "rounds:Seal", TASK, 1) == answer
    assert not scenario.wrote


def test_the_same_validator_voting_twice_counts_once(scenario):
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.vote("close", 1, 0, ORG1, ORG1)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Seal", TASK, 1)


def test_votes_of_another_kind_attempt_or_round_do_not_seal(scenario):
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    scenario.vote("close", 1, 1, ORG1, ORG2)
    scenario.vote("close", 2, 0, ORG1, ORG2)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Seal", TASK, 1)


def test_fewer_than_min_updates_are_not_sealed(scenario):
    scenario.submit(ORG1, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    scenario.refused("FL-ROUND-MIN-UPDATES", ORG1, "rounds:Seal", TASK, 1)


def test_an_aborted_round_is_not_sealed(scenario):
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    scenario.refused("FL-ROUND-FINAL", ORG1, "rounds:Seal", TASK, 1)


def test_anybody_may_seal_commit_and_abort_without_a_role_or_a_registration(scenario):
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    assert scenario.call("StrangerMSP", "rounds:Seal", TASK, 1)["status"] == "sealed"


# Abort


def test_q_abort_votes_end_the_run_and_open_the_next_number_on_the_same_base(scenario):
    before = scenario.round(1)
    scenario.vote("abort", 1, 0, ORG1)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 1)
    scenario.vote("abort", 1, 0, ORG2)
    answer = scenario.call(ORG3, "rounds:Abort", TASK, 1)
    assert answer["status"] == "aborted"
    after = scenario.round(2)
    assert (after["j"], after["base"], after["status"], after["attempt"]) == (before["j"], before["base"], "open", 0)
    assert (scenario.head()["round"], scenario.head()["j"]) == (2, 0)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1) == answer
    assert not scenario.wrote


def test_abort_votes_of_the_open_phase_do_not_abort_a_sealed_round(scenario):
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    for one in (ORG1, ORG2, ORG3):
        scenario.submit(one, 1)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 1)
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["set"] == [ORG1, ORG2, ORG3]


def test_a_committed_round_is_not_aborted(scenario):
    scenario.play(1)
    scenario.vote("abort", 1, 1, ORG1, ORG2, ORG3)
    scenario.refused("FL-ROUND-FINAL", ORG1, "rounds:Abort", TASK, 1)


# Selection


def test_the_selected_are_the_first_k_in_the_order_of_the_selection_hash():
    scenario = Scenario(5)
    scenario.create(trainers=list(scenario.organisations), k=3)
    expected = sorted(scenario.organisations, key=lambda one: rank(1, H("blob"), one))
    assert scenario.round(1)["selected"] == expected[:3]


def test_a_rerun_moves_those_who_failed_to_submit_to_the_end():
    scenario = Scenario(5)
    scenario.create(trainers=list(scenario.organisations), k=3)
    a, b, c, d, e = sorted(scenario.organisations, key=lambda one: rank(1, H("blob"), one))
    scenario.submit(b, 1)
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["missed"] == [a, c]
    assert scenario.round(2)["selected"] == [b, d, e]
    assert scenario.round(2)["moved"] == [a, c]

    scenario.submit(d, 2)
    scenario.vote("abort", 2, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 2)
    assert scenario.round(3)["selected"] == [d, a, c]  # then b and e, who failed last
    assert scenario.round(3)["moved"] == [a, c, b, e]

    scenario.vote("abort", 3, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 3)
    assert scenario.round(4)["selected"] == [b, e, d]


def test_a_rerun_moves_those_who_failed_to_reveal_to_the_end():
    scenario = Scenario(5)
    scenario.create(trainers=list(scenario.organisations), k=3)
    a, b, c, d, e = sorted(scenario.organisations, key=lambda one: rank(1, H("blob"), one))
    for one in (a, b, c):
        scenario.submit(one, 1)
    scenario.reveal(b, 1)
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["missed"] == [a, c]
    assert scenario.round(2)["selected"] == [b, d, e]


def test_a_rerun_moves_those_whom_no_quorum_could_fetch_to_the_end():
    scenario = Scenario(5)
    scenario.create(trainers=list(scenario.organisations), k=3, min_updates=1)
    a, b, c, _, _ = sorted(scenario.organisations, key=lambda one: rank(1, H("blob"), one))
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, included=[a, b, c])
    scenario.attest(ORG2, 1, included=[a, c])
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["missed"] == [b]


def test_nobody_is_blamed_for_not_being_fetched_while_fewer_than_q_have_attested(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["missed"] == []


def test_the_next_model_is_made_in_a_fresh_order():
    scenario = Scenario(5)
    scenario.create(trainers=list(scenario.organisations), k=3)
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    scenario.play(2)
    round_ = scenario.round(3)
    assert (round_["j"], round_["moved"]) == (2, [])
    expected = sorted(scenario.organisations, key=lambda one: rank(2, round_["base"], one))
    assert round_["selected"] == expected[:3]


@examples(100)
@given(st.permutations([ORG1, ORG2, ORG3, ORG4, ORG5]), st.lists(st.sets(st.sampled_from(range(3))), max_size=6))
def test_a_rerun_keeps_the_order_of_all_others(active, runs):
    queue = sorted(active, key=lambda one: rank(7, "base", one))
    moved: tuple[str, ...] = ()
    for failed in runs:
        assert order(TASK, 7, "base", active, moved) == queue
        missed = [one for place, one in enumerate(queue) if place in failed]
        queue = [one for one in queue if one not in missed] + missed  # what the protocol says, on the queue itself
        moved = move(moved, missed)
    assert order(TASK, 7, "base", active, moved) == queue


def test_without_active_trainers_a_round_opens_empty_and_can_only_be_aborted(scenario):
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    for one in scenario.organisations:
        scenario.suspend(one)
    scenario.call("StrangerMSP", "rounds:Abort", TASK, 1)
    empty = scenario.round(2)
    assert (empty["selected"], empty["status"], empty["set"]) == ([], "sealed", [])
    for one in scenario.organisations:
        scenario.reinstate(one)
    scenario.refused("FL-ROUND-MIN-UPDATES", ORG1, "attestations:Submit", TASK, 2, scenario.claim(ORG1, 2))
    scenario.vote("abort", 2, 1, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 2)
    assert sorted(scenario.round(3)["selected"]) == [ORG1, ORG2, ORG3]


def test_after_the_last_number_no_round_can_be_opened(scenario):
    last = Round.from_json({**scenario.round(1), "number": 99_999_999})
    scenario.plant(last)
    scenario.plant(Head.from_json({**scenario.head(), "round": last.number}))
    scenario.vote("abort", last.number, 0, ORG1, ORG2)
    scenario.refused("FL-ROUND-LIMIT", ORG1, "rounds:Abort", TASK, last.number)


@pytest.mark.parametrize(
    "number", ["0", "01", "-1", "+1", "1.0", "100000000", "\uff11", "1 ", " 1", "", "1_0", "0x1", "one"]
)
def test_a_number_is_decimal_digits_without_sign_or_leading_zero(scenario, number):
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "rounds:Read", TASK, number)


def test_two_tasks_do_not_touch_each_other(scenario):
    scenario.call(ORG1, "tasks:Create", specification(id="t2"))
    scenario.call(ORG1, "tasks:Create", specification(id="t2-1"))
    scenario.submit_and_reveal(1, "t2-1")
    scenario.vote("close", 1, 0, ORG1, ORG2, task="t2")
    assert scenario.read("updates:List", "t2", 1) == []
    assert scenario.read("tasks:Status", "t2-1")["votes"] == {}
    assert [one["id"] for one in scenario.read("tasks:List")] == ["t1", "t2", "t2-1"]
    assert len(scenario.read("rounds:List", "t2")) == 1
