"""Records: their JSON, their keys, and the law that unknown ones are refused."""

import dataclasses
import json

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, specification

from fl_chaincode import records
from fl_chaincode.canonical import H
from fl_chaincode.codec import Record
from fl_chaincode.errors import FLError
from fl_chaincode.records import Attestation, Consortium, Entry, Head, Model, Participant, Reveal, Round, Task, Vote

ALL = [one for one in vars(records).values() if isinstance(one, type) and issubclass(one, Record) and one is not Record]
LATER = {  # fields that came after the first release of a record
    Consortium: ("changes",),
    Participant: ("suspended_by",),
    Task: ("purpose", "stop"),
    Head: ("counted", "best", "best_j", "stopped"),
    Round: ("term", "declarations", "refused"),
    Vote: ("refused",),
    Model: ("declarations", "revoked"),
}
PREFIXES = {one.PREFIX: one for one in ALL}


@pytest.fixture(scope="module")
def state() -> dict[str, bytes]:
    """Everything that a played task leaves in the world state."""
    scenario = Scenario()
    scenario.call(ORG1, "consortium:Vote", {"request_id": "m", "kind": "suspend", "subject": ORG3})
    for one in scenario.organisations:
        scenario.declare(one)
    scenario.create(budget=100, purpose="sepsis")
    scenario.call(ORG2, "tasks:Cancel", TASK)
    scenario.call(ORG2, "validators:Vote", TASK, {"term": 0, "validators": [ORG1, ORG2], "q": 2})
    scenario.vote("close", 1, 0, ORG1)
    scores = dict.fromkeys(scenario.organisations, 1)
    scenario.play(1, scores=scores)
    for one in scenario.organisations:
        scenario.open(one, 1, scores)
    scenario.call(ORG1, "rounds:Settle", TASK, 1)
    entry = scenario.read("tokens:Entries", ORG1)[0]
    order = {"request_id": "x", "inputs": [entry["id"]], "to": ORG1, "amount": 1}
    change = scenario.call(ORG1, "tokens:Transfer", order)["outputs"][1]
    trade(scenario, change)
    return dict(scenario.ledger.state().scan("a", "z"))


def trade(scenario: Scenario, entry: str) -> None:
    """Leave a record of every kind that the market has."""
    scenario.call(ORG1, "tokens:Approve", {"request_id": "x", "spender": ORG2, "expected": 0, "amount": 1})
    spending = {"request_id": "x", "owner": ORG1, "inputs": [entry], "to": ORG1, "amount": 1}
    entry = scenario.call(ORG2, "tokens:TransferFrom", spending)["outputs"][1]
    scenario.call(ORG2, "prices:Publish", {"request_id": "x", "services": {"gpu-hour": 1}})
    job = {"provider": ORG2, "service": "gpu-hour", "version": 1, "quantity": 1, "job": "anything"}
    scenario.call(ORG1, "orders:Place", {"request_id": "x", "inputs": [entry], **job})
    scenario.call(ORG1, "orders:Vote", ORG1, "x", "settle")
    entry = scenario.read("tokens:Entries", ORG1)[0]["id"]
    money = {"price": 1, "currency": "EUR", "terms": ""}
    scenario.call(ORG1, "offers:Make", {"request_id": "x", "inputs": [entry], "amount": 1, **money})


def kind_of(key: str) -> type[Record]:
    return PREFIXES[max((prefix for prefix in PREFIXES if (key + "/").startswith(prefix + "/")), key=len)]


def test_a_played_task_leaves_a_record_of_every_kind(state):
    assert {kind_of(key) for key in state} == set(ALL)


def test_every_record_in_the_state_is_canonical_and_lies_under_its_own_key(state):
    for key, data in state.items():
        record = kind_of(key).decode(data)
        assert record.encode() == data
        assert record.key == key
        assert json.loads(data)["schema"] == 1


def test_a_record_of_another_schema_is_refused(state):
    for key, data in state.items():
        for schema in (2, 0, None, "1"):
            with pytest.raises(FLError, match="FL-RECORD-SCHEMA"):
                kind_of(key).from_json({**json.loads(data), "schema": schema})


def test_a_record_with_a_field_that_is_not_known_is_refused(state):
    for key, data in state.items():
        with pytest.raises(FLError, match="FL-RECORD-SCHEMA"):
            kind_of(key).from_json({**json.loads(data), "surplus": 1})


def without(data: bytes, field: str) -> dict:
    return {name: item for name, item in json.loads(data).items() if name != field}


def test_a_record_that_lacks_a_field_is_refused(state):
    for key, data in state.items():
        added = LATER.get(kind_of(key), ())
        for field in json.loads(data):
            if field not in added:
                with pytest.raises(FLError, match="FL-RECORD-SCHEMA"):
                    kind_of(key).from_json(without(data, field))


@pytest.mark.parametrize("kind", LATER, ids=lambda kind: kind.__name__)
def test_a_record_from_before_a_field_was_added_reads_as_it_was_meant(state, kind):
    data = next(data for key, data in state.items() if kind_of(key) is kind)
    for field in LATER[kind]:
        old = kind.from_json(without(data, field))
        assert getattr(old, field) in (None, 0, {}, ())


@pytest.mark.parametrize("value", [None, [], 1, "x", {}])
def test_a_part_that_is_not_of_its_form_is_refused(state, value):
    task = json.loads(state[f"task/{TASK}"])
    with pytest.raises(FLError, match="FL-RECORD-SCHEMA"):
        Task.from_json({**task, "model": value})


@pytest.mark.parametrize("value", [None, [], 1, "x"])
def test_what_is_no_object_is_no_record(value):
    with pytest.raises(FLError, match="FL-RECORD-SCHEMA"):
        Consortium.from_json(value)


def test_records_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Consortium(("A",)).organisations = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (Consortium.key_of(), "consortium"),
        (Participant.key_of("Org1MSP"), "participant/Org1MSP"),
        (Round.key_of("t1", 3), "round/t1/00000003"),
        (Reveal.key_of("t1", 99_999_999, "Org1MSP"), "reveal/t1/99999999/Org1MSP"),
        (Vote.key_of("t1", 3, "close", 0, "Org1MSP"), "vote/t1/00000003/close/00000000/Org1MSP"),
        (Attestation.key_of("t1", 3), "attestation/t1/00000003"),
        (Entry.key_of("Org1MSP", "ab"), "token/entry/Org1MSP/ab"),
    ],
)
def test_keys_have_the_form_of_the_design(key, expected):
    assert key == expected


def test_a_task_reads_back_with_its_parts():
    task = Task.from_json({**specification(), "sponsor": ORG1})
    assert task.model.initial == H("blob")
    assert task.trainers == ("Org1MSP", "Org2MSP", "Org3MSP")
    assert Task.decode(task.encode()) == task


def test_a_round_is_sealed_as_soon_as_every_selected_participant_has_submitted():
    scenario = Scenario()
    scenario.create()
    round_ = Round.from_json(scenario.round(1))
    assert round_.effective(("Org1MSP", "Org2MSP")) is round_
    sealed = round_.effective(("Org3MSP", "Org1MSP", "Org2MSP"))
    assert (sealed.status, sealed.attempt, sealed.set) == ("sealed", 1, ("Org1MSP", "Org2MSP", "Org3MSP"))
    assert sealed.effective(()) is sealed
