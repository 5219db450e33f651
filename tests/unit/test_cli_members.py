"""The commands about organisations, their declarations, and who ends or validates a task."""

import hashlib
import json

import numpy as np
import pytest

from fabric_fl import aggregation
from fabric_fl.coordinator import TaskFileError, read_task_file
from fl_chaincode.canonical import H

SPEC = {
    "schema": 1,
    "id": "task-1",
    "trainers": ["Org1MSP", "Org2MSP", "Org3MSP"],
    "validators": ["Org1MSP", "Org2MSP", "Org3MSP"],
    "q": 2,
    "k": 3,
    "min_updates": 2,
    "rounds": 2,
    "patience_s": 30,
    "model": {"kind": "numpy-mlp", "architecture": "{}", "loss": "log_loss", "initial": H("initial"), "size": 64},
    "training": {"optimizer": "sgd", "learning_rate": "0.05", "epochs": 1, "batch_size": 16},
    "server": {"step": "fedavg", "learning_rate": "1"},
    "quantisation": {"f": 24, "bound": 2**27},
    "max_examples": 1000,
    "aggregation": {"rule": "none"},
    "scoring": {"rule": "leave-one-out"},
    "budget": 0,
    "horizon_rounds": 10,
}


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "sepsis.npz"
    np.savez(path, x=np.zeros((12, 2)), y=np.zeros(12))
    return path


def listed(result) -> list:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_profile_is_changed_in_parts(call, clients):
    assert call("participant", "update", "--description", "cases").stdout == "Org1MSP takes part as Hospital 1.\n"
    record = clients["Org2MSP"].participant("Org1MSP")
    assert (record.name, record.description) == ("Hospital 1", "cases")


def test_an_organisation_suspends_and_reinstates_itself(call, clients):
    assert call("participant", "suspend").stdout == "Org1MSP is suspended by the organisation.\n"
    assert call("tokens", "issue", "Org1MSP", 1, "--request-id", "r").stderr.startswith("error FL-PARTICIPANT-INACTIVE")
    assert call("participant", "reinstate").stdout == "Org1MSP is active.\n"


def test_a_withdrawal_asks_first_and_is_final(call, clients):
    assert call("participant", "withdraw").exit_code == 1
    assert clients["Org1MSP"].participant("Org1MSP").status == "active"
    assert call("participant", "withdraw", "--yes").stdout == "Org1MSP has withdrawn.\n"
    again = call("participant", "reinstate")
    assert again.exit_code == 1
    assert again.stderr.splitlines() == [
        "error FL-PARTICIPANT-STATUS: Org1MSP has withdrawn, which is final",
        "Whom the consortium has suspended, it reinstates; a withdrawal is final.",
    ]


def test_a_majority_suspends_and_removes(call, clients):
    vote = ("consortium", "vote", "suspend", "Org3MSP", "--request-id", "s")
    assert call(*vote).stdout == "suspend Org3MSP: for it are Org1MSP; no majority yet.\n"
    assert call("consortium", "retract", "s").stdout == "suspend Org3MSP: for it is still nobody.\n"
    call(*vote)
    assert call(*vote, organisation=2).stdout == "suspend Org3MSP: for it are Org1MSP, Org2MSP; carried.\n"
    assert call("participant", "reinstate", organisation=3).stderr.startswith("error FL-PARTICIPANT-STATUS")
    call("consortium", "vote", "remove", "Org3MSP", "--request-id", "out")
    header, first, _ = call("consortium", "motions").stdout.splitlines()
    assert header.split() == ["REQUEST", "KIND", "SUBJECT", "VOTES", "STATUS"]
    assert first.split() == ["out", "remove", "Org3MSP", "Org1MSP", "open"]
    call("consortium", "vote", "remove", "Org3MSP", "--request-id", "out", organisation=2)
    assert call("consortium", "show").stdout.split() == ["MEMBERS", "(2", "are", "a", "majority)", "Org1MSP", "Org2MSP"]


def test_data_is_declared_once_by_its_digest_replaced_and_revoked(call, clients, data):
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    expected = f"Declaration 1 for sepsis: 12 examples, without an end, {digest}.\n"
    assert call("participant", "declare", "sepsis", "--data", data).stdout == expected
    assert call("participant", "declare", "sepsis", "--data", data).stdout == expected
    second = call("participant", "declare", "sepsis", "--data", data, "--last-round", 7)
    assert second.stdout.startswith("Declaration 2 for sepsis: 12 examples, up to round 7, ")
    assert call("participant", "revoke", "sepsis", 2).stdout == "Declaration 2 for sepsis is revoked.\n"
    third = call("participant", "declare", "sepsis", "--data", data, "--last-round", 7)
    assert third.stdout.startswith("Declaration 3 for sepsis: ")
    found = listed(call("participant", "declarations", "--of", "Org1MSP", "--format", "json", organisation=2))
    assert [(one["number"], one["last_round"], one["revoked"]) for one in found] == [
        (1, None, False),
        (2, 7, True),
        (3, 7, False),
    ]


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (None, "cannot be read"),
        ({"x": np.zeros(2)}, "has no arrays x and y"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, "has 2 rows in x and 3 in y"),
        ({"x": np.zeros(0), "y": np.zeros(0)}, "has 0 rows in x and 0 in y"),
    ],
)
def test_a_file_without_examples_is_not_declared(call, clients, tmp_path, arrays, complaint):
    if arrays is not None:
        np.savez(tmp_path / "d.npz", **arrays)
    result = call("participant", "declare", "sepsis", "--data", tmp_path / "d.npz")
    assert result.exit_code == 1
    assert result.stderr.startswith("error FL-DATA-FILE: ")
    assert complaint in result.stderr
    assert clients["Org1MSP"].declarations("Org1MSP") == ()


def test_a_participant_is_told_what_it_is_to_do(call, clients):
    clients["Org1MSP"].create_task(SPEC)
    header, first, second = call("participant", "todo").stdout.splitlines()
    assert header.split() == ["TASK", "ROUND", "FUNCTION", "VOTE", "WHEN", "ABOUT"]
    assert first.split() == ["task-1", "1", "updates:Submit", "-", "now", "-"]
    assert second.split() == ["task-1", "1", "rounds:Vote", "close", "patience", "-"]


def test_a_participant_is_told_what_it_may_vote_on(call, clients):
    clients["Org2MSP"].vote_on_motion("out", "remove", "Org3MSP")
    clients["Org2MSP"].create_task(SPEC)
    clients["Org2MSP"].elect("task-1", 0, ["Org1MSP", "Org2MSP"], 2)
    election, motion = call("participant", "todo").stdout.splitlines()[-2:]
    told = ["task-1", "1", "validators:Vote", "-", "choice", "q=2", "term=0", "validators=Org1MSP,Org2MSP"]
    assert election.split() == told
    assert motion.split() == ["-", "-", "consortium:Vote", "remove", "choice", "request_id=out", "subject=Org3MSP"]
    (told,) = [one for one in json.loads(call("participant", "todo", "--format", "json").stdout) if not one["task"]]
    assert told["about"] == {"request_id": "out", "subject": "Org3MSP"}
    call("consortium", "vote", "remove", "Org3MSP", "--request-id", "out")
    assert "consortium:Vote" not in call("participant", "todo").stdout


def test_validators_cancel_a_task_by_their_quorum(call, clients):
    clients["Org1MSP"].create_task(SPEC)
    one = call("task", "cancel", "task-1", organisation=2)
    assert one.stdout == "task-1 is to end for Org2MSP: it goes on until more of them want it.\n"
    both = call("task", "cancel", "task-1", organisation=3)
    assert both.stdout == "task-1 is to end for Org2MSP, Org3MSP: it ends with round 1.\n"
    clients["Org1MSP"].abort("task-1", 1)
    assert call("task", "list").stdout.splitlines()[1].split()[1] == "cancelled"
    assert call("task", "cancel", "task-1").stderr.startswith("error FL-TASK-ENDED: task task-1 is cancelled")


def test_validators_elect_others(call, clients):
    clients["Org1MSP"].create_task(SPEC)
    elect = ("task", "elect", "task-1", "Org2MSP", "Org1MSP", "--q", 2)
    assert call(*elect).stdout == "1 of 2 votes for Org1MSP, Org2MSP with q = 2.\n"
    assert call(*elect, organisation=3).stdout == "2 of 2 votes for Org1MSP, Org2MSP with q = 2.\n"
    shown = call("task", "validators", "task-1").stdout.splitlines()
    assert shown[0].split()[:4] == ["VALIDATORS", "(q", "=", "2)"]
    assert shown[2].split() == ["Org2MSP", "-"]
    for msp_id in ("Org1MSP", "Org2MSP"):
        clients[msp_id].vote("task-1", 1, "abort", 0)
    clients["Org1MSP"].abort("task-1", 1)
    found = listed(call("task", "validators", "task-1", "--format", "json"))
    assert (found["term"], found["validators"], found["votes"]) == (1, ["Org1MSP", "Org2MSP"], [])


def test_a_task_file_may_name_a_purpose_and_when_to_stop(tmp_path):
    weights = aggregation.Tensors.in_order([("kernel", np.zeros((2, 3), np.float32))])
    (tmp_path / "initial.safetensors").write_bytes(aggregation.encode(aggregation.ModelBlob(weights)))
    (tmp_path / "model.json").write_text("{}")
    text = json.dumps(SPEC | {"model": {"kind": "a", "architecture": "model.json", "loss": "l"}})
    fields = json.loads(text)
    fields["model"]["initial"] = "initial.safetensors"
    fields |= {"purpose": "sepsis", "stop": {"metric": "loss", "direction": "min", "patience": 3}}
    (tmp_path / "task.yaml").write_text(json.dumps(fields))
    spec = read_task_file(tmp_path / "task.yaml").spec
    assert (spec["purpose"], spec["stop"]["patience"]) == ("sepsis", 3)
    (tmp_path / "task.yaml").write_text(json.dumps(fields | {"purposes": "x"}))
    with pytest.raises(TaskFileError, match="unknown field"):
        read_task_file(tmp_path / "task.yaml")
