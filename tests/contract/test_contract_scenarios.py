"""Whole tasks, from the first round to the return of the escrow."""

import json

from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario

SCORES = {ORG1: 30, ORG2: 20, ORG3: 10}


def openings(scenario: Scenario, who: str, number: int) -> list[dict]:
    return [{"round": number, **scenario.score_opening(who, number, SCORES)}]


def test_a_task_in_which_everybody_is_honest_takes_the_promised_transactions():
    scenario = Scenario()
    scenario.create(budget=1000, rounds=4, k=2)
    start, last = scenario.ledger.height, {}
    for number in range(1, 5):
        selected = scenario.round(number)["selected"]
        scores = {one: SCORES[one] for one in selected}
        scenario.submit_and_reveal(number)
        for who in scenario.organisations:
            earlier = [{"round": number - 1, **scenario.score_opening(who, number - 1, last)}] if number > 1 else []
            scenario.attest(who, number, scores=scores, openings=earlier)
        scenario.call(ORG1, "rounds:Commit", TASK, number, scenario.aggregate(number))
        last = scores
    assert scenario.ledger.height - start == 4 * (2 + 2 + 3 + 1)  # k Submit, k Reveal, |V| Attest, 1 Commit
    assert (scenario.head()["status"], scenario.head()["unsettled"]) == ("finished", [4])
    for who in scenario.organisations:
        scenario.open(who, 4, last)
    scenario.call(ORG2, "rounds:Settle", TASK, 4)
    assert scenario.escrow() == 0
    assert scenario.all_tokens() == (1000, 1000)
    listed = scenario.read("scores:List", TASK)
    assert [one["settlement"]["share"] for one in listed["rounds"]] == [250] * 4
    assert sum(one["accepted"] for one in listed["participants"].values()) == 8
    assert {one["cause"] for one in scenario.read("tokens:Entries", ORG1)} <= {
        *(f"settlement/t1/0000000{number}" for number in range(1, 5)),
        "task/t1",
    }


def test_a_task_with_a_liar_a_copier_a_dropout_and_an_abort_ends_like_any_other():
    scenario = Scenario()
    scenario.create(budget=900, rounds=3)

    # Round 1: Org3 lies; its dissent stays, and the other two commit.
    scenario.submit_and_reveal(1)
    scenario.attest(ORG3, 1, wrong="a flipped bit", scores=SCORES)
    for who in (ORG1, ORG2):
        scenario.attest(who, 1, scores=SCORES)
    scenario.call(ORG2, "rounds:Commit", TASK, 1, scenario.aggregate(1))

    # Round 2: Org3 never submits; the round is sealed by votes. Org3 then copies Org1's attestation.
    for who in (ORG1, ORG2):
        scenario.submit(who, 2)
    scenario.vote("close", 2, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Seal", TASK, 2)
    for who in (ORG1, ORG2):
        scenario.reveal(who, 2)
    two = [ORG1, ORG2]
    scores = {ORG1: 3, ORG2: 5}
    scenario.attest(ORG1, 2, included=two, scores=scores, openings=openings(scenario, ORG1, 1))
    copied = {**scenario.claim(ORG3, 2, included=two), "proof": scenario.claim(ORG1, 2, included=two)["proof"]}
    scenario.call(ORG3, "attestations:Submit", TASK, 2, copied)
    aggregate = scenario.aggregate(2, two)
    scenario.refused("FL-ROUND-UNDECIDED", ORG3, "rounds:Commit", TASK, 2, aggregate)
    scenario.attest(ORG2, 2, included=two, scores=scores, openings=openings(scenario, ORG2, 1))
    scenario.call(ORG3, "rounds:Commit", TASK, 2, aggregate)
    assert scenario.head()["unsettled"] == [2]  # round 1, attested by all and opened by those who agree, rode along

    # Round 3: nobody reveals; it is aborted, and round 4 makes the same model.
    for who in (ORG1, ORG2, ORG3):
        scenario.submit(who, 3)
    scenario.vote("abort", 3, 1, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 3)
    assert scenario.round(4)["base"] == scenario.round(3)["base"]

    # Round 4: two results of which none can reach the quorum, until Org2 finds its mistake.
    scenario.submit_and_reveal(4)
    scenario.attest(ORG1, 4)
    scenario.attest(ORG2, 4, wrong="a bad disk")
    scenario.vote("close", 4, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Commit", TASK, 4)["status"] == "disputed"
    scenario.attest(ORG2, 4, version=2)
    assert scenario.call(ORG1, "rounds:Commit", TASK, 4, scenario.aggregate(4))["status"] == "committed"

    for who in (ORG1, ORG2):
        scenario.open(who, 2, scores)
    for number in (2, 4):
        scenario.call(ORG3, "rounds:Settle", TASK, number)
    assert (scenario.head()["status"], scenario.head()["j"], scenario.escrow()) == ("finished", 3, 0)
    assert scenario.all_tokens() == (900, 900)
    listed = scenario.read("scores:List", TASK)["participants"]
    assert listed[ORG3] == {"selected": 4, "accepted": 2, "refused": 0, "missed": 2, "paid": 50}
    assert [one["status"] for one in scenario.read("rounds:List", TASK)] == [
        "committed",
        "committed",
        "aborted",
        "committed",
    ]
    models = [scenario.read("models:Read", TASK, j) for j in range(4)]
    assert [one["base"] for one in models[1:]] == [one["digest"] for one in models[:-1]]


def test_a_committed_round_its_model_and_its_settlement_never_change_again():
    scenario = Scenario()
    scenario.create(budget=300, rounds=3)
    scenario.play(1, scores=SCORES)
    for who in scenario.organisations:
        scenario.open(who, 1, SCORES)
    scenario.call(ORG1, "rounds:Settle", TASK, 1)
    final = ("round/t1/00000001", "model/t1/00000001", "settlement/t1/00000001")
    before = [scenario.ledger.state().get(key) for key in final]
    assert None not in before
    scenario.vote("abort", 1, 1, ORG1, ORG2, ORG3)
    scenario.vote("close", 1, 1, ORG1, ORG2, ORG3)
    scenario.refused("FL-ROUND-FINAL", ORG1, "rounds:Abort", TASK, 1)
    for function in ("rounds:Seal", "rounds:Commit", "rounds:Settle"):
        scenario.call(ORG2, function, TASK, 1)
        assert not scenario.wrote
    scenario.play(2, scores=SCORES)
    scenario.play(3, scores=SCORES)
    assert [scenario.ledger.state().get(key) for key in final] == before


def test_every_event_of_a_task_names_its_task_and_round():
    scenario = Scenario()
    scenario.create()
    before = len(scenario.ledger.events)
    scenario.play(1)
    events = [(name, json.loads(payload)) for _, name, payload in scenario.ledger.events[before:]]
    assert all(payload == {"task": TASK, "round": 1} for _, payload in events)
    assert [name for name, _ in events] == (
        ["updates:Submit"] * 3 + ["updates:Reveal"] * 3 + ["attestations:Submit"] * 3 + ["rounds:Commit"]
    )
