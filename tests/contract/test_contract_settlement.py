"""Openings, settlements and payments on the ledger."""

from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, scored

from fl_chaincode.canonical import H


def settle(scenario: Scenario, number: int = 1) -> dict:
    return scenario.call(ORG3, "rounds:Settle", TASK, number)


def test_a_vote_on_ones_own_update_does_not_count():
    scenario = scored({
        ORG1: {ORG1: 900, ORG2: 10, ORG3: 30},
        ORG2: {ORG1: 20, ORG2: 900, ORG3: 31},
        ORG3: {ORG1: 21, ORG2: 11, ORG3: 900},
    })  # fmt: skip
    answer = settle(scenario)
    assert answer["scores"] == {ORG1: 20, ORG2: 10, ORG3: 30}  # the lower of the two foreign votes
    assert answer["share"] == 100
    assert answer["payments"] == {ORG1: 33, ORG2: 17, ORG3: 50}  # 33 1/3, 16 2/3, 50
    assert answer["scorers"] == [ORG1, ORG2, ORG3]
    assert answer["metrics"] == {"loss": 1}
    assert [scenario.balance(one) for one in scenario.organisations] == [33, 17, 50]
    assert scenario.escrow() == 200
    assert scenario.read("tokens:Entries", ORG2)[0]["cause"] == "settlement/t1/00000001"


def test_settling_again_pays_nobody_twice():
    scenario = scored({one: dict.fromkeys((ORG1, ORG2, ORG3), 1) for one in (ORG1, ORG2, ORG3)})
    answer = settle(scenario)
    assert settle(scenario) == answer
    assert not scenario.wrote
    assert scenario.all_tokens() == (300, 300)


def test_an_update_that_nobody_scored_scores_0_and_earns_nothing():
    scenario = scored({ORG1: {ORG2: 5}, ORG2: {ORG2: 7}, ORG3: {ORG2: 6}})
    answer = settle(scenario)
    assert answer["scores"] == {ORG1: 0, ORG2: 5, ORG3: 0}
    assert answer["payments"] == {ORG2: 66}


def test_one_of_three_scorers_lowers_a_score_but_does_not_raise_it_above_the_others():
    honest, inflated, deflated = {ORG3: 50}, {ORG3: 10**9}, {ORG3: -(10**9)}
    raised = scored({ORG1: inflated, ORG2: honest, ORG3: {}})
    assert settle(raised)["scores"][ORG3] == 50
    lowered = scored({ORG1: deflated, ORG2: honest, ORG3: {}})
    assert settle(lowered)["scores"][ORG3] == -(10**9)


def test_a_round_is_not_settled_before_it_is_committed():
    scenario = Scenario()
    scenario.create()
    scenario.refused("FL-ROUND-UNCOMMITTED", ORG1, "rounds:Settle", TASK, 1)
    scenario.refused("FL-ROUND-UNKNOWN", ORG1, "rounds:Settle", TASK, 2)


def withheld() -> Scenario:
    """A committed round in which Org3 has committed to scores and does not open them."""
    scenario = Scenario()
    scenario.create(budget=200)
    scores = {ORG1: 1, ORG2: 1, ORG3: 1}
    scenario.submit_and_reveal(1)
    for who in (ORG1, ORG2, ORG3):
        scenario.attest(who, 1, scores=scores)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    scenario.open(ORG1, 1, scores)
    scenario.open(ORG2, 1, scores)
    return scenario


def test_scores_that_stay_closed_hold_the_settlement_until_q_votes_settle_without_them():
    scenario = withheld()
    scenario.refused("FL-SCORE-UNOPENED", ORG1, "rounds:Settle", TASK, 1)
    scenario.vote("settle", 1, 1, ORG1)
    scenario.vote("settle", 1, 2, ORG2)  # of an attempt that was not committed
    scenario.refused("FL-SCORE-UNOPENED", ORG1, "rounds:Settle", TASK, 1)
    scenario.vote("settle", 1, 1, ORG2)
    assert settle(scenario)["scorers"] == [ORG1, ORG2]


def test_scores_opened_after_the_settlement_stay_as_evidence_and_pay_nobody():
    scenario = withheld()
    scenario.vote("settle", 1, 1, ORG1, ORG2)
    answer = settle(scenario)
    scenario.open(ORG3, 1, {ORG1: 1, ORG2: 1, ORG3: 1})
    assert scenario.read("attestations:Read", TASK, 1, ORG3)["opening"] is not None
    assert settle(scenario) == answer


def test_a_dissenters_scores_neither_count_nor_hold_the_settlement():
    scenario = Scenario()
    scenario.create(budget=200)
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, scores={ORG2: 4, ORG3: 4})
    scenario.attest(ORG2, 1, scores={ORG1: 4, ORG3: 4})
    scenario.attest(ORG3, 1, scores={ORG1: -9, ORG2: -9}, wrong="dissent")
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    scenario.open(ORG1, 1, {ORG2: 4, ORG3: 4})
    scenario.open(ORG2, 1, {ORG1: 4, ORG3: 4})
    assert settle(scenario)["scorers"] == [ORG1, ORG2]


def test_the_scores_of_whoever_copied_an_attestation_do_not_count():
    scenario = Scenario()
    scenario.create(budget=200)
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, scores={ORG2: 4})
    scenario.attest(ORG2, 1, scores={ORG1: 4})
    claim = {**scenario.claim(ORG3, 1, scores={ORG1: 99}), "proof": scenario.claim(ORG1, 1)["proof"]}
    scenario.call(ORG3, "attestations:Submit", TASK, 1, claim)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    for who, scores in ((ORG1, {ORG2: 4}), (ORG2, {ORG1: 4}), (ORG3, {ORG1: 99})):
        scenario.open(who, 1, scores)
    answer = settle(scenario)
    assert (answer["scorers"], answer["scores"]) == ([ORG1, ORG2], {ORG1: 4, ORG2: 4, ORG3: 0})


def test_the_scores_of_whoever_summed_rightly_but_attested_another_model_do_not_count():
    scenario = Scenario()
    scenario.create(budget=200)
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, scores={ORG2: 4})
    scenario.attest(ORG2, 1, scores={ORG1: 4})
    claim = {**scenario.claim(ORG3, 1, wrong="server step"), "proof": scenario.claim(ORG3, 1)["proof"]}
    claim["score_commitment"] = scenario.claim(ORG3, 1, scores={ORG1: 99})["score_commitment"]
    scenario.call(ORG3, "attestations:Submit", TASK, 1, claim)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    for who, scores in ((ORG1, {ORG2: 4}), (ORG2, {ORG1: 4}), (ORG3, {ORG1: 99})):
        scenario.open(who, 1, scores)
    assert settle(scenario)["scorers"] == [ORG1, ORG2]


def test_whoever_did_not_score_does_not_hold_the_settlement():
    scenario = Scenario()
    scenario.create(budget=200)
    scenario.submit_and_reveal(1)
    for who in (ORG1, ORG2):
        scenario.attest(who, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert settle(scenario)["payments"] == {}
    assert scenario.escrow() == 200


def test_a_settlement_rides_along_with_the_next_commit_when_nothing_more_can_come_in():
    scenario = scored({one: dict.fromkeys((ORG1, ORG2, ORG3), 1) for one in (ORG1, ORG2, ORG3)})
    assert scenario.head()["unsettled"] == [1]
    scenario.play(2)
    assert scenario.head()["unsettled"] == [2]
    assert scenario.escrow() == 200
    assert sum(scenario.balance(one) for one in scenario.organisations) == 100


def test_all_settlements_that_are_ready_ride_along_with_one_commit():
    scores = dict.fromkeys((ORG1, ORG2, ORG3), 1)
    scenario = Scenario()
    scenario.create(budget=300, rounds=3)
    scenario.play(1, scores=scores)
    scenario.play(2, scores=scores)
    assert scenario.head()["unsettled"] == [1, 2]
    for number in (1, 2):
        for who in (ORG1, ORG2, ORG3):
            scenario.open(who, number, scores)
    scenario.play(3, scores=scores)
    assert scenario.head()["unsettled"] == [3]
    assert scenario.escrow() == 100
    assert scenario.all_tokens() == (300, 300)


def test_a_settlement_does_not_ride_along_while_a_validator_may_still_attest_or_open():
    scenario = withheld()
    scenario.play(2)
    assert scenario.head()["unsettled"] == [1, 2]
    assert scenario.escrow() == 200


def test_a_settlement_does_not_ride_along_while_a_validator_has_not_attested():
    scenario = Scenario()
    scenario.create(budget=200)
    scenario.submit_and_reveal(1)
    for who in (ORG1, ORG2):
        scenario.attest(who, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    scenario.play(2)
    assert scenario.head()["unsettled"] == [1, 2]


def test_at_the_end_of_the_task_what_nobody_earned_returns_to_the_sponsor():
    opened = {one: {ORG1: 0, ORG2: 1, ORG3: 0} for one in (ORG1, ORG2, ORG3)}
    scenario = scored(opened, budget=100, rounds=1)
    assert (scenario.head()["status"], scenario.escrow(), scenario.balance(ORG1)) == ("finished", 100, 0)
    settle(scenario)
    assert (scenario.escrow(), scenario.balance(ORG1), scenario.balance(ORG2)) == (0, 34, 66)
    assert scenario.read("tokens:Entries", ORG1)[0]["cause"] == "task/t1"


def test_the_escrow_returns_only_when_all_committed_rounds_are_settled():
    scores = dict.fromkeys((ORG1, ORG2, ORG3), 1)
    scenario = withheld()
    scenario.play(2, scores=scores)
    for who in (ORG1, ORG2, ORG3):
        scenario.open(who, 2, scores)
    assert scenario.head()["status"] == "finished"
    settle(scenario, 2)
    assert scenario.escrow() == 100
    scenario.open(ORG3, 1, scores)
    settle(scenario, 1)
    assert scenario.escrow() == 0
    assert scenario.all_tokens() == (200, 200)


def test_a_task_without_scoring_settles_with_its_commits():
    scenario = Scenario()
    scenario.create(scoring={"rule": "none"}, rounds=1)
    scenario.play(1)
    assert scenario.head()["unsettled"] == []
    scores = dict.fromkeys((ORG1, ORG2, ORG3), 0)
    assert settle(scenario)["scores"] == scores
    assert not scenario.wrote


# Openings


def committed() -> Scenario:
    scenario = Scenario()
    scenario.create()
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, scores={ORG2: 1})
    scenario.attest(ORG2, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    return scenario


def test_scores_are_opened_once_by_whoever_committed_to_them():
    scenario = committed()
    answer = scenario.open(ORG1, 1, {ORG2: 1})
    assert answer["scores"] == {ORG2: 1}
    assert scenario.open(ORG1, 1, {ORG2: 1}) == answer
    assert not scenario.wrote
    scenario.refused("FL-SCORE-UNCOMMITTED", ORG2, "scores:Open", TASK, 1, scenario.score_opening(ORG2, 1, {}))
    scenario.refused("FL-SCORE-UNCOMMITTED", ORG3, "scores:Open", TASK, 1, scenario.score_opening(ORG3, 1, {}))


def test_scores_other_than_those_committed_to_are_refused():
    scenario = committed()
    opening = scenario.score_opening(ORG1, 1, {ORG2: 1})
    for change in ({"scores": {ORG2: 2}}, {"nonce": H("guess")}, {"metrics": {}}, {"scores": {ORG2: 1, ORG3: 0}}):
        scenario.refused("FL-SCORE-OPENING", ORG1, "scores:Open", TASK, 1, {**opening, **change})


def test_scores_of_an_update_that_is_not_included_cannot_be_opened():
    scenario = Scenario()
    scenario.create()
    scenario.submit_and_reveal(1)
    for who in (ORG1, ORG2):
        scenario.attest(who, 1, scores={ORG3: 1}, included=[ORG1, ORG2])
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1, [ORG1, ORG2]))
    scenario.refused("FL-SCORE-OPENING", ORG1, "scores:Open", TASK, 1, scenario.score_opening(ORG1, 1, {ORG3: 1}))


def test_nothing_is_opened_before_the_commit_or_by_others_than_validators():
    scenario = Scenario(4)
    scenario.create()
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, scores={ORG2: 1})
    opening = scenario.score_opening(ORG1, 1, {ORG2: 1})
    scenario.refused("FL-ROUND-UNCOMMITTED", ORG1, "scores:Open", TASK, 1, opening)
    scenario.refused("FL-VALIDATOR-OUTSIDE", ORG4, "scores:Open", TASK, 1, opening)


def test_the_scores_of_a_task_list_rounds_settlements_and_what_became_of_each_trainers_updates():
    scenario = scored({one: {ORG1: 1, ORG2: 1, ORG3: 1} for one in (ORG1, ORG2, ORG3)})
    settle(scenario)
    for one in (ORG1, ORG2):
        scenario.submit(one, 2)
    scenario.vote("abort", 2, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 2)
    scenario.submit_and_reveal(3)
    for one in (ORG1, ORG2):
        scenario.attest(one, 3, included=[ORG1, ORG2], refused={ORG3: "FL-NAN"})
    scenario.call(ORG1, "rounds:Commit", TASK, 3, scenario.aggregate(3, [ORG1, ORG2]))
    listed = scenario.read("scores:List", TASK)
    assert [(one["round"], one["j"], one["settlement"] is not None) for one in listed["rounds"]] == [
        (1, 1, True),
        (3, 2, False),
    ]
    assert listed["participants"][ORG3] == {"selected": 4, "accepted": 1, "refused": 1, "missed": 1, "paid": 33}
    assert listed["participants"][ORG1] == {"selected": 4, "accepted": 2, "refused": 0, "missed": 0, "paid": 34}
