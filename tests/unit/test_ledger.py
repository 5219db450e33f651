"""The contract's typed face: every function, on the real rules in memory."""

import json
import threading

import pytest

from fabric_fl.errors import FabricFLError
from fabric_fl.ledger import FLLedger, LedgerFormatError, LedgerRefused
from fabric_fl.memory_ledger import MemoryLedger
from fl_chaincode.canonical import H
from fl_chaincode.functions import FUNCTIONS
from fl_chaincode.hashes import aggregate_digest, proof, result_digest, score_commitment, update_commitment
from fl_chaincode.records import Update

ORGANISATIONS = ("Org1MSP", "Org2MSP", "Org3MSP")
NONCE = "0" * 64
BUDGET = 90
SPEC = {
    "schema": 1,
    "id": "t1",
    "trainers": list(ORGANISATIONS),
    "validators": list(ORGANISATIONS),
    "q": 2,
    "k": 2,
    "min_updates": 2,
    "rounds": 1,
    "patience_s": 30,
    "model": {"kind": "numpy-mlp", "architecture": "{}", "loss": "log_loss", "initial": H("initial"), "size": 64},
    "training": {"optimizer": "sgd", "learning_rate": "0.05", "epochs": 1, "batch_size": 16},
    "server": {"step": "fedavg", "learning_rate": "1"},
    "quantisation": {"f": 24, "bound": 2**27},
    "max_examples": 1000,
    "aggregation": {"rule": "none"},
    "scoring": {"rule": "leave-one-out", "cap_percent": 200},
    "budget": BUDGET,
    "horizon_rounds": 10,
}


@pytest.fixture
def chain():
    return MemoryLedger(ORGANISATIONS)


@pytest.fixture
def clients(chain):
    clients = {msp_id: chain.client(msp_id) for msp_id in ORGANISATIONS}
    clients["Org1MSP"].init_consortium()
    for number, client in enumerate(clients.values(), start=1):
        client.register(f"Hospital {number}", "cases")
    return clients


def fund_and_create(clients, **changes):
    for client in clients.values():
        client.issue("first", "Org1MSP", 100)
    one = clients["Org1MSP"]
    return one.create_task({**SPEC, **changes}, inputs=[entry.id for entry in one.entries("Org1MSP")])


def submit_and_reveal(clients):
    round_ = clients["Org1MSP"].round("t1", 1)
    for msp_id in round_.selected:
        digest = H("blob", msp_id)
        commitment = update_commitment("t1", 1, msp_id, round_.base, 10, digest, NONCE)
        clients[msp_id].submit_update("t1", 1, commitment)
    for msp_id in round_.selected:
        digest = H("blob", msp_id)
        clients[msp_id].reveal_update("t1", 1, digest=digest, size=99, num_examples=10, nonce=NONCE)
    return round_


def attest(client, msp_id, round_, aggregate, scores=None, model="model"):
    status = client.status("t1")
    model, state = H(model), H("state")
    included = sorted(round_.selected)
    result = result_digest("t1", 1, status.round.attempt, round_.base, included, {}, model, state)
    commitment = None if scores is None else score_commitment("t1", 1, msp_id, NONCE, scores, {"loss": 5})
    return client.attest(
        "t1",
        1,
        {
            "attempt": status.round.attempt,
            "version": 1,
            "result": result,
            "included": included,
            "refused": {},
            "model": model,
            "state": state,
            "fetched": sorted(reveal.digest for reveal in status.reveals.values()),
            "proof": proof("t1", 1, status.round.attempt, msp_id, aggregate),
            "score_commitment": commitment,
            "openings": [],
        },
    )


def test_a_round_from_creation_to_payment_in_records(clients):
    one = clients["Org1MSP"]
    assert [participant.name for participant in one.participants()] == ["Hospital 1", "Hospital 2", "Hospital 3"]
    assert one.participant("Org2MSP").description == "cases"
    assert one.consortium().organisations == ORGANISATIONS

    task = fund_and_create(clients)
    assert (task.sponsor, task.model.kind, one.task("t1"), one.tasks()) == ("Org1MSP", "numpy-mlp", task, (task,))
    assert (one.supply(), one.balance("Org1MSP")) == (100, 100 - BUDGET)

    round_ = submit_and_reveal(clients)
    status = one.status("t1")
    assert status.sealed
    assert not status.stuck
    assert not status.finished
    assert (status.round.status, status.round.attempt) == ("sealed", 1)
    assert status.submitted == tuple(sorted(round_.selected))
    author = round_.selected[0]
    assert (status.reveals[author].size, status.reveals[author].num_examples) == (99, 10)
    assert one.update("t1", 1, author).reveal.digest == status.reveals[author].digest
    assert [update.participant for update, _ in one.updates("t1", 1)] == sorted(round_.selected)

    aggregate = aggregate_digest(b"sum")
    first, second = round_.selected
    everyones = {first: 2_000_000, second: 1_000_000}
    for msp_id, client in clients.items():
        attest(client, msp_id, round_, aggregate, everyones)
    assert set(one.status("t1").attestations) == set(ORGANISATIONS)
    assert one.commit("t1", 1, aggregate).status == "committed"
    model = one.model("t1", 1)
    assert one.latest_model("t1") == model
    assert (model.digest, model.aggregate, model.round) == (H("model"), aggregate, 1)

    status = one.status("t1")
    assert status.finished
    (unsettled,) = status.unsettled
    assert (unsettled.round.number, set(unsettled.attestations), unsettled.openings) == (1, set(ORGANISATIONS), {})
    for client in clients.values():
        opening = client.open_scores("t1", 1, nonce=NONCE, scores=everyones, metrics={"loss": 5})
    assert opening.metrics == {"loss": 5}
    assert one.attestation("t1", 1, "Org1MSP").opening is not None
    assert len(one.attestations("t1", 1)) == 3

    settlement = one.settle("t1", 1)
    # the share is the whole budget, 2 to 1 by score; the cap, twice the equal share, is 90
    assert dict(settlement.payments) == {first: 60, second: 30}
    board = one.scores("t1")
    assert (board.rounds[0].settlement, board.rounds[0].included) == (settlement, tuple(sorted(round_.selected)))
    assert (board.participants[first].accepted, board.participants[first].paid) == (1, 60)
    assert [each.number for each in one.rounds("t1")] == [1]


def test_tokens_move_by_named_entries(clients):
    fund_and_create(clients)
    one = clients["Org1MSP"]
    (change,) = one.entries("Org1MSP")
    transfer = one.transfer("pay-1", [change.id], "Org2MSP", 4)
    assert transfer.amount == 4
    assert one.transfer("pay-1", [change.id], "Org2MSP", 4) == transfer
    assert (one.balance("Org2MSP"), one.balance("Org1MSP")) == (4, 6)


def test_a_round_without_enough_updates_is_closed_and_aborted_by_votes(clients):
    fund_and_create(clients)
    for msp_id in ("Org1MSP", "Org2MSP"):
        vote = clients[msp_id].vote("t1", 1, "close", 0)
        assert (vote.kind, vote.attempt, vote.organisation) == ("close", 0, msp_id)
    with pytest.raises(LedgerRefused) as caught:
        clients["Org1MSP"].seal("t1", 1)
    assert caught.value.code == "FL-ROUND-MIN-UPDATES"
    for msp_id in ("Org1MSP", "Org2MSP"):
        clients[msp_id].vote("t1", 1, "abort", 0)
    assert clients["Org3MSP"].status("t1").votes == {
        "abort": {0: ("Org1MSP", "Org2MSP")},
        "close": {0: ("Org1MSP", "Org2MSP")},
    }
    assert clients["Org3MSP"].abort("t1", 1).status == "aborted"
    assert clients["Org3MSP"].status("t1").round.number == 2


def test_a_round_is_stuck_when_no_result_can_reach_the_quorum(clients):
    fund_and_create(clients)
    round_ = submit_and_reveal(clients)
    aggregate = aggregate_digest(b"sum")
    for number, (msp_id, client) in enumerate(clients.items()):
        assert not client.status("t1").stuck
        attest(client, msp_id, round_, aggregate, model=f"model {number}")
    assert clients["Org1MSP"].status("t1").stuck


def test_every_function_of_the_contract_has_a_method(chain, clients):
    called = set()

    class Listening:
        def submit(self, name, *args):
            called.add(name)
            raise LedgerRefused("FL-TASK-UNKNOWN", "listening")

        evaluate = submit

    ledger = FLLedger(Listening())
    calls = [
        ledger.init_consortium, ledger.consortium, lambda: ledger.register("n"), lambda: ledger.participant("m"),
        ledger.participants, lambda: ledger.create_task({}), lambda: ledger.task("t"), ledger.tasks,
        lambda: ledger.status("t"), lambda: ledger.submit_update("t", 1, "c"),
        lambda: ledger.reveal_update("t", 1, digest="d", size=1, num_examples=1, nonce="n"),
        lambda: ledger.update("t", 1, "m"), lambda: ledger.updates("t", 1), lambda: ledger.vote("t", 1, "close", 0),
        lambda: ledger.seal("t", 1), lambda: ledger.commit("t", 1), lambda: ledger.abort("t", 1),
        lambda: ledger.settle("t", 1), lambda: ledger.round("t", 1), lambda: ledger.rounds("t"),
        lambda: ledger.attest("t", 1, {}), lambda: ledger.attestation("t", 1, "m"),
        lambda: ledger.attestations("t", 1), lambda: ledger.model("t", 1), lambda: ledger.latest_model("t"),
        lambda: ledger.open_scores("t", 1, nonce="n", scores={}, metrics={}), lambda: ledger.scores("t"),
        lambda: ledger.issue("r", "m", 1), lambda: ledger.transfer("r", [], "m", 1), lambda: ledger.balance("m"),
        lambda: ledger.entries("m"), ledger.supply,
        lambda: ledger.approve("r", "m", 1, expected=0), lambda: ledger.transfer_from("r", "m", [], "n", 1),
        lambda: ledger.allowance("m", "n"), lambda: ledger.publish_prices("r", {}), lambda: ledger.prices("m"),
        lambda: ledger.place_order("r", [], provider="m", service="s", version=1, quantity=1, job="j"),
        lambda: ledger.confirm_order("o"), lambda: ledger.refund_order("m", "o"), lambda: ledger.order("m", "o"),
        lambda: ledger.vote_on_order("m", "o", "settle"), lambda: ledger.decide_order("m", "o", "settle"),
        lambda: ledger.make_offer("r", [], amount=1, price=1, currency="EUR"), lambda: ledger.withdraw_offer("o"),
        lambda: ledger.take_offer("m", "o", "n"), lambda: ledger.confirm_offer("o", "n"),
        lambda: ledger.cancel_offer("m", "o"), lambda: ledger.vote_on_offer("m", "o", "settle"),
        lambda: ledger.decide_offer("m", "o", "settle"), lambda: ledger.offer("m", "o"), ledger.volumes,
        ledger.todo, lambda: ledger.cancel_task("t"), lambda: ledger.elect("t", 0, [], 1),
        lambda: ledger.electorate("t"), lambda: ledger.models("t"), lambda: ledger.vote_on_motion("r", "add", "m"),
        lambda: ledger.retract_vote("r"),
        lambda: ledger.motion("r"), ledger.motions, lambda: ledger.update_profile(name="n"), ledger.suspend,
        ledger.reinstate, ledger.withdraw, lambda: ledger.declare("p", 1, digest="d", num_examples=1),
        lambda: ledger.revoke("p", 1), lambda: ledger.declaration("m", "p", 1), lambda: ledger.declarations("m"),
        lambda: ledger.record("k"), lambda: ledger.page(Update), lambda: list(ledger.history("k")), ledger.describe,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(LedgerRefused):
            call()
    assert called == set(FUNCTIONS)


def test_a_refusal_carries_the_contracts_code_and_its_remedy(clients):
    with pytest.raises(LedgerRefused) as caught:
        clients["Org1MSP"].task("no-such-task")
    assert caught.value.code == "FL-TASK-UNKNOWN"
    assert "tasks:List" in caught.value.remedy
    assert str(caught.value).startswith("FL-TASK-UNKNOWN: ")


def test_a_certificate_without_the_role_is_refused(chain, clients):
    with pytest.raises(LedgerRefused) as caught:
        chain.client("Org1MSP", roles=["trainer"]).create_task(SPEC)
    assert caught.value.code == "FL-CALLER-ROLE"


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"schema":2}', b'{"schema":1,"organisations":[],"more":1}', b"1.5"])
def test_an_answer_of_another_version_is_refused_with_the_remedy(answer):
    class Newer:
        def evaluate(self, _name, *_args):
            return answer

    with pytest.raises(LedgerFormatError) as caught:
        FLLedger(Newer()).consortium()
    assert "upgrade" in caught.value.remedy


def test_events_tell_of_one_task_from_now_on_and_can_be_closed(chain, clients):
    one = clients["Org1MSP"]
    events = one.events("t1")
    fund_and_create(clients)
    one.vote("t1", 1, "close", 0)
    everything = one.events()
    clients["Org2MSP"].vote("t1", 1, "close", 0)
    assert next(iter(everything)) == ("rounds:Vote", {"task": "t1", "round": 1})
    everything.close()
    assert list(everything) == []

    seen = []
    three = threading.Event()

    def read():
        for name, _ in events:
            seen.append(name)
            if len(seen) == 3:
                three.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert three.wait(5)
    events.close()
    reader.join(5)
    assert not reader.is_alive()
    assert seen == ["tasks:Create", "rounds:Vote", "rounds:Vote"]


def test_a_ledger_without_events_says_so():
    with pytest.raises(FabricFLError, match="without events"):
        FLLedger(object()).events()


def test_arguments_travel_as_canonical_json():
    sent = []

    class Listening:
        def submit(self, *call):
            sent.append(call)
            return json.dumps({"schema": 1, "task": "t", "number": 1}).encode()

    with pytest.raises(LedgerFormatError):
        FLLedger(Listening()).open_scores("t", 3, nonce="n", scores={"b": 1, "a": 2}, metrics={})
    assert sent == [("scores:Open", "t", "3", '{"metrics":{},"nonce":"n","scores":{"a":2,"b":1}}')]
